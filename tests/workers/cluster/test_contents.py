"""All that some namespaces hold, by whatever rights one has to see it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster as ControlPlane
from tests.definitions import definition
from tests.stories.ship import until
from tests.workers.objects import key, live
from workers.cluster.api import NAMESPACE, Api
from workers.cluster.connect import Cluster
from workers.cluster.contents import Contents, contents
from workers.cluster.kinds import Discovery, Kind

pytestmark = pytest.mark.cluster

_RBAC = "rbac.authorization.k8s.io"
_ROLE = Kind(_RBAC, "v1", "Role", "roles", namespaced=True)
_BINDING = Kind(_RBAC, "v1", "RoleBinding", "rolebindings", namespaced=True)
_CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)


@pytest.fixture
def namespaces(api: Api) -> Iterator[tuple[str, ...]]:
    """More than are listed one by one."""
    found = tuple(f"test-{secrets.token_hex(5)}" for _ in range(4))
    for name in found:
        api.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield found
    for name in found:
        if (there := api.get(NAMESPACE, "", name)) is not None:
            api.delete(NAMESPACE, there, "background", any_version=True)


def config_maps(api: Api, namespaces: tuple[str, ...]) -> Contents:
    with ThreadPoolExecutor(2) as executor:
        return contents(api, executor, namespaces, without=lambda kind: kind.kind != "ConfigMap")


def test_who_may_list_in_each_namespace_alone_is_given_what_they_hold(
    api: Api, namespaces: tuple[str, ...]
) -> None:
    user = f"sailor-{namespaces[0]}"
    may = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    for number, namespace in enumerate(namespaces):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {}}
        api.create(_CONFIG_MAP, body | {"metadata": {"name": f"cm-{number}", "namespace": namespace}})
        head = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": "lists", "namespace": namespace}}
        api.create(_ROLE, head | {"kind": "Role", "rules": [may]})
        bound = {
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "lists"},
            "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
        }
        if number:  # the first one's comes later
            api.create(_BINDING, head | {"kind": "RoleBinding"} | bound)
    theirs = replace(api, identity=replace(api.identity, user=user))

    def names() -> set[str]:
        found = config_maps(theirs, namespaces)
        assert not found.failed
        return {one.key.name for one in found.objects} - {"kube-root-ca.crt"}

    assert list(config_maps(theirs, namespaces).failed) == ["ConfigMap"], "one is missing: nobody can tell"
    head = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": "lists", "namespace": namespaces[0]}}
    api.create(_BINDING, head | {"kind": "RoleBinding"} | bound)
    until("the rights to be known", lambda: not config_maps(theirs, namespaces).failed)
    until("all of it in the server's cache", lambda: names() == {f"cm-{number}" for number in range(4)})


def test_what_has_no_uid_is_an_object_all_the_same(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(live(key(name), uid="") for name in ("one", "two"))
    monkeypatch.setattr(Api, "list", lambda *_, **__: found)
    assert config_maps(api, (found[0].key.namespace,)).objects == found


def test_a_kind_that_was_taken_away_since_it_was_known_holds_nothing(
    api: Api, connection: Cluster, cluster: ControlPlane, namespace: str
) -> None:
    group = f"contents{secrets.token_hex(4)}.mooring.dev"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    devcluster.ask(cluster, definitions, definition(group, "Boat", {"type": "object"}))
    boats = api.discovery.await_kind(f"{group}/v1", "Boat")

    def held() -> Contents:
        with ThreadPoolExecutor(2) as executor:
            return contents(api, executor, [namespace], without=lambda kind: kind.group != group)

    until("boats to be listed", lambda: not held().failed)
    devcluster.ask(cluster, f"{definitions}/boats.{group}", method="DELETE")
    another = Discovery(connection.transport)

    def gone() -> bool:
        another.invalidate()
        return another.find(boats.api_version, boats.kind) is None

    until("the kind to be gone", gone)
    assert boats in api.discovery.served()[0], "as far as is known here"

    assert held() == Contents((), {})
