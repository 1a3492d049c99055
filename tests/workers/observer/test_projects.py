"""Whether an AppProject says something else than it did."""

from __future__ import annotations

from typing import Any

from workers.apps.home import PROJECT
from workers.cluster.live import Live
from workers.cluster.watch import Changed, Gone, Listed
from workers.observer.projects import Projects


def project(name: str, version: str = "1", **spec: Any) -> Live:
    metadata = {"name": name, "namespace": "mooring", "uid": f"uid of {name}", "resourceVersion": version}
    return Live.read(PROJECT, {"metadata": metadata, "spec": spec})


def test_what_is_said_for_the_first_time_or_otherwise_or_no_more_is_news() -> None:
    projects = Projects()
    assert projects.hear(Listed((project("a", sourceRepos=["*"]),)))
    assert projects.hear(Changed(project("b")))
    assert projects.hear(Changed(project("a", sourceRepos=[])))
    assert projects.hear(Gone(project("b")))


def test_what_is_written_beside_the_spec_is_none() -> None:
    projects = Projects()
    projects.hear(Changed(project("a", sourceRepos=["*"])))
    assert not projects.hear(Changed(project("a", "2", sourceRepos=["*"])))
    assert not projects.hear(Gone(project("b")))


def test_what_was_missed_is_told_by_the_next_list() -> None:
    projects = Projects()
    a, b = project("a", sourceRepos=["*"]), project("b")
    projects.hear(Listed((a, b)))
    assert not projects.hear(Listed((b, a)))
    assert projects.hear(Listed((project("a", "2"), b)))
    assert projects.hear(Listed((b,)))
