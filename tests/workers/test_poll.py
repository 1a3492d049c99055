"""Hosts are asked what is new: each repository once, whoever follows it, and none delays another."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from devcluster.chartserver import ChartServer
from devcluster.gitserver import GitServer, Repository
from mooring.errors import ClusterUnavailable, GitFailed, GitRefused, StoreUnavailable
from mooring.model.application import Application
from mooring.names import DUE, REFRESH
from mooring.settings import Settings
from mooring.store.polls import Polls
from tests.stories.line import Line
from tests.stories.ship import configmap, until
from tests.workers.skiff import Skiff
from workers import pipeline, poll
from workers.engine import Engine
from workers.git import mirror
from workers.push import Wanted
from workers.questions import GitQuestion

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

POLL_S = 180.0
OFTEN = 5  # failures in a row, after which a host is left alone for two minutes
TEMPLATE = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {v: "{{ .Chart.Version }}"}\n'


class Port:
    """A Skiff with apps that deploy to one namespace, and the Git host's own count of what it was asked."""

    def __init__(self, skiff: Skiff, git: GitServer) -> None:
        self.skiff, self.git = skiff, git
        self.names: list[str] = []
        self.target = f"test-{secrets.token_hex(5)}"
        skiff.create_namespace(self.target)

    def app(self, name: str, source: Mapping[str, Any]) -> None:
        self.names.append(name)
        self.skiff.create_app(
            name,
            {
                "source": dict(source),
                "destination": {"server": "https://kubernetes.default.svc", "namespace": self.target},
                "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
            },
        )

    def repository(self) -> Repository:
        return self.git.create(f"polled-{secrets.token_hex(5)}")

    def poll(self, which: str = "") -> None:
        """As the task does it, with all that is wanted by that."""
        poll.poll(self.skiff.engine, which)
        self.skiff.work()

    def asked(self, repo: Repository, act: Callable[[], None]) -> list[str]:
        """How the host was asked for `repo` while something was done."""
        mine = f"/{repo.path.name}/"
        before = len(self.git.requests)
        act()
        return [method for method, path in list(self.git.requests)[before:] if path.startswith(mine)]

    def revision(self, name: str) -> str:
        sync = self.skiff.app(name).status.sync
        return f"{sync.status} {sync.revision}" if sync else ""

    def end(self) -> None:
        for name in self.names:
            self.skiff.delete_app(name)
        self.skiff.delete_namespace(self.target)


def follows(repo: Repository, path: str = ".", revision: str = "main") -> dict[str, Any]:
    return {"repoURL": repo.url, "path": path, "targetRevision": revision}


def told(app: Application) -> list[str]:
    return [one.message for one in app.status.conditions if one.type == "RepositoryWarning"]


@pytest.fixture
def port(skiff_settings: Settings, git_server: GitServer) -> Iterator[Port]:
    git_server.requests.clear()
    # Each object's turn for a dry-run is hardly ever.
    found = Port(Skiff(replace(skiff_settings, reconcile_s=0.01, poll_s=POLL_S)), git_server)
    yield found
    found.end()


@pytest.fixture
def line(git_server: GitServer) -> Iterator[Line]:
    with Line(urlsplit(git_server.url).port or 80) as one:
        yield one


@pytest.fixture
def charts() -> Iterator[ChartServer]:
    with ChartServer() as server:
        yield server


def through(line: Line, repo: Repository) -> Repository:
    """The repository as one reaches it over the line."""
    return replace(repo, url=repo.url.replace(f":{urlsplit(repo.url).port}/", f":{line.port}/"))


def test_one_question_finds_what_nobody_told_for_all_apps_and_revisions_of_a_repository(port: Port) -> None:
    repo = port.repository()
    first = repo.commit({f"{name}/a.yaml": configmap(name, v="1") for name in ("one", "two", "three")})
    repo.point("refs/heads/live", first)
    repo.point("refs/tags/v1.0.0", first)
    port.app("one", follows(repo, "one"))
    port.app("two", follows(repo, "two", "live"))
    port.app("three", {**follows(repo, "three", "1.x"), "repoURL": repo.url.removesuffix(".git")})
    port.skiff.settle()
    port.poll()  # whoever meets a host for the first time asks how it speaks, too

    assert port.asked(repo, port.poll) == ["POST"]
    live = repo.commit({"two/a.yaml": configmap("two", v="2")}, branch="live")
    repo.point("refs/tags/v1.1.0", repo.commit({"three/a.yaml": configmap("three", v="2")}, branch="next"))
    port.poll()

    assert port.revision("one") == f"Synced {first}"
    assert port.revision("two") == f"Synced {live}"
    assert port.skiff.config_maps(port.target) == {"one": "1", "two": "2", "three": "2"}
    assert port.asked(repo, port.poll) == ["POST"]


