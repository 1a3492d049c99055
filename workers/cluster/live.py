"""An object as the API server holds it, and what its managedFields say about who owns what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.errors import ClusterUnavailable
from mooring.keys import ObjectKey
from mooring.names import FIELD_MANAGER
from workers.cluster.kinds import Kind

# What the server counts or keeps for itself: differs between two equal objects.
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


@dataclass(frozen=True, slots=True)
class Live:
    """One version of one object. What may hold a Secret's data is left out of `repr`.

    `body` is the whole object, or None when only metadata was asked for. `generation` is None for
    kinds that have none, `deletion_timestamp` None unless the object is being deleted.
    """

    key: ObjectKey
    kind: Kind
    uid: str
    resource_version: str
    generation: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(repr=False)
    finalizers: tuple[str, ...]
    owner_references: tuple[dict[str, Any], ...]
    managed_fields: tuple[dict[str, Any], ...] = field(repr=False)
    deletion_timestamp: str | None
    body: dict[str, Any] | None = field(repr=False)

    @classmethod
    def read(cls, kind: Kind, item: dict[str, Any], *, metadata_only: bool = False) -> Live:
        """From an answer of the API server. Items of a list lack apiVersion and kind: they are filled in.

        Raises ClusterUnavailable for what has no metadata or no name, as an aggregated API may answer.
        """
        metadata = item.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            raise ClusterUnavailable(
                f"the API server shows a {kind.kind} ({kind.api_version}) without a name: ask whoever serves "
                "this API",
                after=5,
            )
        body = None if metadata_only else {**item, "apiVersion": kind.api_version, "kind": kind.kind}
        return cls(
            key=ObjectKey(kind.group, kind.kind, metadata.get("namespace", ""), metadata["name"]),
            kind=kind,
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            generation=metadata.get("generation"),
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            finalizers=tuple(metadata.get("finalizers") or ()),
            owner_references=tuple(metadata.get("ownerReferences") or ()),
            managed_fields=tuple(metadata.get("managedFields") or ()),
            deletion_timestamp=metadata.get("deletionTimestamp"),
            body=body,
        )

    def manager_entry(self, manager: str = FIELD_MANAGER, operation: str = "Apply") -> dict[str, Any] | None:
        """The manager's entry for the object itself (not for a subresource), None when it has none."""
        for entry in self.managed_fields:
            if (
                entry.get("manager") == manager
                and entry.get("operation") == operation
                and not entry.get("subresource")
            ):
                return entry
        return None

    def owns_label(self, label: str, operation: str = "Apply", manager: str = FIELD_MANAGER) -> bool:
        """True when the manager, else we, set this label; one copied by a controller or a person has another
        owner."""
        entry = self.manager_entry(manager, operation) or {}
        owned = entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:labels", {})
        return f"f:{label}" in owned

    @property
    def controller_owner(self) -> bool:
        """True when a controller made the object, whatever labels it copied."""
        return any(owner.get("controller") for owner in self.owner_references)


def comparable(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` without the server's bookkeeping and without status."""
    metadata = {k: v for k, v in body["metadata"].items() if k not in _BOOKKEEPING}
    return {k: v for k, v in body.items() if k != "status"} | {"metadata": metadata}
