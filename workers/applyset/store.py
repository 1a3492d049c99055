"""Reads and writes ApplySet parents. Every write is guarded by the version that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mooring.errors import Conflict
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.names import APPLYSET_ID
from workers.applyset import parent as parents
from workers.applyset.inventory import Entry, Inventory, Place
from workers.applyset.parent import Parent
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.transport import NotFound
from workers.installation import Installation

CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
# Without a home cluster the parent holds the app's status too, which is written more often.
_TRIES: Final = 5


def read(
    api: Api, namespace: str, app: AppKey, installation: Installation, *, cached: bool = False
) -> Parent:
    """The parent of `app` in Mooring's `namespace` of the cluster; an empty one where none exists.

    `cached`: as the server has it in its cache, for an app that nobody has looked at yet. Raises Refused when
    there is one that is not ours or cannot be understood.
    """
    return _read(api, Parent(app, installation.id, namespace), since="0" if cached else "")


class Listed:
    """The parents that there are in each cluster, whosever they are, as they were when somebody first asked:
    for a reconciliation, which asks more than once. Whoever writes for what they say reads it anew."""

    def __init__(self) -> None:
        self._found: dict[ClusterRef, tuple[Live, ...]] = {}

    def of(self, api: Api, namespace: str) -> tuple[Live, ...]:
        """Metadata alone, from the server's cache: all of Mooring's `namespace`. Where that cannot be had,
        raises ClusterUnavailable or ClusterRefused, and whoever asks next asks the server."""
        if (found := self._found.get(api.cluster)) is None:
            found = api.list(CONFIG_MAP, namespace, APPLYSET_ID, metadata_only=True, cached=True)
            self._found[api.cluster] = found
        return found


def grow(api: Api, parent: Parent, entries: Mapping[ObjectKey, Entry], hooks: Iterable[Place] = ()) -> Parent:
    """Adds `entries`, with their kinds and namespaces, and where `hooks` are to be, in one write, before the
    first of them is created.

    No request when all of them are there. Raises Conflict when the inventory was changed by somebody
    else since `parent` was read.
    """
    return _write(api, parent, parent.inventory.with_(entries, hooks))


def shrink(api: Api, parent: Parent, gone: Iterable[ObjectKey]) -> Parent:
    """Removes the entries of objects that were *seen* gone. Raises Conflict as `grow` does."""
    return _write(api, parent, parent.inventory.without(gone))


def remove(api: Api, parent: Parent) -> None:
    """Deletes the parent of an app that is gone. Raises Conflict when it was changed since it was read."""
    live = api.get(CONFIG_MAP, parent.namespace, parent.name, metadata_only=True)
    if live is None:
        return
    if (live.uid, live.resource_version) != (parent.uid, parent.resource_version):
        raise Conflict(f"ConfigMap {parent.namespace}/{parent.name} has changed")
    api.delete(CONFIG_MAP, live, "background")


def _read(api: Api, absent: Parent, *, since: str = "") -> Parent:
    live = api.get(CONFIG_MAP, absent.namespace, absent.name, since=since)
    return absent if live is None else parents.read(absent, live.body or {})


def _create(api: Api, wanted: Parent) -> Live:
    """Where a cluster has nothing of Mooring's yet, the namespace comes first."""
    try:
        return api.create(CONFIG_MAP, parents.manifest(wanted))
    except NotFound as error:
        if error.missing[0] != "namespaces":
            raise
        api.ensure_namespace(wanted.namespace)
        return api.create(CONFIG_MAP, parents.manifest(wanted))


def _write(api: Api, parent: Parent, inventory: Inventory) -> Parent:
    if inventory == parent.inventory:
        return parent
    wanted = parent.with_inventory(inventory)
    base = parent
    for _ in range(_TRIES):
        try:
            if base.uid:
                patch = parents.fields(wanted)
                patch["metadata"] |= {"uid": base.uid, "resourceVersion": base.resource_version}
                live = api.patch(CONFIG_MAP, parent.namespace, parent.name, patch)
            else:
                live = _create(api, wanted)
        except Conflict:
            base = _read(api, Parent(parent.app, parent.installation, parent.namespace))
            anew = parent.uid and base.uid != parent.uid
            if anew or not base.uid or base.inventory != parent.inventory:
                raise
            continue
        return parents.read(wanted, live.body or {})
    raise Conflict(f"ConfigMap {parent.namespace}/{parent.name} keeps changing")
