"""What is said about an app afterwards: status in Argo CD's schema, built from what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mooring.keys import ObjectKey
from mooring.model.annotations import annotation, ignores_extraneous
from mooring.model.application import Application
from mooring.model.hooks import Phase, wave_of
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.spec import ManagedNamespaceMetadata, Operation
from mooring.model.status import (
    ApplicationStatus,
    ComparedTo,
    HealthStatus,
    OperationState,
    ResourceResult,
    ResourceStatus,
    RevisionHistory,
    Summary,
    SyncResult,
    SyncStatus,
)
from mooring.names import ARGO_GROUP
from mooring.text import few_reasons, printable
from workers.apply import Applied, Outcome, Result
from workers.apps.conditions import REPOSITORY_WARNING, SYNC_ERROR, is_error, merge_conditions
from workers.cluster.live import Live
from workers.desired import Desired
from workers.health import BUILT_IN, Health, Judge, worst
from workers.health import HealthStatus as Word
from workers.hooks.ran import Ran
from workers.hooks.results import without_failed
from workers.links import external_urls
from workers.managed_namespace import due
from workers.plan import Extra, Notice, Plan
from workers.sync_status import OUT_OF_SYNC, SYNCED, UNKNOWN

# How the messages of operations begin that a worker is at work on, and that wait for their next try.
APPLYING, RETRYING = "applying", "trying again in"


@dataclass(frozen=True, slots=True)
class Seen:
    """One desired object as it is now: `live` None means missing."""

    desired: Desired
    live: Live | None
    synced: bool


def seen_after_apply(plan: Plan, applied: Applied) -> tuple[Seen, ...]:
    """Every desired object as an apply has left it."""
    live = {outcome.key: outcome for outcome in applied.outcomes}
    found = []
    for step in plan.steps:
        assert step.desired is not None
        outcome = live[step.key]
        synced = outcome.result in (Result.CREATED, Result.CONFIGURED, Result.UNCHANGED)
        found.append(Seen(step.desired, outcome.live or step.live, synced))
    return tuple(found)


def left_over(plan: Plan, applied: Applied) -> tuple[Extra, ...]:
    """What has left Git and is still there after an apply."""
    kept = [
        Extra(outcome.key, outcome.live, outcome.message)
        for outcome in applied.outcomes
        if outcome.desired is None
        and outcome.live is not None
        and outcome.result in (Result.SKIPPED, Result.FAILED)
        and any(outcome.key == step.key for group in plan.prunes for step in group)
    ]
    why = (
        "is pruned once all else is healthy" if applied.waits else "not pruned because an earlier step failed"
    )
    known = {extra.key for extra in kept}
    planned = {step.key for group in plan.prunes for step in group}
    return (
        *plan.extras,
        *kept,
        *(
            Extra(step.key, step.live, why)
            for group in plan.prunes
            for step in group
            if step.live is not None
            and step.key in planned - known
            and not any(outcome.key == step.key for outcome in applied.outcomes)
        ),
    )


def status(
    app: Application,
    pinned: Pinned,
    kinds: Sequence[str],
    seen: Sequence[Seen],
    extras: Sequence[Extra],
    notices: Iterable[Notice],
    operation: OperationState | None,
    now: str,
    hooks: Iterable[Live] = (),
    judge: Judge = BUILT_IN,
) -> ApplicationStatus:
    """The whole new status. `pinned` is what was compared, of these `kinds`; `now` RFC 3339; `hooks` are
    those that are there: neither whether the app is in sync nor its health is told by them. `judge` says how
    objects are."""
    resources = sorted(
        [
            *(_resource(item, judge) for item in seen),
            *(_extra(extra, judge) for extra in extras),
            *(_hook(live, judge) for live in hooks),
        ],
        key=lambda r: (r.group, r.kind, r.namespace, r.name),
    )
    synced = all(item.synced for item in seen) and all(
        ignores_extraneous(extra.live.annotations) for extra in extras
    )
    synced = synced and not due(app, operation)
    return app.status.model_copy(
        update={
            "resources": tuple(resources),
            "sync": SyncStatus(
                status=SYNCED if synced else OUT_OF_SYNC,
                **pinned.revision_fields,
                compared_to=ComparedTo(
                    **pinned.source_fields,
                    destination=app.spec.destination,
                    ignore_differences=app.spec.ignore_differences,
                ),
            ),
            "health": _health(app, resources, now),
            "conditions": conditions(app, notices, now),
            "operation_state": operation,
            "history": _history(app, operation, now),
            "reconciled_at": now,
            "source_type": "" if pinned.several else next(iter(kinds), ""),
            "source_types": tuple(kinds) if pinned.several else (),
            "summary": Summary(
                external_urls=external_urls(
                    app.metadata.annotations, (item.live for item in seen if item.live is not None)
                ),
                images=tuple(sorted(_images(item.desired.body for item in seen))),
            ),
        }
    )


def with_health(app: Application, seen: Mapping[ObjectKey, Health | None], now: str) -> ApplicationStatus:
    """The status of `app` where the objects `seen` have this health, and all else stands; `now` RFC 3339."""

    def told(resource: ResourceStatus) -> ResourceStatus:
        key = resource.key
        return resource.model_copy(update={"health": _told(seen[key])}) if key in seen else resource

    resources = tuple(told(resource) for resource in app.status.resources)
    return app.status.model_copy(update={"resources": resources, "health": _health(app, resources, now)})


def failed_status(
    app: Application, notices: Iterable[Notice], operation: OperationState | None, now: str
) -> ApplicationStatus:
    """The status when nothing was compared: what was known of the objects stays.

    Sync is Unknown, unless only a sync was refused (SyncError): that says nothing about the objects.
    """
    notices = tuple(notices)
    only_sync = all(notice.type == SYNC_ERROR for notice in notices)
    before, destination = app.status.sync, app.spec.destination
    sync = SyncStatus(status=UNKNOWN, compared_to=ComparedTo(source=app.spec.source, destination=destination))
    if app.spec.sources:
        known = Pinned.compared(before)
        same = known is not None and known.sources == app.spec.sources
        sync = SyncStatus(
            status=UNKNOWN,
            revisions=known.revisions if known and same else (),
            compared_to=ComparedTo(sources=app.spec.sources, destination=destination),
        )
    elif before is not None:
        sync = sync.model_copy(update={"revision": before.revision})
    return app.status.model_copy(
        update={
            "sync": before if before and only_sync else sync,
            # What was asked or noticed before has not been looked at again: it stands.
            "conditions": conditions(app, (*notices, *_standing(app)), now),
            "operation_state": operation,
            "reconciled_at": now,
        }
    )


def _standing(app: Application) -> Iterator[Notice]:
    for condition in app.status.conditions:
        if not is_error(condition):
            yield Notice(condition.type, condition.message)


def conditions(app: Application, notices: Iterable[Notice], now: str) -> tuple[Any, ...]:
    """The conditions to show, keeping the time of those that already stood there."""
    told = [(n.type, printable(n.message)) for n in notices]
    # Whoever asks repositories takes it off again, and nobody else (workers/unasked.py).
    told += [(c.type, c.message) for c in app.status.conditions if c.type == REPOSITORY_WARNING]
    return merge_conditions(app.status.conditions, told, now)


def running(
    operation: Operation, pinned: Pinned, now: str, resumed: OperationState | None = None
) -> OperationState:
    """The state of an operation that has just been claimed; `resumed` is what it was before, if it was."""
    known = resumed.sync_result.resources if resumed and resumed.sync_result else ()
    return OperationState(
        operation=operation,
        phase="Running",
        started_at=resumed.started_at if resumed else now,
        message=APPLYING,
        sync_result=SyncResult(**pinned.revision_fields, resources=known),
        retry_count=resumed.retry_count if resumed else 0,
    )


def finished(
    state: OperationState,
    pinned: Pinned,
    plan: Plan,
    applied: Applied,
    now: str,
    metadata: ManagedNamespaceMetadata | None = None,
    hooks: Sequence[ResourceResult] = (),
) -> OperationState:
    """The state of an operation whose plan was carried out, as far as its waves go by now: Running, while
    something is waited for. `hooks` is how all of its hooks stand that have begun."""
    skipped = [extra for extra in plan.extras if not extra.condition]
    phase, message = "Succeeded", "successfully synced (all tasks run)"
    if applied.waits:
        phase, message = "Running", waiting(applied)
    elif applied.failed:
        phase = "Failed"
        message = _reasons(
            [
                *((failure.key, failure.message) for failure in applied.failures),
                *((ran.run.key, ran.message) for ran in applied.hooks if ran.failed),
            ]
        )
    known = state.sync_result.resources if state.sync_result else ()
    earlier = {one.key: one for one in known if not one.hook_type}
    results = [
        _result(outcome, earlier)
        for outcome in applied.outcomes
        if not (applied.waits and outcome.result is Result.SKIPPED)  # its wave has not come yet
    ]
    results += [
        ResourceResult(
            group=extra.key.group,
            version=extra.live.kind.version,
            kind=extra.key.kind,
            namespace=extra.key.namespace,
            name=extra.key.name,
            status="PruneSkipped",
            message=extra.reason,
            sync_phase="Sync",
        )
        for extra in skipped
    ]
    before = tuple(one for one in hooks if one.hook_type == Phase.PRE_SYNC)
    after = tuple(one for one in hooks if one.hook_type != Phase.PRE_SYNC)
    return state.model_copy(
        update={
            "phase": phase,
            "message": message,
            "finished_at": "" if applied.waits else now,
            "sync_result": SyncResult(
                **pinned.revision_fields,
                **pinned.source_fields,
                resources=(*before, *results, *after),
                managed_namespace_metadata=metadata,
            ),
        }
    )


def with_hooks(state: OperationState, hooks: Iterable[ResourceResult]) -> OperationState:
    """`state` with what it says of its hooks replaced by `hooks`."""
    result = state.sync_result
    if result is None:
        return state
    told = tuple(hooks)
    before = tuple(one for one in told if one.hook_type == Phase.PRE_SYNC)
    after = tuple(one for one in told if one.hook_type != Phase.PRE_SYNC)
    plain = tuple(one for one in result.resources if not one.hook_type)
    update = {"resources": (*before, *plain, *after)}
    return state.model_copy(update={"sync_result": result.model_copy(update=update)})


def failed(state: OperationState, hooks: Sequence[Ran], now: str) -> OperationState:
    """The state of an operation that has failed, once `hooks`, those of phase SyncFail, have ended: Running,
    while one of them runs."""
    applied = Applied((), hooks=tuple(hooks))
    if applied.waits:
        return state.model_copy(update={"phase": "Running", "message": waiting(applied), "finished_at": ""})
    known = state.sync_result.resources if state.sync_result else ()
    reasons = _reasons([(one.key, one.message) for one in known if _failed(one)])
    if applied.failed:
        also = _reasons([(ran.run.key, ran.message) for ran in hooks if ran.failed])
        reasons = f"{reasons}; and then its SyncFail hooks: {also}"
    return state.model_copy(update={"phase": "Failed", "message": reasons, "finished_at": now})


def _failed(result: ResourceResult) -> bool:
    return result.hook_phase == "Failed" and result.sync_phase != Phase.SYNC_FAIL


def _reasons(failures: Sequence[tuple[ObjectKey, str]]) -> str:
    return few_reasons([f"{key.title}: {why}" for key, why in failures], 3)


def tried_again(state: OperationState, message: str) -> OperationState:
    """The state of an operation that has failed and is tried again: hooks that have succeeded never run
    again."""
    result = state.sync_result
    if result is not None:
        result = result.model_copy(update={"resources": without_failed(result.resources)})
    update = {"phase": "Running", "message": message, "retry_count": state.retry_count + 1}
    return state.model_copy(update={**update, "sync_result": result})


def later(moment: str, before: OperationState | None) -> str:
    """`moment` (RFC 3339), or the second after `before` began: no two operations of an app begin at the same
    one, for by that hooks know whose they are."""
    if before is None or moment > before.started_at:
        return moment
    after = datetime.fromisoformat(before.started_at) + timedelta(seconds=1)
    return after.strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(state: OperationState, phase: str, message: str, now: str) -> OperationState:
    """The state of an operation that ended before its plan was carried out."""
    return state.model_copy(update={"phase": phase, "message": message, "finished_at": now})


_WORDS = {Result.PRUNED: "Pruned", Result.FAILED: "SyncFailed", Result.SKIPPED: "SyncFailed"}


def waiting(applied: Applied) -> str:
    """What is waited for, in Argo CD's words."""
    hooks = [ran for ran in applied.hooks if ran.running]
    going = [ran for ran in hooks if ran.clearing]
    keys = [*(ran.run.key for ran in going or hooks), *(() if going else applied.waiting)]
    what = "deletion of hook" if going else "completion of hook" if hooks else "healthy state of"
    first, more = keys[0], len(keys) - 1
    told = f"waiting for {what} {first.group}/{first.kind}/{first.name}"
    others = "hooks" if hooks and not applied.waiting else "resources"
    return f"{told} and {more} more {others}" if more else told


