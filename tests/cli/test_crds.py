"""Installing the kinds: again and again without effect, and never over Argo CD's own."""

from __future__ import annotations

import copy

import pytest

from cli.crds import Step, judge
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from mooring.model.crd import crds
from tests.cli.conftest import Mooring


@pytest.mark.cluster
def test_installing_again_changes_nothing(mooring: Mooring, namespace: str) -> None:
    assert mooring("crds", "install", "--yes").returncode == 0
    again = mooring("crds", "install", "--yes").stdout.splitlines()
    assert again == [
        "crd applications.argoproj.io: up to date",
        "crd appprojects.argoproj.io: up to date",
        f"namespace {namespace}: is there",
    ]


@pytest.mark.cluster
def test_where_nobody_answers_the_way_on_is_named(mooring: Mooring, shop: str) -> None:
    for words in (("crds", "install"), ("app", "delete", shop)):
        done = mooring(*words, given="")
        assert done.returncode == 20
        assert done.stderr.splitlines()[-1] == "mooring: nobody answered: --yes goes on without asking"
        assert "Aborted" not in done.stderr
    assert mooring("app", "get", shop, "-o", "name").returncode == 0
    assert mooring("crds", "install", given="n\n").returncode == 1


@pytest.mark.cluster
def test_a_missing_home_namespace_is_created(mooring: Mooring, namespace: str, cluster: Cluster) -> None:
    done = mooring("crds", "install", "--yes", "-N", f"{namespace}-home")
    devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}-home", method="DELETE")
    assert done.stdout.splitlines()[-1] == f"namespace {namespace}-home: created"


def test_what_argo_cd_installed_is_left_alone() -> None:
    wanted = crds()[0]
    theirs = copy.deepcopy(wanted)
    theirs["metadata"]["labels"]["app.kubernetes.io/part-of"] = "argocd"
    theirs["spec"]["versions"][0]["schema"] = {}
    verdict = judge(wanted, theirs)
    assert verdict.step is Step.LEAVE
    assert "Argo CD" in verdict.why


def test_an_older_one_of_ours_is_updated_and_a_missing_one_created() -> None:
    wanted = crds()[0]
    older = copy.deepcopy(wanted)
    older["spec"]["names"]["shortNames"] = ["app"]
    assert judge(wanted, older).step is Step.UPDATE
    assert judge(wanted, None).step is Step.CREATE


def test_defaults_of_the_api_server_are_no_difference() -> None:
    wanted = crds()[0]
    live = copy.deepcopy(wanted)
    live["spec"]["conversion"] = {"strategy": "None"}
    assert judge(wanted, live).step is Step.LEAVE
