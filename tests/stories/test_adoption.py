"""Objects that were there before: by kubectl, by Argo CD, by nobody known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.names import ID, TRACKING_ID
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


def by_argo(ship: Ship, namespace: str, name: str, tracking: str, **data: str) -> None:
    """A ConfigMap as Argo CD writes it: server-side, as its own field manager, with its tracking id."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "annotations": {TRACKING_ID: tracking}},
        "data": data,
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=argocd-controller"
    ship.ask(path, body, method="PATCH", content_type="application/apply-patch+yaml")


def managers(ship: Ship, namespace: str, name: str) -> set[str]:
    return {entry["manager"] for entry in ship.configmap(namespace, name)["metadata"]["managedFields"]}


def removes(ship: Ship, repo: Repository, app: str, *names: str) -> None:
    commit = repo.commit({f"{name}.yaml": None for name in names})
    ship.finished(ship.deliver(repo, commit))
    until("the push to be compared", lambda: ship.app(app)["status"]["sync"]["revision"] == commit)


def test_what_kubectl_applied_is_adopted_and_fields_that_left_git_really_go(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    before = configmap("old", kept="1", dropped="by git", changed="no")
    ship.kubectl("-n", namespace, "apply", "-f", "-", given=before)
    uid = ship.configmap(namespace, "old")["metadata"]["uid"]
    first = git_repo.commit(
        {"old.yaml": configmap("old", kept="1", changed="yes", later="1"), "new.yaml": configmap("new")}
    )
    ship.create_app("adopts", git_repo, namespace)

    ship.synced("adopts", first)
    adopted = ship.configmap(namespace, "old")
    assert adopted["metadata"]["uid"] == uid
    assert adopted["data"] == {"kept": "1", "changed": "yes", "later": "1"}, "`dropped` is not in Git"
    assert ID in adopted["metadata"]["annotations"]
    assert "kubectl-client-side-apply" not in managers(ship, namespace, "old")

    second = git_repo.commit({"old.yaml": configmap("old", kept="1")})
    ship.deliver(git_repo, second)
    ship.synced("adopts", second)
    assert ship.configmap(namespace, "old")["data"] == {"kept": "1"}


def test_what_was_adopted_is_not_pruned_unless_somebody_says_so(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.kubectl("-n", namespace, "apply", "-f", "-", given=configmap("old"))
    files = {f"{name}.yaml": configmap(name) for name in ("old", "one", "two")}
    ship.create_app("spares", git_repo, namespace)
    ship.synced("spares", git_repo.commit(files))

    removes(ship, git_repo, "spares", "old", "one")

    ship.condition("spares", "adopted rather than created")
    until("one to be gone", lambda: ship.configmap(namespace, "one") is None)
    assert ship.configmap(namespace, "old")
    ship.operate("spares", prune=True)
    until("old to be gone", lambda: ship.configmap(namespace, "old") is None)


def test_what_argo_cd_tracked_for_this_very_app_counts_as_created_by_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    by_argo(ship, namespace, "mine", f"moves-over:/ConfigMap:{namespace}/mine", v="1", gone="x")
    by_argo(ship, namespace, "theirs", f"another-app:/ConfigMap:{namespace}/theirs", v="1")
    by_argo(ship, namespace, "clone", f"moves-over:/ConfigMap:{namespace}/mine", v="1")
    names = ("mine", "theirs", "clone", "one", "two", "three", "four")
    ship.create_app("moves-over", git_repo, namespace)
    ship.synced("moves-over", git_repo.commit({f"{n}.yaml": configmap(n, v="1") for n in names}))
    assert ship.configmap(namespace, "mine")["data"] == {"v": "1"}, "Argo CD's fields are ours now"
    assert "argocd-controller" not in managers(ship, namespace, "mine")

    removes(ship, git_repo, "moves-over", "mine", "theirs", "clone")

    until("mine to be gone", lambda: ship.configmap(namespace, "mine") is None)
    told = ship.condition("moves-over", "adopted rather than created")["message"]
    assert f"{namespace}/theirs" in told
    assert f"{namespace}/clone" in told
    assert ship.configmap(namespace, "theirs")
    assert ship.configmap(namespace, "clone")


def test_what_argo_cd_tracked_by_its_label_counts_as_created_too(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    label = {"app.kubernetes.io/instance": "moves-label"}
    for name, manager, labels in (
        ("mine", "argocd-controller", label),
        ("theirs", "argocd-controller", {"app.kubernetes.io/instance": "another-app"}),
        ("charts", "helm", label),
    ):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager={manager}"
        ship.ask(path, body, method="PATCH", content_type="application/apply-patch+yaml")
    names = ("mine", "theirs", "charts", "one", "two", "three", "four")
    ship.create_app("moves-label", git_repo, namespace)
    ship.synced("moves-label", git_repo.commit({f"{n}.yaml": configmap(n) for n in names}))

    removes(ship, git_repo, "moves-label", "mine", "theirs", "charts")

    until("mine to be gone", lambda: ship.configmap(namespace, "mine") is None)
    told = ship.condition("moves-label", "adopted rather than created")["message"]
    assert f"{namespace}/theirs" in told
    assert f"{namespace}/charts" in told
    assert ship.configmap(namespace, "theirs")
    assert ship.configmap(namespace, "charts")


def test_a_field_that_left_git_and_is_kept_by_another_manager_is_told_of(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("shares", git_repo, namespace)
    ship.synced("shares", git_repo.commit({"a.yaml": configmap("a", mine="1", ours="1")}))
    also: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    also["data"] = {"ours": "1"}
    path = f"/api/v1/namespaces/{namespace}/configmaps/a?fieldManager=neighbour"
    ship.ask(path, also, method="PATCH", content_type="application/apply-patch+yaml")

    commit = git_repo.commit({"a.yaml": configmap("a", mine="1")})
    ship.deliver(git_repo, commit)

    told = ship.condition("shares", "kept by neighbour")
    assert "data.ours" in told["message"]
    assert ship.configmap(namespace, "a")["data"] == {"mine": "1", "ours": "1"}


def test_replicas_that_git_leaves_to_an_autoscaler_stay_as_they_are(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    container = {"name": "web", "image": "example.org/web:1"}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    ship.create_app("scales", git_repo, namespace, selfHeal=True)
    ship.synced("scales", git_repo.commit({"web.yaml": json.dumps(deployment)}))
    ship.quiet()

    ship.kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=2")
    app = ship.reconcile("scales")

    assert app["status"]["sync"]["status"] == "Synced"
    assert ship.ask(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")["spec"]["replicas"] == 2