def _result(outcome: Outcome, earlier: Mapping[ObjectKey, ResourceResult]) -> ResourceResult:
    key = outcome.key
    told = earlier.get(key)
    if told is not None and told.status == SYNCED and outcome.result is Result.UNCHANGED:
        return told  # written by this operation, with an earlier wave
    return ResourceResult(
        group=key.group,
        version=outcome.version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status=_WORDS.get(outcome.result, SYNCED),
        message=printable(outcome.message),
        hook_phase="Failed" if outcome.result is Result.FAILED else "Succeeded",
        sync_phase="Sync",
    )


def _resource(item: Seen, judge: Judge) -> ResourceStatus:
    key = item.desired.key
    found = _assessed(item.live, judge) if item.live is not None else Health(Word.MISSING, "")
    return ResourceStatus(
        group=key.group,
        version=item.desired.kind.version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status=SYNCED if item.synced else OUT_OF_SYNC,
        sync_wave=item.desired.wave,
        health=_told(found),
    )


def _hook(live: Live, judge: Judge) -> ResourceStatus:
    key = live.key
    found = judge.assess(live.body) if live.body is not None else None
    return ResourceStatus(
        group=key.group,
        version=live.kind.version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        hook=True,
        sync_wave=wave_of(live.annotations),
        health=_told(found),
    )


