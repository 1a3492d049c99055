"""Writes one object in the way that its sync options ask for, or tries that without writing.

Server-side apply, unless the schema cannot take the manifest or ServerSideApply=false: then a three-way
merge. Replace=true puts the manifest in the object's place; Force=true deletes what cannot be changed, and
with Replace=true whatever differs, and creates it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mooring.errors import ClusterRefused, Conflict, Refused, SchemaRefused
from mooring.model.annotations import annotation, annotations_of
from workers import anew, immutable
from workers.cluster.adopt import CLIENT_MANAGERS, migrate_managers
from workers.cluster.api import JSON_PATCH, Api, Create, Guard, Update
from workers.cluster.live import Live, comparable
from workers.desired import Desired
from workers.foreign import FREED, drift, freed, patch
from workers.ignore.aggregated import is_aggregated
from workers.plan import Step, Viewpoint
from workers.proof import ROLLOUT
from workers.removed import still_there

_MIGRATION_MANAGER = "client-side-apply-migration-manager"


class Unchangeable(Refused):
    """The object would do as a new one, but what is there cannot become it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The object as the server answered. `merged`: its schema refused an apply. `how`: what was done, where
    that is not told by comparing it with what was there."""

    after: Live
    warning: str = ""
    merged: bool = False
    how: str = ""


def write(
    step: Step, api: Api, view: Viewpoint, holds: Callable[[], bool], *, dry_run: bool = False
) -> Written:
    """Write the object of `step`, guarded by what it was planned on. `holds()` says whether the operation is
    still ours: asked before a deletion. `dry_run` asks the server for everything but the write.

    Raises Conflict when something was changed meanwhile, Unchangeable, ClusterRefused, ClusterUnavailable.
    """
    item, live = step.desired, step.live
    assert item is not None
    if live is None:
        return _in_its_way(item, None, api, dry_run=dry_run)
    force = item.options.force
    if force and item.options.replace and not anew.why_not(step, view):
        if (same := _same(item, live, api)) is not None:
            return Written(same)
        return _anew(step, api, holds, dry_run=dry_run)
    try:
        return _in_its_way(item, live, api, dry_run=dry_run)
    except SchemaRefused:
        raise
    except ClusterRefused as error:
        if not anew.only_as_new(error, item, api):
            raise
        # The server wants fields back that it has filled in itself, as a Job's selector: does Git differ?
        if item.writer == "replace" and (same := _same(item, live, api)) is not None:
            return Written(same)
        kept = anew.why_not(step, view) if force else ""
        if not force or kept:
            raise _unchangeable(item, live, error, api, kept) from error
    return _anew(step, api, holds, dry_run=dry_run)


def tried(item: Desired, live: Live, api: Api) -> Live | None:
    """What writing `item` would make of `live`, which has its body; None where `live` would be deleted and
    created anew. Raises as `write` does."""
    try:
        if item.options.replace and not item.options.force:
            try:
                return _in_its_way(item, live, api, dry_run=True).after
            except ClusterRefused:
                # The server wants fields back that it has filled in itself. Nothing differs, perhaps.
                return _freed(item, live, _applied(item, live, api, dry_run=True), api, dry_run=True).after
        return _freed(item, live, _applied(item, live, api, dry_run=True), api, dry_run=True).after
    except SchemaRefused:
        raise
    except ClusterRefused as error:
        if not anew.only_as_new(error, item, api):
            raise
        if item.options.force:
            return None
        raise _unchangeable(item, live, error, api, "") from error


def _same(item: Desired, live: Live, api: Api) -> Live | None:
    """`live` as it is now, if writing `item` would change nothing."""
    whole = _whole(item, live, api)
    after = tried(item, whole, api)
    assert whole.body is not None
    same = after is not None and after.body is not None and comparable(after.body) == comparable(whole.body)
    return whole if same else None


def _in_its_way(item: Desired, live: Live | None, api: Api, *, dry_run: bool) -> Written:
    if item.writer == "replace":
        guard: Guard = Create() if live is None else Update(live.uid, live.resource_version)
        body = _sent(item, live, api, merged=True)
        body = body if live is None else _keeping(body, live) | _aggregated(item, live, api)
        after = api.replace(item.kind, body, guard, dry_run=dry_run, validation=anew.validation(item))
        changed = live is not None and live.resource_version != after.resource_version
        return Written(after, how="replaced" if changed else "")
    return _freed(item, live, _applied(item, live, api, dry_run=dry_run), api, dry_run=dry_run)


def _freed(item: Desired, live: Live | None, written: Written, api: Api, *, dry_run: bool) -> Written:
    """`written` without what others have set, where that is drift: nobody's apply but theirs could remove it.
    What has only been tried is not there yet: then it is taken off what is, by a trial as well."""
    if live is None or not (found := drift(item, written.after)):
        return written
    now = _whole(item, live, api) if dry_run else written.after
    removal = patch(now, drift(item, now))
    namespace, name = now.key.namespace, now.key.name
    try:
        left = api.patch(item.kind, namespace, name, removal, JSON_PATCH, dry_run=dry_run)
    except ClusterRefused:
        _whole(item, replace(now, body=None), api)  # what is to be removed is gone, perhaps: it has changed
        raise
    how = FREED + "; ".join(map(str, found))
    if not dry_run:
        return replace(written, after=left, how=how)
    assert now.body is not None
    assert written.after.body is not None
    if comparable(written.after.body) != comparable(now.body):  # no trial has both
        left = replace(written.after, body=freed(written.after.body, found))
    return replace(written, after=left, how=how)


def _applied(item: Desired, live: Live | None, api: Api, *, dry_run: bool) -> Written:
    how = anew.validation(item)
    if item.options.server_side_apply is False:
        whole = _whole(item, live, api) if live is not None else None
        body = _sent(item, whole, api, merged=True)
        return Written(api.merge_apply(item.kind, body, whole, dry_run=dry_run, validation=how))
    if live is not None and not dry_run:
        live = _migrated(item, live, api)
    guard: Guard = Create() if live is None else Update(live.uid, live.resource_version)
    try:
        body = _sent(item, live, api, merged=False)
        after = api.apply(item.kind, body, guard=guard, dry_run=dry_run)
    except SchemaRefused as error:
        if item.options.server_side_apply:
            raise
        whole = _whole(item, live, api) if live is not None else None
        how = "Warn" if how == "Strict" else how
        body = _sent(item, whole, api, merged=True)
        after = api.merge_apply(item.kind, body, whole, dry_run=dry_run, validation=how)
        return Written(after, f"merged client-side, since the schema refuses it: {error}", merged=True)
    return Written(after, still_there(live, after) if live is not None else "")


def _sent(item: Desired, live: Live | None, api: Api, *, merged: bool) -> dict[str, Any]:
    """The manifest, with what is ignored as it is in `live` where that is to be left alone."""
    if live is None or item.left_alone is None:
        return item.body
    return item.left_alone.sent(item.body, _whole(item, live, api), merged=merged)


def _migrated(item: Desired, live: Live, api: Api) -> Live:
    """`live` with the entries of client-side managers made ours, so that removed fields really go.

    Once, when we first apply it; those of the manager that its annotation names, whenever there are any.
    """
    named = annotation(annotations_of(item.body), _MIGRATION_MANAGER)
    managers: frozenset[str] = frozenset((named,) if named else ())
    if live.manager_entry() is None:
        managers |= CLIENT_MANAGERS
    elif not any(entry.get("manager") == named for entry in live.managed_fields):
        return live
    if not item.options.client_side_apply_migration:
        managers = frozenset()
    migration = migrate_managers(live, managers)
    if not migration:
        return live
    return api.patch(item.kind, live.key.namespace, live.key.name, migration, JSON_PATCH)


def _anew(step: Step, api: Api, holds: Callable[[], bool], *, dry_run: bool) -> Written:
    item, live = step.desired, step.live
    assert item is not None
    assert live is not None
    how = "deleted and created anew"
    if dry_run:
        anew.tried_as_new(item, api)
        return Written(live, how=how)
    warnings: list[Written] = []

    def create(item: Desired) -> Live:
        warnings.append(_in_its_way(item, None, api, dry_run=False))
        return warnings[-1].after

    anew.recreate(step, api, holds, create)
    return replace(warnings[-1], how=how)


def _whole(item: Desired, live: Live, api: Api) -> Live:
    """`live` with its body. Raises Conflict when it has changed."""
    if live.body is not None:
        return live
    read = api.get(item.kind, item.key.namespace, item.key.name)
    if read is None or read.uid != live.uid or read.resource_version != live.resource_version:
        raise Conflict(f"{item.key.title} has changed")
    return read


def _keeping(body: dict[str, Any], live: Live) -> dict[str, Any]:
    """`body` with those of the live object's finalizers and owners that Git does not speak of: what waits for
    them would wait in vain, or not at all. So it is with the count of rollouts of the Deployment
    controller, who would write it again, and so without end."""
    kept: dict[str, Any] = {}
    if live.finalizers:
        kept["finalizers"] = list(live.finalizers)
    if live.owner_references:
        kept["ownerReferences"] = list(live.owner_references)
    metadata = {**kept, **body["metadata"]}
    if ROLLOUT in live.annotations:
        metadata["annotations"] = {ROLLOUT: live.annotations[ROLLOUT], **(metadata.get("annotations") or {})}
    return {**body, "metadata": metadata}


def _aggregated(item: Desired, live: Live, api: Api) -> dict[str, Any]:
    """The rules of a ClusterRole that the control plane puts together: without them nobody had these rights,
    until it has done that again."""
    if not is_aggregated(item.key, item.body):
        return {}
    rules = (_whole(item, live, api).body or {}).get("rules")
    return {"rules": rules} if rules else {}


def _unchangeable(item: Desired, live: Live, error: ClusterRefused, api: Api, kept: str) -> Unchangeable:
    secret = (item.key.group, item.key.kind) == ("", "Secret")
    if live.body is None and not secret:
        live = api.get(item.kind, item.key.namespace, item.key.name) or live
    fields = immutable.told(error.causes, item.body, live.body, secret=secret) or str(error)
    step = (
        f"Force=true does not delete it, since {kept}: delete it by hand, or put back in Git what was there"
        if kept
        else "set the sync option Force=true to have it deleted and created anew, or delete it by hand"
    )
    return Unchangeable(f"what is there cannot be changed: {fields}; {step}")
