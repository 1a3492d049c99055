"""Labels and annotations of the namespace that an app has created: `syncPolicy.managedNamespaceMetadata`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import APPS, Ship, configmap

pytestmark = pytest.mark.cluster

CREATE = ["CreateNamespace=true"]
MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}


@pytest.fixture
def place(ship: Ship) -> Iterator[str]:
    """The name of a namespace that is not there yet."""
    name = f"test-{secrets.token_hex(5)}"
    yield name
    if ship.find(f"/api/v1/namespaces/{name}"):
        ship.ask(f"/api/v1/namespaces/{name}", method="DELETE")


def policy(labels: dict[str, str], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"labels": labels, "annotations": annotations or {}}
    return {"syncOptions": CREATE, "managedNamespaceMetadata": metadata}


def metadata(ship: Ship, name: str) -> Any:
    return ship.ask(f"/api/v1/namespaces/{name}")["metadata"]


def test_a_namespace_is_created_with_its_labels_and_follows_what_the_app_says_of_them(
    ship: Ship, git_repo: Repository, place: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("labelled", git_repo, place, policy=policy({"team": "a", "tier": "x"}, {"note": "1"}))
    app = ship.synced("labelled", commit)
    assert metadata(ship, place)["labels"].items() >= {"team": "a", "tier": "x"}.items()
    assert metadata(ship, place)["annotations"]["note"] == "1"
    told = app["status"]["operationState"]["syncResult"]["managedNamespaceMetadata"]
    assert told == {"labels": {"team": "a", "tier": "x"}, "annotations": {"note": "1"}}
    ship.ask(f"/api/v1/namespaces/{place}", {"metadata": {"labels": {"theirs": "stays"}}}, **MERGE)

    # Other metadata is a reason to sync; what the app does not name any more goes, what others set stays.
    changed = {"labels": {"team": "b", "tier": None}, "annotations": None}
    ship.patch_app("labelled", {"spec": {"syncPolicy": {"managedNamespaceMetadata": changed}}})
    app = ship.reconcile("labelled")
    assert app["status"]["sync"]["status"] == "Synced"
    labels = metadata(ship, place)["labels"]
    assert (labels["team"], labels["theirs"], "tier" in labels) == ("b", "stays", False)
    assert "note" not in metadata(ship, place)["annotations"]


def test_without_automation_an_app_with_other_metadata_is_out_of_sync_until_somebody_syncs(
    ship: Ship, git_repo: Repository, place: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("by-hand", git_repo, place, auto=False, policy=policy({"team": "a"}))
    assert ship.operate("by-hand")["status"]["operationState"]["phase"] == "Succeeded"
    patch = {"managedNamespaceMetadata": {"labels": {"team": "b"}}}
    ship.patch_app("by-hand", {"spec": {"syncPolicy": patch}})
    assert ship.refresh("by-hand")["status"]["sync"]["status"] == "OutOfSync"
    assert metadata(ship, place)["labels"]["team"] == "a"
    app = ship.operate("by-hand")
    assert app["status"]["sync"]["status"] == "Synced"
    assert metadata(ship, place)["labels"]["team"] == "b"


def test_a_namespace_that_is_in_git_is_as_git_has_it_and_a_warning_says_so(
    ship: Ship, git_repo: Repository, place: str
) -> None:
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {place}, labels: {{team: git}}}}\n"
    commit = git_repo.commit({"ns.yaml": namespace, "a.yaml": configmap("a", v="1")})
    ship.create_app("twofold", git_repo, place, policy=policy({"team": "app"}))
    ship.synced("twofold", commit)
    assert metadata(ship, place)["labels"]["team"] == "git"
    assert "mooring.dev/id" in metadata(ship, place)["annotations"]
    ship.condition("twofold", f"Namespace {place} is in Git: what is said there counts")


def test_what_another_app_keeps_of_a_namespace_is_not_overwritten(
    ship: Ship, git_repo: Repository, place: str
) -> None:
    commit = git_repo.commit({"one/a.yaml": configmap("a"), "two/b.yaml": configmap("b")})
    ship.create_app("first", git_repo, place, path="one", policy=policy({"team": "first"}))
    ship.synced("first", commit)
    ship.create_app("second", git_repo, place, path="two", policy=policy({"team": "second"}))
    ship.condition("second", f"that of Namespace {place} is kept by app first: say it in one of the two only")
    assert metadata(ship, place)["labels"]["team"] == "first"

    # Once the first one is gone, the second may.
    ship.ask(f"{APPS.format(ship.home)}/first", method="DELETE")
    assert ship.operate("second")["status"]["operationState"]["phase"] == "Succeeded"
    assert metadata(ship, place)["labels"]["team"] == "second"


@pytest.mark.parametrize("name", ["mooring.dev/id", "applyset.kubernetes.io/part-of"])
def test_marks_of_identity_cannot_be_put_on_a_namespace(
    ship: Ship, git_repo: Repository, place: str, name: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    app = f"app-{secrets.token_hex(3)}"
    ship.create_app(app, git_repo, place, policy=policy({"team": "a"}, {name: "x"}))
    condition = ship.condition(app, f"managedNamespaceMetadata: {name} says whose an object is")
    assert condition["type"] == "InvalidSpecError"
    assert ship.find(f"/api/v1/namespaces/{place}") is None


def test_a_project_that_permits_no_namespaces_permits_no_labels_on_them(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    path = APPS.format(ship.home).replace("/applications", "/appprojects")
    spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "narrow"}}
    ship.ask(path, {**project, "spec": spec})
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    privileged = policy({"pod-security.kubernetes.io/enforce": "privileged"})
    ship.create_app("narrowed", git_repo, namespace, spec={"project": "narrow", "syncPolicy": privileged})
    ship.condition("narrowed", "project narrow does not permit Namespaces")
    assert "pod-security.kubernetes.io/enforce" not in metadata(ship, namespace)["labels"]
