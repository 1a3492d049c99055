"""Only our own is ever deleted, and nobody else's is overwritten."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.names import APPLYSET_PART_OF, ID
from tests.stories.ship import APPS, Ship, configmap, until

pytestmark = pytest.mark.cluster

PATCH = {"method": "PATCH", "content_type": "application/merge-patch+json"}


def marks(ship: Ship, namespace: str, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Our label and our annotation as they stand on a ConfigMap of ours."""
    metadata = ship.configmap(namespace, name)["metadata"]
    label, annotation = metadata["labels"][APPLYSET_PART_OF], metadata["annotations"][ID]
    return {APPLYSET_PART_OF: label}, {ID: annotation}


def test_a_clone_with_our_label_and_id_is_never_pruned(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({f"{name}.yaml": configmap(name, v="1") for name in ("one", "two", "three")})
    ship.create_app("clones", git_repo, namespace)
    ship.synced("clones", first)
    clone = json.loads(ship.kubectl("-n", namespace, "get", "configmap", "one", "-o", "json"))
    clone["metadata"] = {
        "name": "clone",
        "namespace": namespace,
        "labels": clone["metadata"]["labels"],
        "annotations": clone["metadata"]["annotations"],
    }
    ship.kubectl("apply", "-f", "-", given=json.dumps(clone))

    commit = git_repo.commit({"one.yaml": None})
    ship.deliver(git_repo, commit)

    app = ship.synced("clones", commit)
    until("the original to be gone", lambda: ship.configmap(namespace, "one") is None)
    assert ship.configmap(namespace, "clone")["data"] == {"v": "1"}
    assert {r["name"] for r in app["status"]["resources"]} == {"two", "three"}


def test_children_that_controllers_made_with_our_labels_stay_and_count_for_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a"), "b.yaml": configmap("b")})
    ship.create_app("children", git_repo, namespace)
    ship.synced("children", git_repo.resolve("main") or "")
    labels, annotations = marks(ship, namespace, "a")
    labels_of_pod = {"app": "web", **labels}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": labels_of_pod, "annotations": annotations},
                "spec": {"containers": [{"name": "web", "image": "example.org/web:1"}]},
            },
        },
    }
    # The app has the Deployment; its ReplicaSets and Pods carry a copy of the app's own marks.
    ship.pushed(git_repo, {"web.yaml": json.dumps(deployment)})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    until("the pod", lambda: bool(ship.ask(pods)["items"]))

    # The same for an object in the inventory's own kind, made by a controller.
    owner = ship.ask(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")["metadata"]
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "child",
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": "web",
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
    }
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", child)
    commit = git_repo.commit({"b.yaml": None})
    ship.deliver(git_repo, commit)

    app = ship.synced("children", commit)
    until("b to be gone", lambda: ship.configmap(namespace, "b") is None)
    assert ship.configmap(namespace, "child")
    assert ship.ask(pods)["items"]
    assert {r["name"] for r in app["status"]["resources"]} == {"a", "web"}


