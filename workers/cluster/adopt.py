"""Taking over what client-side managers own, so that a field dropped from Git afterwards really goes.

Server-side apply removes only fields that our own Apply entry alone owned. An object that came from
`kubectl apply`, Argo CD or Helm would keep such fields for ever: their entries are made ours first.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from mooring.names import ARGO_MANAGER, FIELD_MANAGER
from workers.cluster.live import Live

# Tools that applied whole manifests, as Mooring does from now on. Not controllers, not `kubectl edit`.
CLIENT_MANAGERS: Final = frozenset(
    ("kubectl-client-side-apply", "before-first-apply", "kubectl", ARGO_MANAGER, "helm", "Helm")
)


def migrate_managers(live: Live, managers: Collection[str] = CLIENT_MANAGERS) -> list[dict[str, Any]] | None:
    """The JSON patch that makes the entries of `managers` (Update and Apply) part of ours; None when none is.

    The patch carries the live resourceVersion: the server answers 409 when the object has changed.
    Our own Update entry, left by a three-way merge, is taken in as well. Entries of another API
    version than the newest one's are left: their field paths mean something else.
    """
    taken = [entry for entry in live.managed_fields if _is_manifest(entry, managers)]
    ours = live.manager_entry()
    if ours is None:
        ours = max(taken, key=lambda entry: entry.get("time", ""), default=None)
    if ours is None:
        return None
    taken = [entry for entry in taken if entry.get("apiVersion") == ours.get("apiVersion")]
    if not taken:
        return None
    fields: dict[str, Any] = ours.get("fieldsV1") or {}
    for entry in taken:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**ours, "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    kept = [entry for entry in live.managed_fields if entry is not ours and entry not in taken]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, *kept]},
        # "replace", not "test": a changed object is then a 409 of the storage, not a 422 of the patch.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live.resource_version},
    ]


def _is_manifest(entry: dict[str, Any], managers: Collection[str]) -> bool:
    if entry.get("subresource"):
        return False
    if entry.get("manager") == FIELD_MANAGER:
        return entry.get("operation") == "Update"
    return entry.get("manager") in managers


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both field sets in one. An empty node is a field itself, `"."` says so of a node with children.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ (FieldsV1)
    """
    both = {**one, **other}
    for key in one.keys() & other.keys():
        left, right = one[key], other[key]
        merged = _union(left, right)
        both[key] = {".": {}, **merged} if merged and not (left and right) else merged
    return both
