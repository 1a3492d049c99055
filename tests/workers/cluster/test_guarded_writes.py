"""Writes against a real API server: what was not planned is not changed."""

from __future__ import annotations

import secrets as random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict, SchemaRefused
from mooring.names import LAST_APPLIED
from tests.definitions import definition
from workers.cluster.api import Api, Create, Update, Validation
from workers.cluster.connect import Cluster
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.transport import NotFound

pytestmark = pytest.mark.cluster

LABEL = "applyset.kubernetes.io/part-of"


def config_map(namespace: str, name: str = "settings", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def deployment(namespace: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
            **spec,
        },
    }


def seen(live: Live) -> Update:
    return Update(live.uid, live.resource_version)


def test_a_create_creates_what_is_absent_and_conflicts_with_what_is_there(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    created = api.apply(config_maps, config_map(namespace, color="red"), guard=Create())
    assert created.body is not None
    assert created.body["data"] == {"color": "red"}
    for dry_run in (False, True):
        with pytest.raises(Conflict):
            api.apply(config_maps, config_map(namespace, color="blue"), guard=Create(), dry_run=dry_run)
    with pytest.raises(Conflict):
        api.create(config_maps, config_map(namespace, color="blue"))
    live = api.get(config_maps, namespace, "settings")
    assert live is not None
    assert live.resource_version == created.resource_version


def test_a_late_update_conflicts_with_a_changed_a_deleted_and_a_recreated_object(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    planned = api.apply(config_maps, config_map(namespace, color="red"), guard=Create())
    changed = api.apply(config_maps, config_map(namespace, color="blue"), guard=seen(planned))

    def nothing_late_is_written() -> None:
        late = config_map(namespace, color="late")
        with pytest.raises(Conflict):
            api.apply(config_maps, late, guard=seen(planned))
        with pytest.raises(Conflict):
            api.replace(config_maps, late, seen(planned))
        with pytest.raises(Conflict):
            api.merge_apply(config_maps, late, planned)

    nothing_late_is_written()
    api.delete(config_maps, changed, "background")
    nothing_late_is_written()
    assert api.get(config_maps, namespace, "settings") is None
    recreated = api.apply(config_maps, config_map(namespace, color="green"), guard=Create())
    assert recreated.uid != planned.uid
    nothing_late_is_written()
    live = api.get(config_maps, namespace, "settings")
    assert live is not None
    assert live.body is not None
    assert live.body["data"] == {"color": "green"}


def test_a_late_delete_spares_a_changed_and_a_recreated_object(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    planned = api.apply(config_maps, config_map(namespace, color="red"), guard=Create())
    changed = api.apply(config_maps, config_map(namespace, color="blue"), guard=seen(planned))
    with pytest.raises(Conflict):
        api.delete(config_maps, planned)
    api.delete(config_maps, changed, dry_run=True)
    assert api.get(config_maps, namespace, "settings") is not None
    api.delete(config_maps, changed, "background")
    api.delete(config_maps, changed, "background")  # gone is what was asked for
    api.apply(config_maps, config_map(namespace, color="green"), guard=Create())
    with pytest.raises(Conflict):
        api.delete(config_maps, changed, "background")
    assert api.get(config_maps, namespace, "settings") is not None


def test_what_was_created_is_taken_back_by_its_uid_whatever_its_controller_wrote(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    created = api.apply(config_maps, config_map(namespace, color="red"), guard=Create())
    written = api.patch(config_maps, namespace, "settings", {"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(Conflict):
        api.delete(config_maps, created, "background")
    api.delete(config_maps, created, "background", any_version=True)
    assert api.get(config_maps, namespace, "settings") is None
    api.apply(config_maps, config_map(namespace, color="green"), guard=Create())
    with pytest.raises(Conflict):
        api.delete(config_maps, written, "background", any_version=True)
    assert api.get(config_maps, namespace, "settings") is not None


def test_guards_hold_for_kinds_without_namespace(api: Api, cluster_roles: Kind) -> None:
    name = f"mooring:test:{random.token_hex(5)}"
    role = {"metadata": {"name": name, "namespace": "ignored"}, "rules": []}
    planned = api.apply(cluster_roles, role, guard=Create())
    assert planned.key.namespace == ""
    with pytest.raises(Conflict):
        api.apply(cluster_roles, role, guard=Create())
    grown = role | {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    changed = api.apply(cluster_roles, grown, guard=seen(planned))
    with pytest.raises(Conflict):
        api.apply(cluster_roles, role, guard=seen(planned))
    api.delete(cluster_roles, changed, "background")
    with pytest.raises(Conflict):
        api.apply(cluster_roles, role, guard=seen(changed))
    assert api.get(cluster_roles, "", name) is None


def test_a_definition_and_its_resources_are_applied_one_after_the_other_and_guarded(
    connection: Cluster, api: Api, namespace: str, definitions: Kind
) -> None:
    group = f"x{random.token_hex(5)}.example.com"
    crd = definition(group, "Anchor", {"type": "object", "properties": {"depth": {"type": "integer"}}})
    assert connection.discovery.find(f"{group}/v1", "Anchor") is None
    created = api.apply(definitions, crd, guard=Create())
    try:
        anchors = connection.discovery.await_kind(f"{group}/v1", "Anchor")
        assert anchors.plural == "anchors"
        assert anchors.namespaced
        assert connection.discovery.preferred(group, "Anchor") == anchors
        anchor = {"metadata": {"name": "bow", "namespace": namespace}, "spec": {"depth": 3}}
        planned = api.apply(anchors, anchor, guard=Create())
        with pytest.raises(Conflict):
            api.apply(anchors, anchor, guard=Create())
        changed = api.apply(anchors, anchor | {"spec": {"depth": 4}}, guard=seen(planned))
        assert changed.generation == 2
        with pytest.raises(Conflict):
            api.apply(anchors, anchor, guard=seen(planned))
        with pytest.raises(SchemaRefused, match="chain"):
            api.apply(anchors, anchor | {"spec": {"chain": True}}, guard=seen(changed))
        api.delete(anchors, changed, "background")
        with pytest.raises(Conflict):
            api.apply(anchors, anchor, guard=seen(changed))
        assert api.get(anchors, namespace, "bow") is None
    finally:
        while defined := api.get(definitions, "", created.key.name):
            try:
                api.delete(definitions, defined, "background")
            except Conflict:  # its controller has just written its status
                continue


def test_many_threads_may_use_one_api(api: Api, namespace: str, config_maps: Kind) -> None:
    with ThreadPoolExecutor(16) as pool:
        applied = list(
            pool.map(
                lambda i: api.apply(config_maps, config_map(namespace, f"m{i}", n=str(i)), guard=Create()),
                range(64),
            )
        )
    assert {live.key.name for live in applied} == {f"m{i}" for i in range(64)}


def test_a_dry_run_changes_nothing_and_shows_what_would_be(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    planned = api.apply(config_maps, config_map(namespace, color="red"), guard=Create())
    would = api.apply(config_maps, config_map(namespace, color="blue"), guard=seen(planned), dry_run=True)
    assert would.body is not None
    assert would.body["data"] == {"color": "blue"}
    same = api.apply(config_maps, config_map(namespace, color="red"), guard=seen(planned), dry_run=True)
    assert same.body == planned.body
    absent = api.apply(config_maps, config_map(namespace, "other"), guard=Create(), dry_run=True)
    assert absent.body is not None
    assert api.get(config_maps, namespace, "other") is None


def test_what_only_the_server_sets_may_stand_in_a_manifest(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    exported = config_map(namespace, color="red")
    exported["metadata"] |= {
        "uid": "8c1e0c4e-0000-4000-8000-000000000000",
        "resourceVersion": "42",
        "generation": 3,
        "creationTimestamp": None,
        "managedFields": [{"manager": "other"}],
    }
    assert api.apply(config_maps, exported, guard=Create()).key.name == "settings"


def test_a_field_dropped_from_git_goes_and_what_others_own_stays(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    api.apply(config_maps, config_map(namespace, color="red", size="L"), guard=Create())
    other = api.patch(config_maps, namespace, "settings", {"metadata": {"labels": {"by": "hand"}}})
    left = api.apply(config_maps, config_map(namespace, color="red"), guard=seen(other))
    assert left.body is not None
    assert left.body["data"] == {"color": "red"}
    assert left.labels == {"by": "hand"}


def test_a_label_is_ours_only_when_our_apply_set_it(api: Api, namespace: str, config_maps: Kind) -> None:
    ours = config_map(namespace)
    ours["metadata"]["labels"] = {LABEL: "applyset-x"}
    assert api.apply(config_maps, ours, guard=Create()).owns_label(LABEL)

    # A copy that somebody made of the object, label and all: created, not applied.
    copy = config_map(namespace, "copy")
    copy["metadata"]["labels"] = {LABEL: "applyset-x"}
    cloned = api.create(config_maps, copy)
    assert cloned.labels == {LABEL: "applyset-x"}
    assert not cloned.owns_label(LABEL)
    assert cloned.owns_label(LABEL, operation="Update")


def test_children_of_controllers_are_known_by_their_owner(
    connection: Cluster, api: Api, namespace: str, deployments: Kind
) -> None:
    api.apply(deployments, deployment(namespace, [{"name": "c", "image": "i"}]), guard=Create())
    replica_sets = connection.discovery.find("apps/v1", "ReplicaSet")
    assert replica_sets is not None
    children: tuple[Live, ...] = ()
    while not children:  # pytest's own time limit ends it
        children = api.list(replica_sets, namespace)
    assert all(child.controller_owner for child in children)
    own = api.get(deployments, namespace, "web", metadata_only=True)
    assert own is not None
    assert own.body is None
    assert not own.controller_owner


def test_what_the_schema_cannot_take_is_told_apart_from_what_is_invalid(
    api: Api, namespace: str, deployments: Kind
) -> None:
    container = {"name": "c", "image": "i"}
    twice = container | {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    with pytest.raises(SchemaRefused, match="duplicate entries"):
        api.apply(deployments, deployment(namespace, [twice]), guard=Create())
    with pytest.raises(SchemaRefused, match="field not declared"):
        api.apply(deployments, deployment(namespace, [container], unknown=1), guard=Create())
    misspelt = deployment(namespace, [container])
    misspelt["spec"]["template"]["metadata"]["label"] = {"app": "web"}
    with pytest.raises(SchemaRefused, match=r"metadata\.label: field not declared"):
        api.apply(deployments, misspelt, guard=Create())
    for broken in ({"replicas": -1}, {"replicas": "three"}):
        with pytest.raises(ClusterRefused, match="replicas") as refused:
            api.apply(deployments, deployment(namespace, [container], **broken), guard=Create())
        assert not isinstance(refused.value, SchemaRefused)

    # The three-way merge takes what server-side apply cannot.
    merged = api.merge_apply(deployments, deployment(namespace, [twice]), None)
    assert merged.body is not None
    assert len(merged.body["spec"]["template"]["spec"]["containers"][0]["env"]) == 2
    mended = merged_over_the_live_one(api, deployments, deployment(namespace, [container]), "Strict")
    assert mended.body is not None
    assert "env" not in mended.body["spec"]["template"]["spec"]["containers"][0]
    # As kubectl: an unknown field is refused unless the app says Validate=false.
    unknown = deployment(namespace, [container], unknown=1)
    with pytest.raises(ClusterRefused, match="unknown"):
        merged_over_the_live_one(api, deployments, unknown, "Strict")
    assert merged_over_the_live_one(api, deployments, unknown, "Ignore").uid == merged.uid


def merged_over_the_live_one(api: Api, kind: Kind, body: dict[str, Any], validation: Validation) -> Live:
    """Reads and merges again while the Deployment's controller writes its status in between."""
    while True:
        live = api.get(kind, body["metadata"]["namespace"], body["metadata"]["name"])
        try:
            return api.merge_apply(kind, body, live, validation=validation)
        except Conflict:
            continue


def test_a_three_way_merge_removes_what_was_dropped_and_keeps_what_others_set(
    api: Api, namespace: str, config_maps: Kind
) -> None:
    created = api.merge_apply(config_maps, config_map(namespace, color="red", size="L"), None)
    assert LAST_APPLIED in created.annotations
    other = api.patch(config_maps, namespace, "settings", {"data": {"extra": "kept", "color": "drifted"}})
    merged = api.merge_apply(config_maps, config_map(namespace, color="red"), other)
    assert merged.body is not None
    assert merged.body["data"] == {"color": "red", "extra": "kept"}
    again = api.merge_apply(config_maps, config_map(namespace, color="red"), merged)
    assert again.resource_version == merged.resource_version
    with pytest.raises(Conflict):
        api.merge_apply(config_maps, config_map(namespace, color="late"), other)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job", "Service"])
def test_a_three_way_merge_of_an_unchanged_manifest_changes_nothing(
    connection: Cluster, api: Api, namespace: str, kind: str
) -> None:
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "restartPolicy": "Never" if kind == "Job" else "Always",
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
        },
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    selector = {"matchLabels": {"app": "web"}}
    api_version, spec = {
        "Deployment": ("apps/v1", {"replicas": 0, "selector": selector, "template": pod}),
        "StatefulSet": (
            "apps/v1",
            {"replicas": 0, "selector": selector, "template": pod, "volumeClaimTemplates": [claim]},
        ),
        "Job": ("batch/v1", {"template": pod, "suspend": True}),
        "Service": ("v1", {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}),
    }[kind]
    found = connection.discovery.find(api_version, kind)
    assert found is not None
    body = {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}
    created = api.merge_apply(found, body, None)
    again = merged_over_the_live_one(api, found, body, "Strict")
    assert created.body is not None
    assert again.body is not None
    assert again.body["spec"] == created.body["spec"]
    assert again.generation == created.generation
    assert again.annotations[LAST_APPLIED] == created.annotations[LAST_APPLIED]


def test_a_replace_takes_the_manifest_as_a_whole(api: Api, namespace: str, config_maps: Kind) -> None:
    created = api.replace(config_maps, config_map(namespace, color="red"), Create())
    other = api.patch(config_maps, namespace, "settings", {"data": {"extra": "lost"}})
    assert other.uid == created.uid
    replaced = api.replace(config_maps, config_map(namespace, color="blue"), seen(other))
    assert replaced.body is not None
    assert replaced.body["data"] == {"color": "blue"}


def test_a_name_may_be_generated(api: Api, namespace: str, config_maps: Kind) -> None:
    body = {"metadata": {"generateName": "hook-", "namespace": namespace}}
    names = {api.create(config_maps, body).key.name for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("hook-") for name in names)


def test_a_patch_of_a_deleted_object_is_a_conflict(api: Api, namespace: str, config_maps: Kind) -> None:
    with pytest.raises(Conflict, match="deleted meanwhile"):
        api.patch(config_maps, namespace, "never", {"data": {"a": "b"}})


def test_a_namespace_is_created_once_and_bears_no_mark_of_ours(
    connection: Cluster, api: Api, config_maps: Kind
) -> None:
    name = f"test-{random.token_hex(5)}"
    namespaces = connection.discovery.find("v1", "Namespace")
    assert namespaces is not None
    with pytest.raises(NotFound, match="CreateNamespace=true") as refused:
        api.apply(config_maps, config_map(name), guard=Create())
    assert refused.value.missing == ("namespaces", name)
    with pytest.raises(NotFound, match="CreateNamespace=true"):
        api.create(config_maps, config_map(name))
    assert api.ensure_namespace(name)
    assert not api.ensure_namespace(name)
    live = api.get(namespaces, "", name)
    assert live is not None
    assert set(live.labels) == {"kubernetes.io/metadata.name"}
    assert not live.annotations

    # While it goes away, neither it nor anything in it can be created: later it can.
    held = config_map(name)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.apply(config_maps, held, guard=Create())
    api.delete(namespaces, live)
    with pytest.raises(ClusterUnavailable, match="being deleted"):
        api.ensure_namespace(name)
    with pytest.raises(ClusterUnavailable, match="being terminated"):
        api.apply(config_maps, config_map(name, "late"), guard=Create())
    api.patch(config_maps, name, "settings", {"metadata": {"finalizers": None}})
