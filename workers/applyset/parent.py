"""The ApplySet parent of an app: its name, its manifest, and what one found in a cluster says. Pure.

A ConfigMap, because every cluster has that kind (a CRD of our own would have to be installed in each
target), it is one of the KEP's parent kinds, and nothing in it is secret. Other ApplySet tools can thus
see what is ours, and leave it alone.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mooring import __version__
from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.names import (
    APPLYSET_GROUP_KINDS,
    APPLYSET_ID,
    APPLYSET_NAMESPACES,
    APPLYSET_TOOLING,
    HOOKS,
    ID,
)
from workers.applyset.identity import applyset_id
from workers.applyset.inventory import Inventory, Place
from workers.applyset.packing import pack, unpack
from workers.mergepatch import merge

TOOL: Final = "mooring"
TOOLING: Final = f"{TOOL}/v{__version__}"
INVENTORY: Final = "inventory"
_LONGEST: Final = 253  # https://kubernetes.io/docs/concepts/overview/working-with-objects/names/


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent as last seen. `uid` and `resource_version` are "" while it does not exist yet."""

    app: AppKey
    installation: str
    namespace: str
    inventory: Inventory = field(default_factory=Inventory)
    uid: str = ""
    resource_version: str = ""

    @property
    def name(self) -> str:
        return parent_name(self.installation, self.app)

    @property
    def applyset(self) -> str:
        """The ApplySet's id: the value of the label on each of its objects."""
        return applyset_id(self.name, self.namespace)

    def with_inventory(self, inventory: Inventory) -> Parent:
        return replace(self, inventory=inventory)


def parent_name(installation: str, app: AppKey) -> str:
    """`mooring-<installation>-<namespace>.<name>`, or with a hash of the two where that is too long.

    A namespace has no dot, so the first one ends it and no two apps share a name; the hashed form has none.
    """
    name = f"{TOOL}-{installation}-{app.namespace}.{app.name}"
    if len(name) <= _LONGEST:
        return name
    return f"{TOOL}-{installation}-{hashlib.sha256(str(app).encode()).hexdigest()[:40]}"


def fields(parent: Parent) -> dict[str, Any]:
    """All that we say in the parent, as a merge patch: what an older inventory said is gone."""
    elsewhere = [name for name in parent.inventory.namespaces if name != parent.namespace]
    return {
        "metadata": {
            "labels": {APPLYSET_ID: parent.applyset},
            "annotations": {
                APPLYSET_TOOLING: TOOLING,
                APPLYSET_GROUP_KINDS: ",".join(parent.inventory.group_kinds),
                APPLYSET_NAMESPACES: ",".join(elsewhere) or None,
                ID: f"{parent.installation}/{parent.app}",
                HOOKS: ",".join(map(str, sorted(parent.inventory.hooks))) or None,
            },
        },
        **pack(INVENTORY, parent.inventory.to_json()),
    }


def manifest(parent: Parent, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The ConfigMap to be created. `more` is a merge patch of fields that others keep in it."""
    named = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": parent.name, "namespace": parent.namespace},
    }
    merged: dict[str, Any] = merge(merge(named, fields(parent)), more or {})
    return merged


def read(parent: Parent, body: Mapping[str, Any]) -> Parent:
    """`parent` with what the ConfigMap `body` of its name says.

    Raises Refused for one that is not ours or cannot be understood, naming what to do.
    """
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    title = f"ConfigMap {parent.namespace}/{parent.name}"
    tool = annotations.get(APPLYSET_TOOLING, "").partition("/")[0]
    if tool != TOOL:
        raise Refused(f"{title} belongs to {tool or 'nobody'} and not to Mooring: restore it from a backup")
    if labels.get(APPLYSET_ID) != parent.applyset:
        raise Refused(f"{title}: its label {APPLYSET_ID} must be {parent.applyset}: set it again")
    try:
        data = unpack(INVENTORY, body)
        if data is None:
            raise ValueError("it has no inventory")
        inventory = Inventory.from_json(data).with_({}, _places(annotations.get(HOOKS, "")))
    except (ValueError, Refused) as error:
        raise Refused(f"{title}: {error}; restore it from a backup") from error
    return replace(
        parent,
        inventory=inventory,
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
    )


def _places(text: str) -> frozenset[Place]:
    try:
        return frozenset(Place.parse(one) for one in text.split(",") if text)
    except ValueError as error:
        raise ValueError(f"its annotation {HOOKS} does not say where hooks have been: {error}") from error


def app_of(annotations: Mapping[str, str], installation: str) -> AppKey | None:
    """Whose inventory a parent with these `annotations` holds; None for none of `installation`."""
    whose, _, app = annotations.get(ID, "").partition("/")
    if whose != installation or not app:
        return None
    try:
        return AppKey.parse(app)
    except ValueError:
        return None