def test_each_repository_has_a_time_of_its_own_within_the_interval(port: Port) -> None:
    repo = port.repository()
    commit = repo.commit({"a.yaml": configmap("a", v="1")})
    port.app("timed", follows(repo))
    port.app("fixed", follows(repo, revision=commit))
    port.skiff.settle()

    assert port.asked(repo, lambda: port.poll(DUE)) == [], "its app has just asked by itself"
    port.skiff.go_by(POLL_S)
    assert port.asked(repo, lambda: port.poll(DUE))[-1:] == ["POST"]
    assert port.asked(repo, lambda: port.poll(DUE)) == []
    port.skiff.go_by(POLL_S * 0.5)
    assert port.asked(repo, lambda: port.poll(DUE)) == []
    port.skiff.go_by(POLL_S * 0.5)
    assert port.asked(repo, lambda: port.poll(DUE)) == ["POST"]

    port.skiff.delete_app("timed")
    port.poll()
    assert Polls(port.skiff.engine.redis).all() == {}, "a commit cannot be elsewhere: nobody asks for it"


def test_an_app_says_that_its_repository_cannot_be_asked_and_is_otherwise_as_it_was(
    port: Port, line: Line
) -> None:
    far, near = through(line, port.repository()), port.repository()
    first = far.commit({"far.yaml": configmap("far", v="1")})
    near.commit({"near.yaml": configmap("near", v="1")})
    port.app("far", {**follows(far), "repoURL": far.url.replace("//", "//sailor:hunter2@")})
    port.app("near", follows(near))
    port.skiff.settle()
    pipeline.reconcile(port.skiff.engine, "", "reconcile")
    port.skiff.settle()
    line.cut()
    port.poll()
    assert told(port.skiff.app("far")) == [], "once is a hiccup"
    for _ in range(OFTEN):
        port.poll()

    [message] = told(port.skiff.app("far"))
    assert far.path.name in message and "hunter2" not in message
    assert told(port.skiff.app("near")) == []
    assert port.revision("far") == f"Synced {first}"
    engine = port.skiff.engine
    assert port.skiff.unproved() == set(), "nobody is looked at for that"
    port.skiff.drift(port.target, "far", "drifted")
    pipeline.reconcile(engine, "", "reconcile")
    port.skiff.work()
    assert port.skiff.config_maps(port.target)["far"] == "1", "drift is corrected all the same"
    assert told(port.skiff.app("far")) == [message]

    line.mend()
    second = far.commit({"far.yaml": configmap("far", v="2")})
    assert port.asked(far, lambda: port.poll(DUE)) == [], "it is left alone for a while"
    port.skiff.go_by(POLL_S)
    port.poll(DUE)
    assert port.revision("far") == f"Synced {second}"
    assert told(port.skiff.app("far")) == []


def test_a_refresh_that_reaches_a_repository_has_it_asked_again_at_once(port: Port, line: Line) -> None:
    far = through(line, port.repository())
    commit = far.commit({"far.yaml": configmap("far", v="1")})
    port.app("far", follows(far))
    port.skiff.settle()
    line.cut()
    for _ in range(OFTEN):
        port.poll()
    line.mend()
    assert told(port.skiff.app("far"))
    port.poll(DUE)
    assert told(port.skiff.app("far")), "it is left alone for a while"

    port.skiff.patch_app("far", {"metadata": {"annotations": {REFRESH: "normal"}}})
    port.skiff.look("far")
    port.poll(DUE)

    assert told(port.skiff.app("far")) == []
    assert port.revision("far") == f"Synced {commit}"