def _extra(extra: Extra, judge: Judge) -> ResourceStatus:
    key = extra.key
    found = _assessed(extra.live, judge)
    return ResourceStatus(
        group=key.group,
        version=extra.live.kind.version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status=OUT_OF_SYNC,
        requires_pruning=True,
        health=_told(found),
    )


def _told(found: Health | None) -> HealthStatus | None:
    return HealthStatus(status=found.status, message=found.message) if found else None


def _health(app: Application, resources: Iterable[ResourceStatus], now: str) -> HealthStatus:
    """The worst of the objects that are there, also where they have left Git; Missing only when the app
    should have some and has none."""
    counted = [one for one in resources if not one.hook]
    if counted and all(_is_absent(one) for one in counted):
        word = Word.MISSING
    else:
        word = worst(
            Health(Word(one.health.status))
            for one in counted
            if one.health and one.health.status and not _is_absent(one) and not _is_quiet(app, one)
        ).status
    before = app.status.health
    since = before.last_transition_time if before.status == word and before.last_transition_time else now
    return HealthStatus(status=word, last_transition_time=since)


def _is_absent(one: ResourceStatus) -> bool:
    """Whether it is not there; a check of the installation may call one Missing that is."""
    missing = one.health is not None and one.health.status == Word.MISSING
    return missing and one.status != SYNCED and not one.requires_pruning


