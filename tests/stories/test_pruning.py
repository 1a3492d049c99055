"""What may be pruned, who has to say so, and that doubt never deletes anything."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, DELETION_APPROVED, ID
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, until
from workers.applyset.inventory import Entry, Inventory
from workers.applyset.parent import Parent, manifest

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}


def files(*names: str) -> dict[str, str]:
    """A ConfigMap manifest of each name."""
    return {f"{name}.yaml": configmap(name, v="1") for name in names}


def option(name: str, value: str) -> dict[str, str]:
    """A ConfigMap manifest with a sync option of its own."""
    text = configmap(name, v="1")
    line = f"  annotations:\n    argocd.argoproj.io/sync-options: {value}\n"
    return {f"{name}.yaml": text.replace(f"  name: {name}\n", f"  name: {name}\n{line}")}


def removed(*names: str) -> dict[str, None]:
    return {f"{name}.yaml": None for name in names}


def gone(ship: Ship, namespace: str, name: str) -> None:
    until(f"{name} to be gone", lambda: ship.configmap(namespace, name) is None)


def approve(ship: Ship, name: str) -> None:
    """As Argo CD's UI writes it; in the second after the question, as a person would at the earliest."""
    asked = [c for c in ship.app(name)["status"].get("conditions", []) if c["type"] == "PruneSkipped"]
    moments = [datetime.datetime.fromisoformat(c["lastTransitionTime"]) for c in asked]
    after = [moment + datetime.timedelta(seconds=1) for moment in moments]
    at = max([datetime.datetime.now(datetime.UTC), *after]).strftime("%Y-%m-%dT%H:%M:%SZ")
    ship.patch_app(name, {"metadata": {"annotations": {DELETION_APPROVED: at}}})


def inventory(ship: Ship, app: str) -> Any:
    """The ConfigMap that lists the app's objects."""
    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    named = [c for c in ship.ask(path)["items"] if c["metadata"]["name"].endswith(f"-{ship.home}.{app}")]
    assert len(named) == 1, [c["metadata"]["name"] for c in named]
    return named[0]


