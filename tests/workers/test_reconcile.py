"""A full reconciliation looks at nobody whose objects are proved to be as they were, and at all others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.client import Configuration

from devcluster.gitserver import GitServer
from mooring.keys import AppKey
from mooring.names import STATE
from mooring.settings import Settings
from tests.stories.ship import configmap, until
from tests.workers.skiff import CONFIG_MAP, Skiff
from workers import pipeline
from workers.applyset.parent import Parent
from workers.applyset.store import Listed
from workers.apps.home import PROJECT
from workers.cluster.kinds import Kind
from workers.cluster.transport import Transport
from workers.reconcile import unproved

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

SERVICE = Kind("", "v1", "Service", "services", namespaced=True)
BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", namespaced=True)
NAMES = ("one", "two", "three")


class Fleet:
    """Three apps, each with a namespace of its own, that were looked at and are as Git has them."""

    def __init__(self, skiff: Skiff, git: GitServer, home: str) -> None:
        self.skiff, self.home = skiff, home
        self.repo = git.create(f"fleet-{secrets.token_hex(5)}")
        self.commit = self.repo.commit({path: text for name in NAMES for path, text in _files(name).items()})
        self.namespaces = {name: f"test-{name}-{secrets.token_hex(4)}" for name in NAMES}
        for name, namespace in self.namespaces.items():
            skiff.create_namespace(namespace)
            skiff.create_healing_app(name, self.repo.url, namespace)
        skiff.settle()
        self.reconciled()

    def reconciled(self) -> int:
        """Reconcile; the requests that it took."""
        count = self.skiff.engine.api.transport.count
        before = count.total()
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.work()
        return count.total() - before

    def write(self, kind: Kind, name: str, patch: dict[str, Any], app: str = "one") -> None:
        self.skiff.engine.api.patch(kind, self.namespaces[app], name, patch, manager="somebody")


def _files(name: str) -> dict[str, str]:
    service = '{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}}'
    return {f"{name}/a.yaml": configmap("a", v="1"), f"{name}/web.yaml": service}


@pytest.fixture
def fleet(skiff_settings: Settings, namespace: str, git_server: GitServer) -> Iterator[Fleet]:
    # Each object's turn for a dry-run is hardly ever.
    found = Fleet(Skiff(replace(skiff_settings, reconcile_s=0.01)), git_server, namespace)
    yield found
    for name in NAMES:
        found.skiff.delete_app(name)
    for one in found.namespaces.values():
        found.skiff.delete_namespace(one)


def test_where_nothing_has_changed_one_list_a_kind_is_all_and_nobody_is_looked_at(fleet: Fleet) -> None:
    assert fleet.skiff.unproved() == set()
    # Applications, inventories, two kinds; renders of apps that are gone. Into one of them may fall what is
    # read again once it is ten seconds old: argocd-cm, projects, credentials.
    assert min(fleet.reconciled() for _ in range(3)) <= 5
    assert fleet.skiff.sync("one").status == "Synced"


def _edit(fleet: Fleet) -> None:
    fleet.write(CONFIG_MAP, "a", {"data": {"v": "drift"}})


def _add(fleet: Fleet) -> None:
    fleet.write(SERVICE, "web", {"metadata": {"annotations": {"somebody": "was here"}}})


def _delete(fleet: Fleet) -> None:
    live = fleet.skiff.engine.api.get(CONFIG_MAP, fleet.namespaces["one"], "a")
    assert live is not None
    fleet.skiff.engine.api.delete(CONFIG_MAP, live, "background")


def _clone(fleet: Fleet) -> None:
    live = fleet.skiff.engine.api.get(CONFIG_MAP, fleet.namespaces["one"], "a")
    assert live is not None
    body = {"metadata": {"name": "clone", "namespace": live.key.namespace, "labels": dict(live.labels)}}
    fleet.skiff.engine.api.create(CONFIG_MAP, body, manager="somebody")


def _lose_inventory(fleet: Fleet) -> None:
    api, parent = fleet.skiff.engine.api, _parent(fleet)
    live = api.get(CONFIG_MAP, fleet.home, parent.name)
    assert live is not None
    api.delete(CONFIG_MAP, live, "background")


def _edit_inventory(fleet: Fleet) -> None:
    patch = {"metadata": {"annotations": {"somebody": "was here"}}}
    fleet.skiff.engine.api.patch(CONFIG_MAP, fleet.home, _parent(fleet).name, patch)


def _parent(fleet: Fleet) -> Parent:
    return Parent(AppKey(fleet.home, "one"), fleet.skiff.engine.installation.id, fleet.home)


def _edit_spec(fleet: Fleet) -> None:
    fleet.skiff.patch_app("one", {"spec": {"syncPolicy": {"automated": {"prune": True}}}})


def _annotate(fleet: Fleet) -> None:
    fleet.skiff.patch_app(
        "one", {"metadata": {"annotations": {"link.argocd.argoproj.io/docs": "https://a.b"}}}
    )


def _forget(fleet: Fleet) -> None:
    fleet.skiff.patch_app("one", {"metadata": {"annotations": {STATE: None}}})


def _tell_otherwise(fleet: Fleet) -> None:
    app = fleet.skiff.app("one")
    resources = [one.to_dict() for one in app.status.resources]
    resources[-1]["health"] = {"status": "Degraded"}
    fleet.skiff.patch_app("one", {"status": {"resources": resources}})


def _lose_a_resource(fleet: Fleet) -> None:
    resources = [one.to_dict() for one in fleet.skiff.app("one").status.resources]
    fleet.skiff.patch_app("one", {"status": {"resources": resources[:1]}})


def _lose_proofs(fleet: Fleet) -> None:
    engine = fleet.skiff.engine
    (key,) = engine.redis.keys(f"mooring:proofs:*:{AppKey(fleet.home, 'one')}")
    engine.redis.delete(key)


def _garble_proof(fleet: Fleet) -> None:
    engine = fleet.skiff.engine
    (key,) = engine.redis.keys(f"mooring:proofs:*:{AppKey(fleet.home, 'one')}")
    engine.redis.hset(key, "/ConfigMap//a", b"{")
    engine.redis.hset(key, f"/ConfigMap/{fleet.namespaces['one']}/a", b"[1]")


def _ask(fleet: Fleet) -> None:
    fleet.skiff.patch_app("one", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})


def _not_looked_at_for_long(fleet: Fleet) -> None:
    fleet.skiff.patch_app("one", {"status": {"reconciledAt": "2026-01-01T00:00:00Z"}})


@pytest.mark.parametrize(
    "change",
    [
        _edit,
        _add,
        _delete,
        _clone,
        _lose_inventory,
        _edit_inventory,
        _edit_spec,
        _annotate,
        _forget,
        _tell_otherwise,
        _lose_a_resource,
        _lose_proofs,
        _garble_proof,
        _ask,
        _not_looked_at_for_long,
    ],
)
def test_whoever_lacks_proof_is_looked_at_and_nobody_else(
    fleet: Fleet, change: Callable[[Fleet], None]
) -> None:
    change(fleet)
    assert fleet.skiff.unproved() == {"one"}


def test_what_looks_at_all_rest_on_has_all_looked_at(fleet: Fleet) -> None:
    engine = fleet.skiff.engine
    apps = engine.applications.list().apps
    for other in (
        replace(engine, settings=replace(engine.settings, kustomize_enable_helm=True)),
        replace(engine, settings=replace(engine.settings, reconcile_s=86_400.0)),  # all are due a dry-run
    ):
        assert {key.name for key in unproved(other, apps, Listed())} == set(NAMES)


def test_where_anything_cannot_be_listed_all_are_looked_at(fleet: Fleet) -> None:
    engine = fleet.skiff.engine
    apps = engine.applications.list().apps
    away = Configuration()
    away.host = "https://127.0.0.1:1"
    nowhere = replace(engine.api, transport=Transport(lambda: away))
    for other in (replace(engine, api=nowhere), replace(engine, own=nowhere)):
        assert {key.name for key in unproved(other, apps, Listed())} == set(NAMES)


def test_a_push_that_changes_nothing_for_an_app_takes_no_proof_from_it(fleet: Fleet) -> None:
    second = fleet.repo.commit({"two/a.yaml": configmap("a", v="2")})
    pipeline.push(fleet.skiff.engine, fleet.repo.url, "main")
    fleet.skiff.settle()
    assert fleet.skiff.sync("one").revision == second
    assert fleet.skiff.config_maps(fleet.namespaces["two"]) == {"a": "2"}
    assert "one" not in fleet.skiff.unproved()
    assert "three" not in fleet.skiff.unproved()


def test_of_lost_records_each_object_is_tried_once_and_proved_again(fleet: Fleet) -> None:
    engine = fleet.skiff.engine
    engine.redis.flushdb()
    count = engine.api.transport.count
    before = count["PATCH"]
    assert fleet.skiff.unproved() == set(NAMES)
    fleet.reconciled()
    assert count["PATCH"] - before == 2 * len(NAMES)  # and no status is written
    assert fleet.skiff.unproved() == set()


def test_what_is_written_by_another_service_account_is_looked_at_anew(fleet: Fleet) -> None:
    """What one has proved says nothing of what another may write."""
    skiff, server = fleet.skiff, "https://kubernetes.default.svc"
    entries = [
        {"server": server, "namespace": one, "defaultServiceAccount": "deployer"}
        for one in fleet.namespaces.values()
    ]
    for namespace in fleet.namespaces.values():
        for name in ("deployer", "another"):
            skiff.engine.api.create(BINDING, _may_everything(namespace, name))
    config = {"metadata": {"name": "argocd-cm", "namespace": fleet.home}}
    config["data"] = {"application.sync.impersonation.enabled": "true"}
    project = {"apiVersion": PROJECT.api_version, "kind": PROJECT.kind}
    spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    spec |= {"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
    skiff.engine.api.create(
        PROJECT,
        {
            **project,
            "metadata": {"name": "default", "namespace": fleet.home},
            "spec": {**spec, "destinationServiceAccounts": entries},
        },
    )
    skiff.engine.api.create(CONFIG_MAP, config)
    until("the first account to be known", lambda: fleet.skiff.unproved() == set(NAMES))
    until("its rights to be known", lambda: fleet.reconciled() and not fleet.skiff.unproved())

    entries[0]["defaultServiceAccount"] = "another"
    patch = {"spec": {"destinationServiceAccounts": entries}}
    skiff.engine.api.patch(PROJECT, fleet.home, "default", patch)
    # They share a project.
    until("the other account to be known", lambda: fleet.skiff.unproved() == set(NAMES))
    fleet.reconciled()
    assert fleet.skiff.unproved() == set()
    proofs = skiff.engine.proofs.load(skiff.engine.api.cluster, AppKey(fleet.home, "one"))
    user = f"system:serviceaccount:{fleet.namespaces['one']}:another"
    assert [proof.schema.partition(" by ")[2] for proof in proofs.values()] == [user, user]


def _may_everything(namespace: str, account: str) -> dict[str, Any]:
    return {
        "metadata": {"name": account, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def test_what_was_drifted_is_healed_by_the_reconciliation_and_proved_again_by_the_next(fleet: Fleet) -> None:
    fleet.write(CONFIG_MAP, "a", {"data": {"v": "drift"}})
    fleet.reconciled()
    fleet.skiff.settle()
    assert fleet.skiff.config_maps(fleet.namespaces["one"]) == {"a": "1"}
    fleet.reconciled()
    assert fleet.skiff.unproved() == set()
