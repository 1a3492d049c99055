"""Hooks as Git wants them, and their runs in one operation. Pure.

A run is one hook in one phase. What it is called is told by the hook and the operation alone, so that whoever
takes the operation up after somebody has died finds what is there instead of running it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.annotations import annotations_of
from mooring.model.hooks import DeletePolicy, Hook, Phase, hook_of, wave_of
from mooring.model.spec import Operation
from mooring.model.sync_options import SyncOptions, sync_options
from mooring.names import APPLYSET_PART_OF, HOOK_OF, ID, OPERATION
from workers.applyset.identity import object_id
from workers.applyset.inventory import Place
from workers.cluster.kinds import Kind
from workers.desired import FindKind, Stamp
from workers.health import BUILT_IN, HOOK_FINALIZER, Judge
from workers.render.manifest import Manifest, with_namespace

# Of a Job, whose pods carry its name as a label; the API server cuts what it generates a name from likewise.
_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class WantedHook:
    """One hook. `generates`: `key.name` is only what its name begins with."""

    key: ObjectKey
    kind: Kind
    body: Mapping[str, Any]
    hook: Hook
    wave: int
    options: SyncOptions
    where: str  # "path:line" in the repository
    generates: bool
    served: bool  # False: its kind comes with a CRD of this same sync


@dataclass(frozen=True, slots=True, eq=False)
class HookRun:
    """One hook in one phase of the operation `operation`: `body` is what is to be created for it."""

    phase: Phase
    wave: int
    key: ObjectKey
    kind: Kind
    body: Mapping[str, Any]
    delete: tuple[DeletePolicy, ...]
    options: SyncOptions
    where: str
    operation: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """What runs are of: an operation of an app. `by` and `id` are on each of their objects, `suffix` in the
    names that are generated."""

    by: Stamp
    id: str
    suffix: str


def occasion(by: Stamp, uid: str, started_at: str) -> Occasion:
    """The operation of the app `uid` that began at `started_at` (RFC 3339): no two of an app begin at the
    same second. Names are generated as Argo CD does it, but for the revision: that may move on, where what is
    deployed is the same, and the operation goes on."""
    began = int(datetime.fromisoformat(started_at).timestamp())
    id_ = hashlib.sha256(f"{uid} {started_at}".encode()).hexdigest()[:16]
    return Occasion(by, id_, f"{id_[:7]}-{{phase}}-{began}")


def runs_hooks(operation: Operation) -> bool:
    """Whether an operation runs hooks: only one of the whole app, that does not merely apply or put back what
    has drifted.

    https://argo-cd.readthedocs.io/en/stable/user-guide/selective_sync/
    """
    sync = operation.sync
    if sync is None:
        return False
    only_applies = sync.sync_strategy is not None and sync.sync_strategy.apply is not None
    return not (only_applies or sync.resources or sync.self_heal_attempts_count)


def apart(manifests: Sequence[Manifest]) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """What stays, and the hooks."""
    found = [(manifest, hook_of(annotations_of(manifest.body)) is not None) for manifest in manifests]
    return (
        tuple(manifest for manifest, hook in found if not hook),
        tuple(manifest for manifest, hook in found if hook),
    )


def hooks_of(
    manifests: Sequence[Manifest],
    find: FindKind,
    coming: Mapping[tuple[str, str], Kind],
    default_namespace: str,
    options: Sequence[str],
) -> tuple[WantedHook, ...]:
    """The hooks among `manifests`, by key; of two of one name the last one counts.

    `options` are the app's own sync options as written, `coming` the kinds that this same sync brings. Raises
    Refused for a kind that nobody knows.
    """
    found: list[WantedHook] = []
    for manifest in manifests:
        annotations = annotations_of(manifest.body)
        hook = hook_of(annotations)
        if hook is None:
            continue
        name = (manifest.api_version, manifest.key.kind)
        served = find(*name)
        kind = served or coming.get(name)
        if kind is None:
            raise Refused(
                f"the cluster has no kind {name[1]} in {name[0]}: install its CustomResourceDefinition "
                "first, or correct apiVersion and kind",
                where=manifest.where,
            )
        placed = with_namespace(manifest, kind.namespaced, default_namespace)
        found.append(
            WantedHook(
                key=placed.key,
                kind=kind,
                body=placed.body,
                hook=hook,
                wave=wave_of(annotations),
                options=sync_options(options, annotations),
                where=placed.where,
                generates=not placed.body["metadata"].get("name"),
                served=served is not None,
            )
        )
    named = {hook.key: hook for hook in found if not hook.generates}
    return tuple(sorted((*named.values(), *(h for h in found if h.generates)), key=lambda h: h.key))


def places(hooks: Iterable[WantedHook]) -> frozenset[Place]:
    """Where the objects of `hooks` are to be."""
    return frozenset(Place(one.key.group, one.key.kind, one.key.namespace) for one in hooks)


def runs(
    hooks: Sequence[WantedHook], of: Occasion, phases: Collection[Phase], judge: Judge = BUILT_IN
) -> tuple[HookRun, ...]:
    """The runs of those `hooks` that have one of `phases`."""
    found: dict[tuple[Phase, ObjectKey], HookRun] = {}
    for hook in hooks:
        for phase in hook.hook.phases:
            if phase not in phases:
                continue
            key, twin = _named(hook, of, phase, 1), 1
            while hook.generates and (phase, key) in found:
                twin += 1
                key = _named(hook, of, phase, twin)
            found[(phase, key)] = HookRun(
                phase=phase,
                wave=hook.wave,
                key=key,
                kind=hook.kind,
                body=_stamped(hook.body, key, of, finalized=judge.judges(key.group, key.kind)),
                delete=hook.hook.delete,
                options=hook.options,
                where=hook.where,
                operation=of.id,
            )
    return tuple(found.values())


def _named(hook: WantedHook, of: Occasion, phase: Phase, twin: int) -> ObjectKey:
    if not hook.generates:
        return hook.key
    suffix = of.suffix.format(phase=phase.lower()) + (f"-{twin}" if twin > 1 else "")
    return replace(hook.key, name=hook.key.name[: _LONGEST_NAME - len(suffix)] + suffix)


def _stamped(body: Mapping[str, Any], key: ObjectKey, of: Occasion, *, finalized: bool) -> dict[str, Any]:
    """A copy of the manifest that says whose it is and of which operation. `finalized`: it stays, whoever
    deletes it, until it was seen how it ended."""
    metadata: Mapping[str, Any] = body["metadata"]
    labels = {**(metadata.get("labels") or {}), OPERATION: of.id, HOOK_OF: of.by.applyset}
    labels.pop(APPLYSET_PART_OF, None)
    annotations = {**(metadata.get("annotations") or {}), ID: object_id(of.by.installation, of.by.app, key)}
    stamped = {**metadata, "name": key.name, "labels": labels, "annotations": annotations}
    stamped.pop("generateName", None)
    if finalized:
        others = [one for one in metadata.get("finalizers") or () if one != HOOK_FINALIZER]
        stamped["finalizers"] = [*others, HOOK_FINALIZER]
    return {**body, "metadata": stamped}
