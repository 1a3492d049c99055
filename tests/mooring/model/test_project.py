"""A project permits what Argo CD permits."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.model.project import AppProject, default_project
from tests.mooring.model.manifests import PROJECT

HERE = "https://kubernetes.default.svc"


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


@pytest.mark.parametrize(
    ("patterns", "url", "permitted"),
    [
        ([], "https://github.com/a/b", False),
        (["*"], "https://github.com/a/b", True),
        (["https://github.com/a/b"], "git@github.com:A/b.git", True),
        (["https://github.com/a/*"], "https://github.com/a/b", True),
        (["https://github.com/a/*"], "https://github.com/a/b/c", False),
        (["https://github.com/a/**"], "https://github.com/a/b/c", True),
        (["https://git.example.org/a/**"], "https://git.example.org/a/../b/c", False),
        (["git@github.com:a/*"], "https://github.com/a/b", True),
        (["https://github.com/{a,c}/*"], "https://github.com/c/b", True),
        (["*", "!https://github.com/a/secret"], "https://github.com/a/secret.git", False),
        (["*", "!https://github.com/a/secret"], "https://github.com/a/b", True),
        (["!https://github.com/a/secret"], "https://github.com/a/b", True),
        (["!https://github.com/a/secret", "*"], "git@github.com:a/secret", False),
        (["!*", "*"], "https://github.com/a/b", False),
        (["https://dev.azure.com/acme/_git/*"], "https://dev.azure.com/acme/other/_git/web", False),
    ],
)
def test_sources(patterns: list[str], url: str, permitted: bool) -> None:
    assert _project(sourceRepos=patterns).permits_source(url) is permitted


@pytest.mark.parametrize(
    ("destinations", "server", "name", "namespace", "permitted"),
    [
        ([], HERE, "", "shop", False),
        ([{"server": HERE, "namespace": "shop"}], HERE, "", "shop", True),
        ([{"server": HERE, "namespace": "shop"}], HERE, "", "other", False),
        ([{"server": HERE, "namespace": "shop-*"}], HERE, "", "shop-eu", True),
        ([{"name": "in-cluster", "namespace": "*"}], HERE, "", "shop", False),
        ([{"name": "in-cluster", "namespace": "*"}], HERE, "in-cluster", "shop", True),
        ([{"server": "*", "namespace": "*"}], HERE, "", "shop", True),
        ([{"server": "https://*", "namespace": "*"}], HERE, "", "shop", True),
        (
            [{"server": "*", "namespace": "*"}, {"server": "*", "namespace": "!kube-*"}],
            HERE,
            "",
            "kube-x",
            False,
        ),
        ([{"server": "*", "namespace": "!kube-system"}], HERE, "", "shop", True),
        ([{"server": "*", "namespace": "*"}, {"server": f"!{HERE}", "namespace": "*"}], HERE, "", "a", False),
        ([{"server": HERE, "namespace": ""}], HERE, "", "", True),
    ],
)
def test_destinations(
    destinations: list[dict[str, str]], server: str, name: str, namespace: str, permitted: bool
) -> None:
    project = _project(destinations=destinations)
    assert project.permits_destination(server, name, namespace) is permitted


def test_cluster_scoped_kinds_are_forbidden_unless_listed() -> None:
    assert not _project().permits_resource("", "Namespace", namespaced=False)
    listed = _project(
        clusterResourceWhitelist=[{"group": "*", "kind": "*"}],
        clusterResourceBlacklist=[{"group": "rbac.authorization.k8s.io", "kind": "*"}],
    )
    assert listed.permits_resource("", "Namespace", namespaced=False)
    assert not listed.permits_resource("rbac.authorization.k8s.io", "ClusterRole", namespaced=False)


def test_a_cluster_scoped_kind_may_be_narrowed_to_names() -> None:
    project = _project(clusterResourceWhitelist=[{"group": "", "kind": "Namespace", "name": "shop-*"}])
    assert project.permits_resource("", "Namespace", False, "shop-eu")
    assert not project.permits_resource("", "Namespace", False, "kube-system")


def test_namespaced_kinds_are_permitted_unless_forbidden() -> None:
    assert _project().permits_resource("apps", "Deployment", namespaced=True)
    assert not _project(namespaceResourceWhitelist=[]).permits_resource("apps", "Deployment", True)
    some = _project(
        namespaceResourceWhitelist=[{"group": "apps", "kind": "*"}, {"group": "", "kind": "*"}],
        namespaceResourceBlacklist=[{"group": "", "kind": "Secret"}],
    )
    assert some.permits_resource("apps", "Deployment", True)
    assert some.permits_resource("", "ConfigMap", True)
    assert not some.permits_resource("", "Secret", True)
    assert not some.permits_resource("batch", "Job", True)


def test_without_a_written_default_project_everything_is_permitted() -> None:
    project = default_project("mooring")
    assert project.permits_source("https://anywhere/a")
    assert project.permits_destination(HERE, "in-cluster", "anything")
    assert project.permits_resource("", "Namespace", namespaced=False)
    assert project.permits_resource("apps", "Deployment", namespaced=True)
