"""A project permits what Argo CD permits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.errors import Refused
from mooring.model.project import AppProject, Cluster, default_project
from tests.mooring.model.manifests import PROJECT

HERE = "https://kubernetes.default.svc"
CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "projects.yaml").read_text())
SCOPES, COLOURS = ("cluster", "namespace"), ("White", "Black")


def _project(**spec: Any) -> AppProject:
    return AppProject.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "shop"},
            "spec": spec,
        }
    )


def test_a_whole_project_is_read_and_written_back() -> None:
    project = AppProject.parse(PROJECT)
    assert tuple(project.unknown()) == ()
    assert project.to_dict() == PROJECT


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(Refused, match=r"AppProject shop: spec\.destinations\[0\]\.namespace"):
        _project(destinations=[{"namespace": 1}])


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_project_permits_what_the_table_says_and_names_the_rule_that_forbids(case: dict[str, Any]) -> None:
    project = _project(**case["spec"])
    match case:
        case {"source": url}:
            why, permitted = project.why_no_source(url), project.permits_source(url)
        case {"to": {"namespace": namespace}}:
            known = {name: values for name, values in case["to"].items() if name != "namespace"}
            cluster = Cluster(**{name: tuple(values) for name, values in known.items()})
            why = project.why_no_destination(cluster, namespace)
            permitted = project.permits_destination(cluster, namespace)
        case {"object": asked}:
            asked = {"namespaced": False, **asked}
            why, permitted = project.why_no_resource(**asked), project.permits_resource(**asked)
    assert (why, permitted) == (case["refused"], not case["refused"])


def test_the_table_names_every_case_once_and_has_both_answers_to_each_rule() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    answers: dict[str, set[bool]] = {}
    for case in CASES:
        for rule in case["spec"]:
            answers.setdefault(rule, set()).add(not case["refused"])
    rules = (
        "sourceRepos",
        "destinations",
        *(f"{scope}Resource{colour}list" for scope in SCOPES for colour in COLOURS),
    )
    assert answers == {rule: {True, False} for rule in rules}


def test_without_a_written_default_project_everything_is_permitted() -> None:
    project = default_project("mooring")
    assert project.permits_source("https://anywhere/a")
    assert project.permits_destination(Cluster((HERE,), ("in-cluster",)), "anything")
    assert project.permits_resource("", "Namespace", namespaced=False)
    assert project.permits_resource("apps", "Deployment", namespaced=True)