def test_where_pruning_is_off_what_left_git_is_only_shown(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("off", git_repo, namespace, prune=False)
    ship.synced("off", git_repo.commit(files("one", "two", "three")))

    commit = git_repo.commit(removed("one"))
    ship.deliver(git_repo, commit)

    ship.synced("off", commit, status="OutOfSync")
    shown = ship.resource("off", "one")
    assert (shown["status"], shown["requiresPruning"]) == ("OutOfSync", True)
    assert ship.resource("off", "two")["status"] == "Synced"
    assert ship.configmap(namespace, "one")

    app = ship.operate("off", prune=True)
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    gone(ship, namespace, "one")
    ship.refresh("off")
    ship.synced("off", commit)


def test_prune_false_on_an_object_keeps_it_whoever_asks(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("keeps", git_repo, namespace)
    ship.synced("keeps", git_repo.commit({**files("one", "two"), **option("kept", "Prune=false")}))

    commit = git_repo.commit(removed("kept", "one"))
    ship.deliver(git_repo, commit)

    gone(ship, namespace, "one")
    ship.synced("keeps", commit, status="OutOfSync")
    assert ship.resource("keeps", "kept")["requiresPruning"] is True
    app = ship.operate("keeps", prune=True)
    results = app["status"]["operationState"]["syncResult"]["resources"]
    assert next(r for r in results if r["name"] == "kept")["status"] == "PruneSkipped"
    assert ship.configmap(namespace, "kept")


def test_prune_confirm_waits_for_an_approval_on_the_application(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("confirms", git_repo, namespace)
    ship.synced("confirms", git_repo.commit({**files("one", "two"), **option("asks", "Prune=confirm")}))
    approve(ship, "confirms")  # before anything was asked: it approves nothing

    commit = git_repo.commit(removed("asks"))
    ship.deliver(git_repo, commit)

    told = ship.condition("confirms", "Prune=confirm")
    assert DELETION_APPROVED in told["message"]
    ship.operate("confirms", prune=True)
    assert ship.configmap(namespace, "asks"), "an operation alone is no confirmation"

    approve(ship, "confirms")
    gone(ship, namespace, "asks")
    ship.unsaid("confirms", "Prune=confirm")


def test_an_automated_sync_deletes_no_volume_claim_and_completes_the_rest(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    ship.create_app("volumes", git_repo, namespace)
    first = git_repo.commit({**files("one", "two", "three"), "data.yaml": json.dumps(claim)})
    ship.synced("volumes", first)

    commit = git_repo.commit({**removed("one", "data"), **files("four")})
    ship.deliver(git_repo, commit)

    told = ship.condition("volumes", "does not delete a PersistentVolumeClaim")
    assert f"{namespace}/data" in told["message"]
    gone(ship, namespace, "one")
    assert ship.configmap(namespace, "four")
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/data"
    assert "deletionTimestamp" not in ship.ask(path)["metadata"]
    assert ship.app("volumes")["status"]["operationState"]["phase"] == "Succeeded"

    ship.operate("volumes", prune=True)
    until("the claim to be gone", lambda: ship.find(path) is None)


def test_an_automated_sync_deletes_no_namespace_and_no_crd(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    group = f"{namespace}.stories.mooring.dev"
    crd = definition(group, "Boat")
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-more"}}
    manifests = {"crd.yaml": json.dumps(crd), "space.yaml": json.dumps(space)}
    ship.create_app("spaces", git_repo, namespace)
    ship.synced("spaces", git_repo.commit({**files("one", "two", "three"), **manifests}))

    commit = git_repo.commit({"crd.yaml": None, "space.yaml": None})
    ship.deliver(git_repo, commit)

    ship.condition("spaces", "does not delete a Namespace")
    ship.condition("spaces", "does not delete a CustomResourceDefinition")
    ship.synced("spaces", commit, status="OutOfSync")
    crd_path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.{group}"
    assert "deletionTimestamp" not in ship.ask(crd_path)["metadata"]
    assert "deletionTimestamp" not in ship.ask(f"/api/v1/namespaces/{namespace}-more")["metadata"]

    ship.quiet()
    approve(ship, "spaces")
    until("the CRD to be gone", lambda: ship.find(crd_path) is None)
    until(
        "the namespace to go",
        lambda: (
            (found := ship.find(f"/api/v1/namespaces/{namespace}-more")) is None
            or "deletionTimestamp" in found["metadata"]
        ),
    )


def test_more_than_half_and_more_than_two_are_not_pruned_at_once(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("half", git_repo, namespace)
    ship.synced("half", git_repo.commit(files("a", "b", "c", "d", "e")))

    ship.synced("half", ship.pushed(git_repo, removed("a", "b")))
    gone(ship, namespace, "a")
    gone(ship, namespace, "b")
    ship.pushed(git_repo, files("f", "g"))  # five again

    commit = git_repo.commit({**removed("c", "d", "e"), **files("new")})
    ship.deliver(git_repo, commit)

    ship.condition("half", "does not prune 3 of")
    ship.synced("half", commit, status="OutOfSync")
    assert ship.configmap(namespace, "new")
    assert all(ship.configmap(namespace, name) for name in "cde")

    ship.operate("half", prune=True)
    for name in "cde":
        gone(ship, namespace, name)


def test_an_emptied_path_prunes_nothing_unless_empty_is_allowed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("empty", git_repo, namespace, path="app")
    ship.synced("empty", git_repo.commit({"app/one.yaml": configmap("one"), "app/keep.txt": "kept"}))

    commit = git_repo.commit({"app/one.yaml": None})
    ship.deliver(git_repo, commit)

    ship.condition("empty", "allowEmpty")
    ship.synced("empty", commit, status="OutOfSync")
    assert ship.configmap(namespace, "one")

    ship.patch_app("empty", {"spec": {"syncPolicy": {"automated": {"allowEmpty": True}}}})
    gone_at = git_repo.commit({"app/keep.txt": "kept again"})
    ship.deliver(git_repo, gone_at)
    gone(ship, namespace, "one")


def test_a_path_that_is_not_in_git_any_more_is_an_error_and_not_an_empty_one(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("pathless", git_repo, namespace, path="app", allowEmpty=True)
    ship.synced("pathless", git_repo.commit({"app/one.yaml": configmap("one"), "x": "y"}))

    told = ship.finished(ship.deliver(git_repo, git_repo.commit({"app/one.yaml": None})))

    assert told["state"] == "failed"
    condition = ship.condition("pathless", "app")
    assert condition["type"] == "ComparisonError"
    assert ship.app("pathless")["status"]["sync"]["status"] == "Unknown"
    assert ship.configmap(namespace, "one")


def test_a_repository_out_of_reach_prunes_nothing(ship: Ship, namespace: str) -> None:
    with GitServer() as host:
        repo = host.create("repo")
        ship.create_app("unreachable", repo, namespace, allowEmpty=True, selfHeal=True)
        ship.synced("unreachable", repo.commit(files("one", "two")))
        ship.quiet()
    key = "argocd.argoproj.io/refresh"
    ship.patch_app("unreachable", {"metadata": {"annotations": {key: "hard"}}})

    ship.condition("unreachable", "127.0.0.1")

    assert ship.configmap(namespace, "one")
    assert ship.configmap(namespace, "two")


def test_without_its_inventory_an_app_prunes_nothing_and_says_what_to_restore(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("lost", git_repo, namespace)
    ship.synced("lost", git_repo.commit(files("one", "two", "three")))
    ship.quiet()
    kept = inventory(ship, "lost")
    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    ship.ask(f"{path}/{kept['metadata']['name']}", method="DELETE")

    commit = git_repo.commit({**removed("one"), "two.yaml": configmap("two", v="2")})
    ship.deliver(git_repo, commit)

    told = ship.condition("lost", "restore it from a backup")
    assert kept["metadata"]["name"] in told["message"]
    ship.synced("lost", commit, status="OutOfSync")
    assert ship.configmap(namespace, "one")
    assert ship.configmap(namespace, "two")["data"] == {"v": "1"}

    # A new inventory, by hand: what left Git before is told of and never pruned.
    ship.operate("lost", prune=True)
    assert ship.configmap(namespace, "two")["data"] == {"v": "2"}
    assert ship.configmap(namespace, "one")
    ship.condition("lost", "neither in Git nor in the inventory")
    # And what it found there it did not make, as far as anybody can tell.
    ship.deliver(git_repo, git_repo.commit(removed("two")))
    ship.condition("lost", "adopted rather than created")
    assert ship.configmap(namespace, "two")


def test_an_inventory_that_was_there_before_its_app_is_gone_on_with(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """As after a restore: the app is as new, and so is its namespace."""
    commit = git_repo.commit(files("one"))
    ship.create_app("before", git_repo, namespace)
    until("the first app", lambda: ship.configmap(namespace, "one"))
    installation = ship.configmap(namespace, "one")["metadata"]["annotations"][ID].partition("/")[0]
    never_was = ObjectKey("", "ConfigMap", namespace, "never-was")
    left = Parent(AppKey(ship.home, "restored"), installation, ship.home, Inventory({never_was: Entry()}))
    uid = ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps", manifest(left))["metadata"]["uid"]

    ship.create_app(
        "restored", git_repo, f"{namespace}-new", policy={"syncOptions": ["CreateNamespace=true"]}
    )
    try:
        ship.synced("restored", commit)
        kept = inventory(ship, "restored")
        assert kept["metadata"]["uid"] == uid
        assert json.loads(kept["data"]["inventory"])["objects"] == {
            "/ConfigMap": {f"{namespace}-new/one": "created apply"}
        }
    finally:
        ship.ask(f"/api/v1/namespaces/{namespace}-new", method="DELETE")


def test_a_garbled_inventory_stops_everything_and_says_what_to_restore(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("garbled", git_repo, namespace)
    ship.synced("garbled", git_repo.commit(files("one", "two", "three")))
    ship.quiet()
    kept = inventory(ship, "garbled")
    path = f"/api/v1/namespaces/{ship.home}/configmaps/{kept['metadata']['name']}"
    ship.ask(path, {"data": {"inventory": '{"version": 1, "objects": ['}}, **MERGE)

    commit = git_repo.commit(removed("one"))
    ship.deliver(git_repo, commit)

    told = ship.condition("garbled", "restore it from a backup")
    assert kept["metadata"]["name"] in told["message"]
    assert ship.configmap(namespace, "one")

    ship.ask(path, {"data": {"inventory": kept["data"]["inventory"]}}, **MERGE)
    ship.refresh("garbled")
    gone(ship, namespace, "one")
    ship.unsaid("garbled", "restore")


def test_an_object_whose_label_was_removed_is_told_of_and_stays(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("unlabelled", git_repo, namespace)
    ship.synced("unlabelled", git_repo.commit(files("one", "two", "three")))
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    ship.ask(path, {"metadata": {"labels": {APPLYSET_PART_OF: None}}}, **MERGE)

    commit = git_repo.commit(removed("one"))
    ship.deliver(git_repo, commit)

    told = ship.condition("unlabelled", "its label")
    assert f"{namespace}/one" in told["message"]
    assert ship.resource("unlabelled", "one")["requiresPruning"] is True
    assert ship.configmap(namespace, "one")
