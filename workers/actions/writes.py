"""What an action may change, and how that is written: nothing else is, and nothing half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mooring.errors import Conflict, Refused
from mooring.names import ACTION_MANAGER, APPLYSET_PART_OF, HOOK_OF, ID, NAMESPACE_OF, OPERATION
from workers.actions.action import Change, Created, Patched, key_of, metadata_of
from workers.cluster.api import SERVER_SIDE, Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.mergepatch import difference, without_nulls
from workers.permitted import Permitted
from workers.records import why_not_written

_MARKS: Final = (APPLYSET_PART_OF, HOOK_OF, ID, NAMESPACE_OF, OPERATION)
_MARKED: Final = ("labels", "annotations")
_STATUS: Final = "status"


@dataclass(frozen=True, slots=True)
class Writes:
    """What is to be written: `patch` on `live`, as it was read, and objects to be `made`."""

    live: Live
    patch: Mapping[str, Any]
    made: tuple[tuple[Kind, dict[str, Any]], ...]


def writes(live: Live, changes: Sequence[Change], may: Permitted, installation: str, api: Api) -> Writes:
    """What `changes` by an action on `live` come to. Raises Refused for what an action must not do, or the
    project does not permit."""
    patch: dict[str, Any] = {}
    made = []
    for change in changes:
        match change:
            case Patched() if patch:
                raise Refused("its action patches it twice: return it once, with all that is changed")
            case Patched():
                patch = _patch(live, change.body)
            case Created():
                made.append(_new(change.body, may, installation, api))
    return Writes(live, patch, tuple(made))


def carry_out(found: Writes, api: Api) -> str:
    """Write it all, once the API server has said that it would take all of it; in a word, what was done.

    Raises Conflict where the object is not as it was read: then nothing was written.
    """
    for dry_run in (True, False):
        _write_patch(found.live, found.patch, api, dry_run=dry_run)
        made = []
        for kind, body in found.made:
            try:
                made.append(api.create(kind, body, dry_run=dry_run, manager=ACTION_MANAGER))
            except Conflict as error:  # no later look at the object changes that
                raise Refused(f"{key_of(body).title} is there already") from error
    told = ["changed"] if found.patch else []
    told += [f"created {live.key.title}" for live in made]
    return ", ".join(told) or "nothing to change"


def _patch(live: Live, returned: Mapping[str, Any]) -> dict[str, Any]:
    assert live.body is not None
    before, after = (_own(without_nulls(body)) for body in (live.body, returned))
    if (key_of(after), after.get("apiVersion")) != (live.key, before["apiVersion"]):
        raise Refused("its action returns another object than it was given: others can only be created")
    for mark in _MARKS:
        if any(_said(before, field).get(mark) != _said(after, field).get(mark) for field in _MARKED):
            raise Refused(f"its action changes {mark}, by which Mooring knows its objects")
    return difference(before, after)


def _own(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in metadata_of(body).items() if name not in SERVER_SIDE}
    return {**body, "metadata": metadata}


def _said(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    said = metadata_of(body).get(field)
    return said if isinstance(said, Mapping) else {}


def _write_patch(live: Live, patch: Mapping[str, Any], api: Api, *, dry_run: bool) -> None:
    """Status goes its own way where the kind has one for it: the server would leave it out in silence."""
    apart = _STATUS in live.kind.subresources
    parts = {_STATUS: {_STATUS: patch[_STATUS]}} if apart and _STATUS in patch else {}
    if rest := {name: value for name, value in patch.items() if name not in parts}:
        parts[""] = rest
    guard = {"uid": live.uid, "resourceVersion": live.resource_version}
    for subresource, part in parts.items():
        api.patch(
            live.kind,
            live.key.namespace,
            live.key.name,
            {**part, "metadata": {**part.get("metadata", {}), **guard}},
            dry_run=dry_run,
            subresource=subresource,
            manager=ACTION_MANAGER,
        )
        # The first has had this version; its controller may have answered that already.
        guard = {"uid": live.uid}


def _new(body: Mapping[str, Any], may: Permitted, installation: str, api: Api) -> tuple[Kind, dict[str, Any]]:
    key, metadata = key_of(body), metadata_of(body)
    if not all(isinstance(metadata.get(name, ""), str) for name in ("name", "generateName", "namespace")):
        raise Refused("its action creates an object whose name is no text")
    version = body.get("apiVersion")
    if not isinstance(version, str) or not isinstance(body.get("kind"), str):
        raise Refused("its action creates an object without apiVersion or kind")
    kind = api.discovery.find(version, key.kind)
    if kind is None:
        raise Refused(f"its action creates a {version} {key.kind}, which the cluster does not have")
    if (kind.group, kind.kind) == ("", "Secret"):
        raise Refused("its action creates a Secret: no action may")
    if why := may.why_not(key, namespaced=kind.namespaced):
        raise Refused(f"its action creates {key.title}: {why}")
    named = replace(key, name=key.name or str(metadata.get("generateName") or ""))
    if why_not_written(named, None, installation):
        raise Refused(f"its action creates {named.title}, which only Mooring may")
    made = _own(without_nulls(body))
    for field in _MARKED:  # it may be a copy of an object of the app's, and is none itself
        if said := _said(made, field):
            made["metadata"][field] = {name: value for name, value in said.items() if name not in _MARKS}
    return kind, made