def test_a_host_that_says_nothing_delays_no_other_and_is_asked_once_for_all_of_its_repositories(
    port: Port, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "_PATIENCE_S", 60.0)  # until the line is mended
    silent = [through(line, port.repository()) for _ in range(3)]
    near = port.repository()
    for number, repo in enumerate(silent):
        repo.commit({"a.yaml": configmap(f"silent-{number}", v="1")})
        port.app(f"silent-{number}", follows(repo))
    near.commit({"near.yaml": configmap("near", v="1")})
    port.app("near", follows(near))
    port.skiff.settle()
    line.hang()
    commit = near.commit({"near.yaml": configmap("near", v="2")})

    polling = threading.Thread(target=poll.poll, args=(port.skiff.engine,))
    polling.start()
    until("the other's push", lambda: port.skiff.is_sent() or None)
    assert polling.is_alive(), "the silent host has not answered yet"
    port.skiff.work()
    assert port.revision("near") == f"Synced {commit}"
    line.mend()
    polling.join()

    line.hang()
    monkeypatch.setattr(poll, "_PATIENCE_S", 0.5)
    before = line.opened
    poll.poll(port.skiff.engine)
    poll.poll(port.skiff.engine)
    assert line.opened - before <= 2, "one question a time, for three repositories"
    assert all(told(port.skiff.app(f"silent-{number}")) for number in range(3))
    line.mend()


def hitch(monkeypatch: pytest.MonkeyPatch, repo: Repository, happens: Callable[[], None]) -> None:
    """Have something happen whenever `repo` is asked."""
    real = GitQuestion.news

    def news(self: GitQuestion, engine: Engine, patience_s: float, *, again: bool) -> list[Wanted]:
        if self.source.repo_url == repo.url:
            happens()
        return real(self, engine, patience_s, again=again)

    monkeypatch.setattr(GitQuestion, "news", news)


