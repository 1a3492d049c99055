"""Objects as Git wants them and as a cluster has them, for stories that need no cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mooring.keys import AppKey, ObjectKey
from mooring.model.annotations import annotations_of
from mooring.model.hooks import wave_of
from mooring.model.sync_options import sync_options
from mooring.names import APPLYSET_PART_OF, ID
from workers.applyset.identity import applyset_id, object_id, stamp
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import Desired

APP = AppKey("mooring", "shop")
OTHER_APP = AppKey("mooring", "bakery")
HERE = "here"
APPLYSET = applyset_id("mooring-here-mooring.shop", "mooring")

_CLUSTER_SCOPED = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "ClusterRole"}


def key(name: str, kind: str = "ConfigMap", group: str = "", namespace: str = "shop") -> ObjectKey:
    return ObjectKey(group, kind, "" if kind in _CLUSTER_SCOPED else namespace, name)


def kind_of(of: ObjectKey) -> Kind:
    subresources = frozenset(("status",)) if of.group == "apps" else frozenset[str]()
    return Kind(
        of.group,
        "v1",
        of.kind,
        f"{of.kind.lower()}s",
        namespaced=bool(of.namespace),
        subresources=subresources,
    )


def desired(of: ObjectKey, *, server_side: bool | None = None, **body: Any) -> Desired:
    """What Git wants of `of`."""
    metadata = {"name": of.name} | ({"namespace": of.namespace} if of.namespace else {})
    kind = kind_of(of)
    full = {"apiVersion": kind.api_version, "kind": of.kind, **body}
    full["metadata"] = metadata | body.get("metadata", {})
    options = replace(sync_options((), annotations_of(full)), server_side_apply=server_side)
    stamped = stamp(full, of, APP, HERE, APPLYSET)
    wave = wave_of(annotations_of(full))
    return Desired(of, kind, stamped, f"digest of {of}", options, "app.yaml:1", wave=wave)


def managed(*labels: str, manager: str = "mooring", operation: str = "Apply") -> dict[str, Any]:
    """A managedFields entry that owns `labels`."""
    owned: dict[str, Any] = {f"f:{label}": {} for label in labels}
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": owned}},
    }


def live(
    of: ObjectKey,
    *,
    id: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    fields: tuple[dict[str, Any], ...] = (),
    **more: Any,
) -> Live:
    """`of` as a cluster has it; without `id` it says nothing of whose it is."""
    said = dict(annotations or {}) | ({ID: id} if id is not None else {})
    found = Live(
        key=of,
        kind=kind_of(of),
        uid=f"uid of {of}",
        resource_version="42",
        generation=3,
        labels=labels or {},
        annotations=said,
        finalizers=(),
        owner_references=(),
        managed_fields=fields,
        deletion_timestamp=None,
        body=None,
    )
    return replace(found, **more)


def ours(of: ObjectKey, **more: Any) -> Live:
    """`of` as our own apply has left it."""
    return live(
        of,
        **{
            "id": object_id(HERE, APP, of),
            "labels": {APPLYSET_PART_OF: APPLYSET},
            "fields": (managed(APPLYSET_PART_OF),),
            **more,
        },
    )
