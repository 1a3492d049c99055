"""The observer hears of all clusters: two real control planes.

These stories have no beat, so nothing is looked at because its time has come: what goes on, the observer has
woken.
"""

from __future__ import annotations

import base64
import json
import secrets
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.names import TASK_CLUSTER, TASK_TURN
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_many_clusters import (
    MERGE,
    declare,
    fleet,
    found,
    other,
    paused,
    resumed,
    there,
)
from tests.stories.test_waves import DOOR

__all__ = ["fleet", "other", "there"]  # fixtures

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "observer")


@pytest.fixture(autouse=True)
def _what_was_put_off_is_tried_again(ship: Ship) -> Iterator[None]:
    with ship.sends_due(TASK_TURN, TASK_CLUSTER):
        yield


def deployed(ship: Ship, name: str, repo: Repository, namespace: str, cluster: str, **data: str) -> None:
    """An app that heals itself, in a cluster by its name."""
    commit = repo.commit({f"{name}/a.yaml": configmap(name, **data)})
    spec = {"destination": {"name": cluster, "namespace": namespace}}
    ship.create_app(name, repo, namespace, path=name, selfHeal=True, spec=spec)
    ship.synced(name, commit)
    ship.ended(name)
    ship.quiet_but(name)


def edit(cluster: Cluster, namespace: str, name: str, value: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    devcluster.ask(cluster, path, {"data": {"v": value}}, **MERGE)


def heals(ship: Ship, cluster: Cluster, namespace: str, name: str) -> None:
    """An edit is put back."""
    edit(cluster, namespace, name, secrets.token_hex(4))
    until(f"{name} to be put back", lambda: found(cluster, namespace, name)["data"] == {"v": "1"})
    ship.quiet_but(name)


def account(cluster: Cluster, namespace: str, role: str, kind: str = "ClusterRole") -> tuple[str, str]:
    """A new service account that has the role, in its namespace alone where that is a Role, and its token."""
    name = f"mooring-{secrets.token_hex(3)}"
    base = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    devcluster.ask(cluster, base, {"metadata": {"name": name}})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    at = f"{rbac}/namespaces/{namespace}/rolebindings" if kind == "Role" else f"{rbac}/clusterrolebindings"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    devcluster.ask(cluster, at, binding)
    return name, str(devcluster.ask(cluster, f"{base}/{name}/token", {"spec": {}})["status"]["token"])


def config(cluster: Cluster, token: str) -> str:
    tls = {"caData": base64.b64encode(cluster.ca.read_bytes()).decode(), "serverName": "127.0.0.1"}
    return json.dumps({"bearerToken": token, "tlsClientConfig": tls})


def aliased(cluster: Cluster, host: str) -> str:
    return f"https://{host}:{cluster.server.rpartition(':')[2]}"


def test_an_edit_in_another_cluster_is_put_back_with_its_event_and_health_follows(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    deployed(fleet, "afar", git_repo, there, "other", v="1")
    heals(fleet, other, there, "afar")
    devcluster.ask(other, f"/api/v1/namespaces/{there}/configmaps/afar", method="DELETE")
    until("it to be there again", lambda: found(other, there, "afar"))

    commit = git_repo.commit({"door/door.yaml": DOOR})
    spec = {"destination": {"name": "other", "namespace": there}}
    fleet.create_app("door", git_repo, there, path="door", spec=spec)
    assert fleet.synced("door", commit)["status"]["health"]["status"] == "Progressing"
    fleet.quiet_but("door")
    opened = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    devcluster.ask(other, f"/api/v1/namespaces/{there}/services/door/status", opened, **MERGE)
    until("it to be healthy", lambda: fleet.app("door")["status"]["health"]["status"] == "Healthy")


def test_a_cluster_that_hangs_keeps_no_other_from_being_heard(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    deployed(fleet, "hangs", git_repo, there, "other", v="1")
    deployed(fleet, "goes-on", git_repo, there, "in-cluster", v="1")
    paused(other.name)
    try:
        heals(fleet, fleet.cluster, there, "goes-on")
        # Also while somebody has just asked in vain.
        fleet.patch_app("hangs", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
        fleet.condition("hangs", "cluster other: ")
        heals(fleet, fleet.cluster, there, "goes-on")
    finally:
        resumed(other.name)
    fleet.unsaid("hangs", "cluster other: ")
    fleet.quiet_but("hangs")
    heals(fleet, other, there, "hangs")


def test_a_secret_that_comes_changes_and_goes_is_followed(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    path = f"/api/v1/namespaces/{fleet.home}/secrets/cluster-comes"
    (old, first), (_, second) = (account(other, there, "cluster-admin") for _ in range(2))
    declare(fleet, "comes", other, server=aliased(other, "localhost"), config=config(other, first))
    deployed(fleet, "follows", git_repo, there, "comes", v="1")
    heals(fleet, other, there, "follows")

    # Another credential, and the first one is none any more.
    fleet.ask(path, {"stringData": {"config": config(other, second)}}, **MERGE)
    devcluster.ask(other, f"/api/v1/namespaces/{there}/serviceaccounts/{old}", method="DELETE")
    until("the first to be refused", lambda: is_refused(other, first))
    heals(fleet, other, there, "follows")

    # Gone: nobody hears what happens there; and back.
    body = fleet.ask(path)
    fleet.ask(path, method="DELETE")
    fleet.refresh("follows")
    fleet.condition("follows", "there are no clusters with this name: comes")
    edit(other, there, "follows", "edited while it was unknown")
    kept = {key: body[key] for key in ("apiVersion", "kind", "type", "data")}
    metadata = {"name": "cluster-comes", "labels": body["metadata"]["labels"]}
    fleet.ask(path.rpartition("/")[0], {**kept, "metadata": metadata})
    until("it to be put back", lambda: found(other, there, "follows")["data"] == {"v": "1"})
    for log in fleet.children:
        assert first not in fleet.log(log) and second not in fleet.log(log)


def is_refused(cluster: Cluster, token: str) -> bool:
    try:
        devcluster.ask(replace(cluster, token=token), "/api/v1/namespaces")
    except urllib.error.HTTPError as error:
        return error.code == 401
    return False


def test_a_cluster_of_which_some_namespaces_are_ours_is_heard_with_roles_there_alone(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    home = fleet.home
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces"
    rule = [{"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["*"]}]
    devcluster.ask(other, f"{rbac}/{there}/roles", {"metadata": {"name": "all"}, "rules": rule})
    name, token = account(other, there, "all", "Role")
    with_inventories(other, home, there, name)
    server = aliased(other, "127.1")
    fields = {"namespaces": there, "server": server, "config": config(other, token)}
    declare(fleet, "narrow", other, **fields)
    deployed(fleet, "inside", git_repo, there, "narrow", v="1")

    heals(fleet, other, there, "inside")


def with_inventories(cluster: Cluster, home: str, namespace: str, name: str) -> None:
    """The account may keep inventories, in the namespace named as Mooring's."""
    known = devcluster.ask(cluster, "/api/v1/namespaces")["items"]
    if home not in {one["metadata"]["name"] for one in known}:
        devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": home}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{home}"
    rule = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
    devcluster.ask(cluster, f"{rbac}/roles", {"metadata": {"name": name}, "rules": rule})
    binding: dict[str, Any] = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    devcluster.ask(cluster, f"{rbac}/rolebindings", binding)