def test_an_object_of_ours_that_a_controller_took_over_is_not_pruned(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("taken", git_repo, namespace)
    ship.synced("taken", git_repo.commit({f"{n}.yaml": configmap(n) for n in ("one", "two", "three")}))
    owner = ship.configmap(namespace, "two")["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "two",
        "uid": owner["uid"],
        "controller": True,
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    ship.ask(path, {"metadata": {"ownerReferences": [reference]}}, **PATCH)

    ship.deliver(git_repo, git_repo.commit({"one.yaml": None}))

    ship.condition("taken", "a controller owns it")
    assert ship.configmap(namespace, "one")


def test_two_apps_with_the_same_object_are_both_told_and_the_first_keeps_it_until_it_lets_go(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("first", git_repo, namespace, path="first")
    one = git_repo.commit(
        {
            "first/shared.yaml": configmap("shared", of="first"),
            "first/own.yaml": configmap("own-first"),
            "second/own.yaml": configmap("own-second"),
        }
    )
    ship.synced("first", one)
    git_repo.commit({"second/shared.yaml": configmap("shared", of="second")})
    ship.create_app("second", git_repo, namespace, path="second")

    told = ship.condition("second", "belongs to app first")
    assert told["type"] == "SharedResourceWarning"
    assert ship.configmap(namespace, "shared")["data"] == {"of": "first"}
    until("what is its own", lambda: ship.configmap(namespace, "own-second"))
    assert ship.resource("second", "shared")["status"] == "OutOfSync"
    told = ship.condition("first", "second")
    assert told["type"] == "SharedResourceWarning"
    assert ship.configmap(namespace, "shared")["data"] == {"of": "first"}

    three = git_repo.commit({"first/shared.yaml": None})
    uid = ship.configmap(namespace, "shared")["metadata"]["uid"]
    ship.deliver(git_repo, three)
    ship.synced("second", three)
    shared = ship.configmap(namespace, "shared")
    assert shared["data"] == {"of": "second"}
    assert shared["metadata"]["uid"] == uid, "handed over, not deleted and created anew"
    ship.unsaid("second", "belongs to app")

    # Whatever the first app prunes from now on, it is not this.
    ship.pushed(git_repo, {"first/own.yaml": None, "first/new.yaml": configmap("new-first")})
    ship.refresh("first")
    until("the first app's own to be gone", lambda: ship.configmap(namespace, "own-first") is None)
    assert ship.configmap(namespace, "shared")["metadata"]["uid"] == uid
    assert ship.resource("first", "shared") is None
    ship.unsaid("first", "shared")


def test_a_sync_whose_only_news_is_another_apps_object_fails_and_says_so(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"first/it.yaml": configmap("it", of="first"), "second/own.yaml": configmap("own")})
    ship.create_app("has-it", git_repo, namespace, path="first")
    policy = {"syncOptions": ["FailOnSharedResource=true"]}
    ship.create_app("wants-it", git_repo, namespace, path="second", policy=policy)
    until("both objects", lambda: ship.configmap(namespace, "it") and ship.configmap(namespace, "own"))
    ship.quiet()

    commit = git_repo.commit({"second/it.yaml": configmap("it", of="second")})
    told = ship.finished(ship.deliver(git_repo, commit))

    assert told["state"] == "failed"
    assert "belongs to app has-it" in told["outcome"]
    state = ship.app("wants-it")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert state["syncResult"]["revision"] == commit
    assert ship.configmap(namespace, "it")["data"] == {"of": "first"}
    ship.reconcile("wants-it")
    assert ship.app("wants-it")["status"]["operationState"] == state, "it is not tried again and again"


def test_another_installations_object_is_neither_written_nor_pruned(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    theirs = {
        "metadata": {
            "name": "theirs",
            "labels": {APPLYSET_PART_OF: "applyset-of-another-v1"},
            "annotations": {ID: f"zzzz9999/mooring_web//ConfigMap/{namespace}/theirs"},
        },
        "data": {"of": "them"},
    }
    made = ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", theirs)
    ship.create_app("foreign", git_repo, namespace)
    git_repo.commit({"theirs.yaml": configmap("theirs", of="us"), "ours.yaml": configmap("ours")})

    ship.condition("foreign", "belongs to another Mooring")
    until("ours", lambda: ship.configmap(namespace, "ours"))
    assert ship.configmap(namespace, "theirs")["metadata"] == made["metadata"]

    commit = git_repo.commit({"theirs.yaml": None, "more.yaml": configmap("more")})
    ship.deliver(git_repo, commit)
    ship.synced("foreign", commit)
    assert ship.configmap(namespace, "theirs")["metadata"] == made["metadata"]


def test_an_object_of_ours_that_another_installation_has_taken_is_left_to_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("moved-out", git_repo, namespace)
    ship.synced("moved-out", git_repo.commit({f"{n}.yaml": configmap(n) for n in ("one", "two", "three")}))
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    theirs = {ID: f"zzzz9999/mooring_web//ConfigMap/{namespace}/one"}
    ship.ask(path, {"metadata": {"annotations": theirs}}, **PATCH)

    commit = git_repo.commit({"one.yaml": None})
    ship.deliver(git_repo, commit)

    ship.synced("moved-out", commit)
    assert ship.configmap(namespace, "one")


def test_what_says_it_is_ours_but_is_in_neither_git_nor_the_inventory_is_told_and_stays(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("strays", git_repo, namespace)
    ship.synced("strays", git_repo.commit({"one.yaml": configmap("one"), "two.yaml": configmap("two")}))
    labels, annotations = marks(ship, namespace, "one")
    annotations[ID] = annotations[ID].removesuffix("/one") + "/stray"
    stray: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "stray", "labels": labels, "annotations": annotations},
        "data": {"v": "1"},
    }
    # Even under our own field manager: the inventory decides.
    path = f"/api/v1/namespaces/{namespace}/configmaps/stray?fieldManager=mooring&force=true"
    ship.ask(path, stray, method="PATCH", content_type="application/apply-patch+yaml")

    commit = git_repo.commit({"two.yaml": None})
    ship.deliver(git_repo, commit)

    ship.synced("strays", commit)
    told = ship.condition("strays", "neither in Git nor in the inventory")
    assert told["type"] == "OrphanedResourceWarning"
    assert "stray" in told["message"]
    until("two to be gone", lambda: ship.configmap(namespace, "two") is None)
    assert ship.configmap(namespace, "stray")["data"] == {"v": "1"}


def test_an_application_deleted_without_cascade_leaves_everything(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name = f"leaves-{secrets.token_hex(3)}"
    ship.create_app(name, git_repo, namespace)
    ship.synced(name, git_repo.commit({"one.yaml": configmap("one")}))
    ship.quiet()

    ship.ask(f"{APPS.format(ship.home)}/{name}", method="DELETE")
    until("the Application to be gone", lambda: ship.app(name) is None)
    commit = git_repo.commit({"one.yaml": None})
    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "succeeded"

    assert ship.configmap(namespace, "one")