def test_what_keeps_one_question_from_being_asked_keeps_no_other_and_it_is_asked_again_soon(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, then = port.repository(), port.repository()
    trouble: list[Exception] = []

    def happens() -> None:
        if trouble:
            raise trouble[0]

    hitch(monkeypatch, first, happens)
    for name, repo in (("first", first), ("then", then)):
        repo.commit({"a.yaml": configmap(name, v="0")})
        port.app(name, follows(repo))
    port.skiff.settle()
    away = (ClusterUnavailable("no answer"), StoreUnavailable("no answer"), OSError(28, "No space left"))
    for v, error in enumerate(away, 1):
        commits = [
            repo.commit({"a.yaml": configmap(name, v=str(v))})
            for name, repo in (("first", first), ("then", then))
        ]
        trouble[:] = [error]
        port.poll()
        assert port.revision("then") == f"Synced {commits[1]}"
        trouble.clear()
        port.skiff.go_by(POLL_S / 10)
        port.poll(DUE)
        assert port.revision("first") == f"Synced {commits[0]}"


def test_an_app_says_what_keeps_its_repository_from_being_asked_now(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = port.repository()
    repo.commit({"a.yaml": configmap("a", v="1")})
    port.app("a", follows(repo))
    port.skiff.settle()
    errors: list[Exception] = [GitFailed("no answer"), GitFailed("no answer"), GitRefused("no such user")]

    def happens() -> None:
        raise errors.pop(0)

    hitch(monkeypatch, repo, happens)
    while errors:
        port.poll()
    [message] = told(port.skiff.app("a"))
    assert "no such user" in message


def test_a_refresh_while_a_host_fails_has_it_asked_again_all_the_same(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = port.repository()
    repo.commit({"a.yaml": configmap("a", v="1")})
    port.app("a", follows(repo))
    port.skiff.settle()
    engine, refreshed = port.skiff.engine, list[Application]()

    def happens() -> None:
        for app in refreshed:
            poll.soon(engine, app)
        raise GitFailed("no answer")

    hitch(monkeypatch, repo, happens)
    for _ in range(OFTEN):
        port.poll()
    assert all(one.due > engine.clock() for one in Polls(engine.redis).all().values())
    refreshed.append(port.skiff.app("a"))
    port.poll()
    assert 0.0 in {one.due for one in Polls(engine.redis).all().values()}


def test_nobody_waits_in_vain_for_a_silent_host_to_compare_what_could_not_be_compared(
    port: Port, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = through(line, port.repository())
    commit = far.commit({"far.yaml": configmap("far", v="1")})
    line.cut()
    port.app("far", follows(far))
    port.skiff.look("far")
    assert port.revision("far").strip() == "Unknown"
    port.poll()
    port.poll()
    engine = port.skiff.engine

    assert told(port.skiff.app("far")) == [], "its own look has said so already"
    assert poll.waiting(engine, engine.applications.list().apps) == frozenset()
    monkeypatch.setattr(poll, "_PATIENCE_S", 0.2)
    line.mend()
    line.hang()
    for _ in range(OFTEN):
        port.poll()
    assert {key.name for key in poll.waiting(engine, engine.applications.list().apps)} == {"far"}
    pipeline.reconcile(engine, "", "reconcile")
    assert not port.skiff.is_sent()

    line.mend()
    port.skiff.go_by(POLL_S)
    monkeypatch.setattr(poll, "_PATIENCE_S", 10.0)
    port.poll(DUE)
    assert port.revision("far") == f"Synced {commit}"


def test_a_host_is_asked_how_it_speaks_once_however_many_repositories_there_are(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_MAX_OPEN", 1)
    repos = [port.repository(), port.repository()]
    for number, repo in enumerate(repos):
        repo.commit({"a.yaml": configmap(f"many-{number}", v="1")})
        port.app(f"many-{number}", follows(repo))
    port.skiff.settle()

    for repo in repos:
        assert port.asked(repo, port.poll) == ["POST"]


def test_a_refresh_says_when_it_was_and_a_hard_one_renders_anew(port: Port) -> None:
    repo = port.repository()
    repo.commit({"a.yaml": configmap("a", v="1")})
    port.app("fresh", follows(repo))
    port.skiff.settle()

    def renders(result: str) -> float:
        return (
            REGISTRY.get_sample_value("mooring_renders_total", {"kind": "Directory", "result": result}) or 0
        )

    for how, result in (("normal", "kept"), ("hard", "rendered")):
        before, made = port.skiff.app("fresh").status.reconciled_at, renders(result)
        port.skiff.go_by(60)
        port.skiff.patch_app("fresh", {"metadata": {"annotations": {REFRESH: how}}})
        asked = port.asked(repo, port.skiff.settle)
        app = port.skiff.app("fresh")
        assert REFRESH not in app.metadata.annotations
        assert app.status.reconciled_at > before
        assert renders(result) > made
        assert asked == ["POST"], "where its branch is, and nothing that is known"


def test_a_branch_that_is_gone_and_a_repository_that_is_empty_take_nothing_away(port: Port) -> None:
    repo = port.repository()
    commit = repo.commit({"a.yaml": configmap("a", v="1")})
    port.app("gone", follows(repo))
    port.skiff.settle()

    repo.point("refs/heads/main", None)
    port.poll()
    port.poll()

    app = port.skiff.app("gone")
    assert [one.type for one in app.status.conditions] == ["ComparisonError"]
    assert port.skiff.config_maps(port.target) == {"a": "1"}
    repo.point("refs/heads/main", commit)
    port.skiff.settle()
    assert port.revision("gone") == f"Synced {commit}"


@pytest.mark.usefixtures("tools")
def test_a_chart_repository_is_asked_once_for_all_charts_and_only_whether_it_has_changed(
    port: Port, charts: ChartServer
) -> None:
    for name in ("web", "other"):
        charts.chart(name, "1.0.0", {"templates/cm.yaml": TEMPLATE.replace("web", name)})
        port.app(name, {"repoURL": charts.url, "chart": name, "targetRevision": "1.x"})
    charts.index()
    port.skiff.settle()
    assert port.revision("web") == "Synced 1.0.0"
    port.poll()  # whoever asks for the first time is given the whole index
    charts.requests.clear()

    port.poll()

    [asked] = charts.requests
    assert asked.path == "/index.yaml" and "if-none-match" in asked.headers
    charts.chart("web", "1.1.0", {"templates/cm.yaml": TEMPLATE})
    charts.index()
    port.poll()
    assert port.revision("web") == "Synced 1.1.0"
    assert port.skiff.config_maps(port.target) == {"web": "1.1.0", "other": "1.0.0"}


@pytest.mark.usefixtures("tools")
def test_who_has_never_fetched_a_chart_finds_it_unchanged_and_another_archive_of_its_version_new(
    port: Port, charts: ChartServer, tmp_path: Path
) -> None:
    def publish(v: str) -> None:
        template = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{v: '{v}'}}\n"
        charts.chart("web", "1.0.0", {"templates/cm.yaml": template})
        charts.index()

    publish("first")
    port.app("web", {"repoURL": charts.url, "chart": "web", "targetRevision": "1.x"})
    port.skiff.settle()
    engine = port.skiff.engine
    elsewhere = replace(engine, settings=replace(engine.settings, state_dir=str(tmp_path / "elsewhere")))

    poll.poll(elsewhere)
    assert not port.skiff.is_sent(), "it is what was looked at"
    publish("second")
    poll.poll(elsewhere)
    port.skiff.work()
    assert port.skiff.config_maps(port.target) == {"web": "second"}
    poll.poll(elsewhere)
    assert not port.skiff.is_sent()
