"""Waves: objects that are needed by others come first, and are healthy before those others come."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


def waved(manifest: str, wave: int, spelling: str = "argocd.argoproj.io") -> str:
    annotations = f"metadata:\n  annotations: {{{spelling}/sync-wave: '{wave}'}}\n"
    return manifest.replace("metadata:\n", annotations)


# Healthy once it has an address, which nobody gives it here but the story.
DOOR = (
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: door\nspec:\n  type: LoadBalancer\n"
    "  ports: [{port: 80}]\n"
)
DISK = (
    "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: disk\nspec:\n  storageClassName: none\n"
    "  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n"
)


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.org/web}]}
"""


def status(ship: Ship, namespace: str, kind: str, name: str, status: dict[str, Any]) -> None:
    ship.ask(
        f"/api/v1/namespaces/{namespace}/{kind}/{name}/status",
        {"status": status},
        method="PATCH",
        content_type="application/merge-patch+json",
    )


def opened(ship: Ship, namespace: str) -> None:
    status(ship, namespace, "services", "door", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})


def operation(ship: Ship, name: str) -> Any:
    return ship.app(name).get("status", {}).get("operationState") or {}


def waits(ship: Ship, name: str, text: str) -> Any:
    def look() -> Any:
        state = operation(ship, name)
        return state if state.get("phase") == "Running" and text in state.get("message", "") else None

    return until(f"{name} to wait for {text}", look)


FILES = {
    "a.yaml": waved(configmap("early", v="1"), -1),
    "b.yaml": DOOR,
    "c.yaml": waved(configmap("late", v="1"), 5, "mooring.dev"),
}


def test_a_wave_comes_once_the_one_before_it_is_healthy(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("waves", git_repo, namespace)
    state = waits(ship, "waves", "waiting for healthy state of /Service/door")
    assert state["syncResult"]["revision"] == commit
    assert {one["name"]: one["message"] for one in state["syncResult"]["resources"]} == {
        "early": "configmap/early created",
        "door": "service/door created",
    }
    assert ship.configmap(namespace, "late") is None
    late = ship.resource("waves", "late")
    assert (late["status"], late["syncWave"]) == ("OutOfSync", 5)

    opened(ship, namespace)

    ship.synced("waves", commit)
    state = ship.ended("waves")["status"]["operationState"]
    assert state["phase"] == "Succeeded"
    assert {one["name"]: one["message"] for one in state["syncResult"]["resources"]} == {
        "early": "configmap/early created",
        "door": "service/door created",
        "late": "configmap/late created",
    }
    assert len(ship.app("waves")["status"]["history"]) == 1


def test_a_delivery_is_finished_when_its_last_wave_is(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("early", v="1")})
    ship.create_app("delivered", git_repo, namespace)
    ship.synced("delivered", first)
    ship.quiet()

    delivery = ship.deliver(
        git_repo, git_repo.commit({**FILES, "a.yaml": waved(configmap("early", v="2"), -1)})
    )
    waits(ship, "delivered", "Service/door")
    assert ship.delivery(delivery)["state"] not in ("succeeded", "failed")
    opened(ship, namespace)

    assert ship.finished(delivery)["outcome"] == "synced"
    assert ship.configmap(namespace, "late")["data"] == {"v": "1"}


def test_what_is_to_be_pruned_last_stays_until_all_else_is_healthy(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    old = configmap("old", v="1").replace(
        "metadata:\n", "metadata:\n  annotations: {mooring.dev/sync-options: PruneLast=true}\n"
    )
    first = git_repo.commit({"a.yaml": old, "b.yaml": configmap("kept", v="1")})
    ship.create_app("last", git_repo, namespace, prune=True)
    ship.synced("last", first)
    ship.quiet()

    commit = git_repo.commit({"a.yaml": None, "d.yaml": DOOR})
    delivery = ship.deliver(git_repo, commit)
    waits(ship, "last", "Service/door")
    assert ship.configmap(namespace, "old")
    opened(ship, namespace)

    assert ship.finished(delivery)["outcome"] == "synced"
    until("it to go", lambda: ship.configmap(namespace, "old") is None)
    assert ship.configmap(namespace, "kept")


def test_children_of_what_is_pruned_stay_where_that_is_asked_for(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    def set_of() -> Any:
        items = ship.ask(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
        return items[0] if items else None

    first = git_repo.commit({"a.yaml": DEPLOYMENT, "b.yaml": configmap("kept", v="1")})
    policy = {"automated": {"prune": True}, "syncOptions": ["PrunePropagationPolicy=orphan"]}
    ship.create_app("orphan", git_repo, namespace, policy=policy)
    ship.synced("orphan", first)
    until("its ReplicaSet", set_of)

    ship.synced("orphan", ship.pushed(git_repo, {"a.yaml": None}))

    until(
        "the Deployment to go",
        lambda: ship.find(f"/apis/apps/v1/namespaces/{namespace}/deployments/web") is None,
    )
    until("the ReplicaSet to be nobody's", lambda: not set_of()["metadata"].get("ownerReferences"))


def test_a_newer_commit_does_not_wait_for_the_waves_of_an_older_one(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit(FILES)
    ship.create_app("newer", git_repo, namespace)
    waits(ship, "newer", "Service/door")

    newer = ship.pushed(git_repo, {"b.yaml": None, "c.yaml": waved(configmap("late", v="2"), 5)})

    ship.synced("newer", newer)
    assert ship.configmap(namespace, "late")["data"] == {"v": "2"}


def test_a_wave_that_is_degraded_ends_the_sync(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit({"a.yaml": DISK, "b.yaml": waved(configmap("late", v="1"), 1)})
    ship.create_app("degraded", git_repo, namespace)
    waits(ship, "degraded", "PersistentVolumeClaim/disk")

    status(ship, namespace, "persistentvolumeclaims", "disk", {"phase": "Lost"})

    state = ship.ended("degraded")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert "PersistentVolumeClaim" in state["message"]
    assert ship.configmap(namespace, "late") is None


def test_a_sync_that_waits_can_be_ended(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit(FILES)
    ship.create_app("terminated", git_repo, namespace)
    waits(ship, "terminated", "Service/door")

    done = ship.mooring("app", "terminate-op", "terminated")

    assert done.returncode == 0, done.stderr
    state = ship.ended("terminated")["status"]["operationState"]
    assert state["phase"] == "Failed"
    opened(ship, namespace)
    ship.quiet()
    assert ship.configmap(namespace, "late") is None


def test_whoever_dies_while_a_sync_waits_another_goes_on(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("orphaned", git_repo, namespace)
    waits(ship, "orphaned", "Service/door")
    for pool in ("deploy", "reconcile"):
        ship.end(pool)
    opened(ship, namespace)
    ship.start("deploy", "reconcile")

    ship.synced("orphaned", commit)
    assert ship.configmap(namespace, "late")["data"] == {"v": "1"}