def _assessed(live: Live, judge: Judge) -> Health | None:
    """The health of an object, unless it says that it has none.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#ignoring-child-resource-health-check-in-applications
    """
    if live.body is None or annotation(live.annotations, "ignore-healthcheck") == "true":
        return None
    return judge.assess(live.body)


def _is_quiet(app: Application, one: ResourceStatus) -> bool:
    """Whether it is an Application that says nothing of the one that has it: that itself, or one of which
    nothing is known. Applications have a health only by a check of the installation."""
    if (one.group, one.kind) != (ARGO_GROUP, "Application") or one.health is None:
        return False
    itself = (one.namespace, one.name) == (app.metadata.namespace, app.metadata.name)
    return itself or one.health.status in (Word.MISSING, Word.UNKNOWN)


def _history(app: Application, operation: OperationState | None, now: str) -> tuple[RevisionHistory, ...]:
    history = app.status.history
    if operation is None or operation.phase != "Succeeded" or operation.sync_result is None:
        return history
    sync = operation.operation.sync
    if sync is not None and (sync.dry_run or sync.resources or sync.self_heal_attempts_count):
        return history  # nothing, or but a part of it: as in Argo CD
    result = operation.sync_result
    told = revisions_of(result), operation.started_at
    if history and (revisions_of(history[-1]), history[-1].deploy_started_at) == told:
        return history  # told already
    deployed = Pinned.deployed(result) or Pinned(
        app.spec.all_sources, revisions_of(result), bool(app.spec.sources)
    )
    entry = RevisionHistory(
        id=max((item.id for item in history), default=-1) + 1,
        **deployed.revision_fields,
        **deployed.source_fields,
        deployed_at=now,
        deploy_started_at=operation.started_at,
        initiated_by=operation.operation.initiated_by,
    )
    limit = app.spec.history_limit
    return (*history, entry)[-limit:] if limit else ()


def _images(bodies: Iterable[Mapping[str, Any]]) -> set[str]:
    """Container images of pods and of whatever holds a pod template."""
    images: set[str] = set()
    for body in bodies:
        spec: Any = body.get("spec")
        if body.get("kind") == "CronJob" and isinstance(spec, dict):
            spec = (
                (spec.get("jobTemplate") or {}).get("spec")
                if isinstance(spec.get("jobTemplate"), dict)
                else None
            )
        if isinstance(spec, dict) and isinstance(spec.get("template"), dict):
            spec = spec["template"].get("spec")
        if not isinstance(spec, dict):
            continue
        for name in ("initContainers", "containers"):
            containers = spec.get(name)
            for container in containers if isinstance(containers, list) else ():
                if isinstance(container, dict) and isinstance(container.get("image"), str):
                    images.add(container["image"])
    return images
