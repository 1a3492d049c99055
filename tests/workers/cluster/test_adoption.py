"""Objects that another tool applied become ours, so that what leaves Git afterwards really goes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import Conflict
from workers.cluster.adopt import _union, migrate_managers
from workers.cluster.api import JSON_PATCH, Api, Update
from workers.cluster.kinds import Kind
from workers.cluster.live import Live

CLIENT_SIDE = ["apply"]
ARGO_SERVER_SIDE = ["apply", "--server-side", "--field-manager=argocd-controller"]
HELM = ["create", "--field-manager=helm"]


def deployment(namespace: str, *, full: bool) -> dict[str, Any]:
    """A Deployment; the full one has a label, an annotation, a field and a variable more."""
    extra = {"labels": {"team": "deck"}, "annotations": {"example.com/note": "x"}} if full else {}
    env = [{"name": "KEPT", "value": "1"}] + ([{"name": "DROPPED", "value": "2"}] if full else [])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, **extra},
        "spec": {
            **({"minReadySeconds": 7} if full else {}),
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i", "env": env}]},
            },
        },
    }


def kubectl(plane: ControlPlane, arguments: list[str], manifest: dict[str, Any]) -> None:
    argv = [*plane.kubectl, *arguments, "-f", "-"]
    subprocess.run(argv, input=json.dumps(manifest), text=True, check=True, capture_output=True)


def dropped_fields(live: Live) -> list[bool]:
    """For each of the four dropped fields, whether it is still there."""
    assert live.body is not None
    container = live.body["spec"]["template"]["spec"]["containers"][0]
    return [
        "team" in live.labels,
        "example.com/note" in live.annotations,
        "minReadySeconds" in live.body["spec"],
        any(variable["name"] == "DROPPED" for variable in container["env"]),
    ]


def get(api: Api, kind: Kind, namespace: str) -> Live:
    live = api.get(kind, namespace, "web")
    assert live is not None
    return live


def adopt(api: Api, kind: Kind, live: Live) -> Live:
    patch = migrate_managers(live)
    assert patch is not None
    return api.patch(kind, live.key.namespace, live.key.name, patch, JSON_PATCH)


def apply(api: Api, kind: Kind, live: Live, *, dry_run: bool = False) -> Live:
    """Applies the manifest without the dropped fields over this very version."""
    body = deployment(live.key.namespace, full=False)
    return api.apply(kind, body, guard=Update(live.uid, live.resource_version), dry_run=dry_run)


def planned_again(step: Callable[[], Live]) -> Live:
    """Reads and tries again while the Deployment's controller writes its status in between."""
    while True:
        try:
            return step()
        except Conflict:
            continue


@pytest.mark.cluster
@pytest.mark.parametrize("tool", [CLIENT_SIDE, ARGO_SERVER_SIDE, HELM], ids=["kubectl", "argocd", "helm"])
def test_a_field_dropped_from_git_after_adoption_is_gone(
    cluster: ControlPlane, api: Api, namespace: str, deployments: Kind, tool: list[str]
) -> None:
    kubectl(cluster, tool, deployment(namespace, full=True))

    # Without adoption the server keeps what the other manager still owns.
    kept = planned_again(lambda: apply(api, deployments, get(api, deployments, namespace), dry_run=True))
    assert dropped_fields(kept) == [True] * 4

    adopted = planned_again(lambda: adopt(api, deployments, get(api, deployments, namespace)))
    assert adopted.manager_entry() is not None
    assert migrate_managers(adopted) is None
    assert dropped_fields(adopted) == [True] * 4
    applied = planned_again(lambda: apply(api, deployments, get(api, deployments, namespace)))
    assert dropped_fields(applied) == [False] * 4
    assert applied.body is not None
    assert applied.body["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"]  # defaults are back


@pytest.mark.cluster
def test_our_own_three_way_merges_are_adopted_too(api: Api, namespace: str, deployments: Kind) -> None:
    api.merge_apply(deployments, deployment(namespace, full=True), None)
    planned_again(lambda: adopt(api, deployments, get(api, deployments, namespace)))
    applied = planned_again(lambda: apply(api, deployments, get(api, deployments, namespace)))
    assert dropped_fields(applied) == [False] * 4


@pytest.mark.cluster
def test_an_object_that_changed_meanwhile_is_not_adopted(
    cluster: ControlPlane, api: Api, namespace: str, deployments: Kind
) -> None:
    kubectl(cluster, CLIENT_SIDE, deployment(namespace, full=True))
    patch = migrate_managers(get(api, deployments, namespace))
    assert patch is not None
    api.patch(deployments, namespace, "web", {"metadata": {"labels": {"changed": "yes"}}})
    with pytest.raises(Conflict):
        api.patch(deployments, namespace, "web", patch, JSON_PATCH)


@pytest.mark.cluster
def test_what_the_server_gave_a_service_outlives_its_adoption(
    cluster: ControlPlane, api: Api, namespace: str, services: Kind
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    kubectl(cluster, CLIENT_SIDE, service)
    found = get(api, services, namespace)
    adopted = adopt(api, services, found)
    applied = api.apply(services, service, guard=Update(adopted.uid, adopted.resource_version))
    assert found.body is not None
    assert applied.body is not None
    assert applied.body["spec"] == found.body["spec"]


names = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}'])
fields: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(names, inner, max_size=3).flatmap(
        lambda node: st.sampled_from([node, {".": {}, **node}]) if node else st.just(node)
    ),
    max_leaves=8,
)


def paths(node: dict[str, Any], at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The fields that a set of FieldsV1 names: a leaf names itself, a `.` its parent."""
    if not node:
        return {at} if at else set()
    own = {at} if "." in node and at else set()
    return own.union(*(paths(child, (*at, key)) for key, child in node.items() if key != "."))


@given(fields, fields)
def test_a_union_owns_what_either_owned_and_nothing_else(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert paths(_union(one, other)) == paths(one) | paths(other)
