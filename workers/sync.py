"""Carries a sync out: what it waits for, its claim, its stages, its retries and its end.

An operation is a row of short steps. Each reads how far the last one has come from the Application and the
cluster, so it makes no difference who takes the next one, or who died in the last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from mooring.errors import Superseded
from mooring.keys import ObjectKey
from mooring.model.hooks import Phase
from mooring.model.spec import Operation
from mooring.model.status import OperationState
from mooring.model.sync_options import sync_options
from mooring.store.turns import Turn
from workers import checkout, managed_namespace, report, tell, trial, upstream
from workers.apply import Applied, Fence, Result, apply
from workers.applyset import store as parents
from workers.applyset.inventory import Entry
from workers.applyset.parent import Parent
from workers.apps.conditions import DEPENDENCY_WAITING, SYNC_ERROR
from workers.apps.store import Claim
from workers.cluster.api import NAMESPACE
from workers.compare import compare
from workers.decide import Mode
from workers.drift.record import healed
from workers.dry_run import dry_run
from workers.engine import Engine
from workers.foreign import drift
from workers.hooks.ran import Ran
from workers.hooks.results import FAILED, SUCCEEDED
from workers.hooks.sync import HooksOfSync, still_busy, to_run
from workers.hooks.wanted import WantedHook, places
from workers.ignore.ahead import ahead
from workers.look import Scene, alive, options
from workers.plan import Notice, Verb, without_prunes
from workers.proof import record
from workers.retry import next_try, still_waits
from workers.successor import Successor
from workers.tell import (
    DEPENDS,
    RETRY,
    RETRY_NEWEST,
    WAVE,
    Ending,
    concluded,
    gave_way_to_less,
    in_proportion,
    now,
)
from workers.timeline import Timeline
from workers.waves import after_failure, in_waves

# How long after objects were written it is worth looking whether they are healthy, in seconds.
_HEALTHY_YET_S = (0.5, 15.0)
NEXT_SYNC = "left Git; it is pruned with the next sync"
# How long after the others were not ready they are asked again, should nobody have told, in seconds.
_OTHERS_READY_S = 15.0
_WRITTEN = (Result.CREATED, Result.CONFIGURED, Result.UNCHANGED)


def sync(engine: Engine, scene: Scene, turn: Turn, line: Timeline) -> Ending:
    """Take the sync that `scene` decides on as far as it goes now, and say when it goes on.

    Raises Superseded or Conflict when somebody else has taken over, or something was changed meanwhile.
    """
    app, decision = scene.app, scene.decision
    state = app.status.operation_state
    running = state is not None and state.phase == "Running"
    if state is not None and decision.resumes and scene.content == engine.applications.state(app).tried:
        left = still_waits(state, datetime.fromtimestamp(engine.clock(), UTC))
        if left:
            return _back_off(engine, scene, line, state, left)
    due = managed_namespace.due(app, state)
    if not (decision.by_hand or running or due or _differs(engine, scene)):
        found = compare(scene.plan, engine.api, engine.executor, scene.schema)
        scene = replace(scene, parent=_keep_books(engine, scene, gone=scene.plan.gone))
        _keep_bundle(engine, scene)  # deployed from now on is this render, although nothing had to be written
        extras = without_prunes(scene.plan, NEXT_SYNC).extras
        return concluded(engine, scene, line, state, found.seen, extras, tried=True)
    resumed = state if decision.resumes else None
    if resumed is None and (until_idle := busy(engine, scene)):
        if not running:  # else the operation that runs says what is waited for
            _say(engine, scene, line, until_idle.failure)
        return until_idle
    scene = replace(scene, plan=ahead(scene.plan, engine.api, engine.executor, to_write=True))
    if decision.operation.sync is not None and decision.operation.sync.dry_run:
        return dry_run(engine, scene, line, _missing(engine, scene))
    if waits := _unready(engine, scene):
        return _wait_for_others(engine, scene, line, waits)
    # Only for a turn that is lost. Giving way to whatever is newer would be fewer syncs, but where wishes
    # come faster than one look takes, there would never be any.
    if not engine.turns.holds(turn):
        raise Superseded("another worker has taken this turn")
    _keep_bundle(engine, scene)
    # From now on: should this worker die, what it has begun is neither new nor undone.
    memory = gave_way_to_less(engine, scene)
    if _whole(scene):
        memory = replace(memory, tried=scene.content, failed="", deployed=scene.given, bad=scene.bad)
    begun = report.running(decision.operation, scene.pinned, report.later(now(engine), state), resumed)
    claim = engine.applications.claim(app, begun, memory)
    fence = Fence(lambda: engine.applications.holds(claim), Successor(engine, claim).wants)
    hooks = HooksOfSync(engine, claim, scene.hooks, scene.parent, fence)
    if hooks.begun(Phase.SYNC_FAIL):  # where they run was written down when the first of them began
        return _go_on_failing(engine, scene, line, claim, hooks)
    applied, parent = _write(engine, scene, fence, hooks)
    if decision.mode is Mode.HEAL:
        healed(engine, app.key, applied)
    line.ended("applied")
    if not applied.failed and not applied.waits:
        line.landed()
    finished = report.finished(
        claim.state,
        scene.pinned,
        scene.plan,
        applied,
        now(engine),
        managed_namespace.managed(app),
        hooks.results,
    )
    retried: Ending | None = None
    if applied.failed and not applied.waits:
        retries = finished.retry_count
        wait = next_try(decision.operation.retry, retries, any(f.retry for f in applied.failures))
        if wait is not None:
            message = f"{report.RETRYING} {wait:.0f} s (attempt {retries + 2}): {finished.message}"
            finished = report.tried_again(finished, message)
            retried = Ending(message, wait, _retry(decision.operation))
        elif applied.begun and hooks.waves(Phase.SYNC_FAIL):
            finished, after = _after_failure(engine, hooks, finished)
            applied = replace(applied, hooks=(*applied.hooks, *after))
    if not applied.waits:
        hooks.clean_up((FAILED,) if retried else (SUCCEEDED, FAILED))
        tell.synced(app, finished)
    after_all = concluded(
        engine,
        replace(scene, app=hooks.app, parent=parent, hooks=replace(scene.hooks, lives=hooks.lives)),
        line,
        finished,
        report.seen_after_apply(scene.plan, applied),
        report.left_over(scene.plan, applied),
        applied=applied,
        claim=claim,
        fence=fence,
        tried=_whole(scene),
    )
    if applied.waits:
        return _waits(engine, finished, hooks)
    if applied.failed:
        ended = retried or Ending(failure=finished.message)
    else:
        ended = after_all
        for source, revision in zip(scene.pinned.sources, scene.pinned.revisions, strict=True):
            checkout.origin_of(engine, source, app.spec.project_name).keep(revision)
    _tell_end(engine, scene, finished, failed=applied.failed)
    return ended


def _whole(scene: Scene) -> bool:
    """Whether it is all of the content that is synced. A heal is, whatever it leaves alone for now: what is
    refused for good would be tried beside that for ever."""
    return scene.rest is None or scene.decision.mode is Mode.HEAL


def _unready(engine: Engine, scene: Scene) -> str:
    """What this sync waits for because the app depends on it; "" for nothing. One that has begun goes on."""
    state = scene.app.status.operation_state if scene.decision.resumes else None
    if state is not None and state.sync_result is not None and state.sync_result.resources:
        return ""
    return upstream.waits(engine, scene.app)


def _say(engine: Engine, scene: Scene, line: Timeline, why: str) -> None:
    """Show what differs, and why nothing is done about that yet."""
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    engine.proofs.save(engine.api.cluster, scene.app.key, found.proofs)
    extras = without_prunes(scene.plan, NEXT_SYNC).extras
    scene = replace(scene, notices=(*scene.notices, Notice(SYNC_ERROR, why)))
    concluded(engine, scene, line, scene.app.status.operation_state, found.seen, extras)


def _wait_for_others(engine: Engine, scene: Scene, line: Timeline, why: str) -> Ending:
    """Say what is waited for, if anything is to be written at all. What somebody asked for is taken up, and
    waits as an operation that runs."""
    app, decision = scene.app, scene.decision
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    engine.proofs.save(engine.api.cluster, app.key, found.proofs)
    extras = without_prunes(scene.plan, NEXT_SYNC).extras
    state, claim = app.status.operation_state, None
    in_order = not scene.plan.prunes and all(seen.synced for seen in found.seen)
    if in_order and not decision.by_hand:
        return concluded(engine, scene, line, state, found.seen, extras)
    if decision.by_hand and not (decision.resumes and state is not None and state.message == why):
        begun = report.running(
            decision.operation, scene.pinned, now(engine), state if decision.resumes else None
        )
        claim = engine.applications.claim(app, begun.model_copy(update={"message": why}))
        scene, state = replace(scene, app=claim.app), claim.state
    scene = replace(scene, notices=(*scene.notices, Notice(DEPENDENCY_WAITING, why)))
    concluded(engine, scene, line, state, found.seen, extras, claim=claim)
    return Ending(why, _OTHERS_READY_S, DEPENDS)


def _back_off(engine: Engine, scene: Scene, line: Timeline, state: OperationState, wait: float) -> Ending:
    """Leave an operation alone whose next try has not come yet: what woke us is nothing new to it."""
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    extras = without_prunes(scene.plan, "left Git; it is pruned with the next try").extras
    scene = replace(scene, notices=(*scene.notices, Notice(SYNC_ERROR, state.message)))
    concluded(engine, scene, line, state, found.seen, extras)
    return Ending(state.message, wait, _retry(state.operation))


def _retry(operation: Operation) -> str:
    return RETRY_NEWEST if operation.retry.refresh else RETRY


def _after_failure(
    engine: Engine, hooks: HooksOfSync, failed: OperationState
) -> tuple[OperationState, tuple[Ran, ...]]:
    """Take the SyncFail hooks one step further: the operation's state then, and how they stand."""
    hooks.state = failed.model_copy(update={"phase": "Running", "finished_at": ""})
    ran = after_failure(hooks)
    return report.failed(report.with_hooks(failed, hooks.results), ran, now(engine)), ran


def _go_on_failing(engine: Engine, scene: Scene, line: Timeline, claim: Claim, hooks: HooksOfSync) -> Ending:
    """Of a sync that has failed, only the SyncFail hooks go on: nothing else is written any more."""
    finished, ran = _after_failure(engine, hooks, claim.state)
    applied = Applied((), hooks=ran)
    if not applied.waits:
        hooks.clean_up((SUCCEEDED, FAILED))
        tell.synced(scene.app, finished)
        scene = replace(scene, notices=(*scene.notices, Notice(SYNC_ERROR, finished.message)))
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    extras = without_prunes(scene.plan).extras
    scene = replace(scene, app=hooks.app, hooks=replace(scene.hooks, lives=hooks.lives))
    concluded(engine, scene, line, finished, found.seen, extras, claim=claim, tried=_whole(scene))
    if applied.waits:
        return _waits(engine, finished, hooks)
    _tell_end(engine, scene, finished, failed=True)
    return Ending(failure=finished.message)


def _waits(engine: Engine, state: OperationState, hooks: HooksOfSync) -> Ending:
    """What is waited for is looked at again, the less often the longer it takes."""
    return Ending(
        state.message, in_proportion(engine, hooks.since or state.started_at, *_HEALTHY_YET_S), WAVE
    )


def _tell_end(engine: Engine, scene: Scene, state: OperationState, *, failed: bool) -> None:
    message = f"sync to {scene.pinned}: {state.message}"
    kind: Literal["Normal", "Warning"] = "Warning" if failed else "Normal"
    # Nobody waits for it: it would be a tenth of a sync.
    engine.executor.submit(engine.applications.event, scene.app, kind, "OperationCompleted", message)


def _write(engine: Engine, scene: Scene, fence: Fence, hooks: HooksOfSync) -> tuple[Applied, Parent]:
    """Try what is to be written, grow the inventory, apply with the hooks around it, and let go of what was
    seen gone."""
    api = engine.api
    if (refused := _tried(engine, scene)) is not None:
        return refused, scene.parent
    making = engine.executor.submit(_make_namespace, engine, scene) if _made(scene) else None
    parent = _keep_books(engine, scene, to_run(scene.hooks, scene.decision.operation))  # meanwhile, at home
    if making is not None:
        making.result()
    judge = scene.judge
    applied = in_waves(
        scene.plan, lambda wave: apply(wave, api, engine.executor, scene.view, fence), hooks, judge
    )
    # Known only now: written by a merge, since their schema refused an apply. Their marks are told by it.
    merged = {
        outcome.key: Entry(parent.inventory.entries[outcome.key].origin, "merge")
        for outcome in applied.outcomes
        if outcome.merged and outcome.key in parent.inventory.entries
    }
    if merged:
        parent = parents.grow(engine.own, parent, merged)
    gone = set(scene.plan.gone)
    for outcome in applied.outcomes:
        live = outcome.live if outcome.result is Result.PRUNED else None
        if live is not None and api.get(live.kind, live.key.namespace, live.key.name, True) is None:
            gone.add(outcome.key)
    if gone:
        parent = parents.shrink(engine.own, parent, gone)
    proofs = {
        outcome.key: record(item.digest, scene.schema(item), live)
        for outcome in applied.outcomes
        if outcome.result in _WRITTEN
        and (item := outcome.desired) is not None
        and (live := outcome.live) is not None
        and not drift(item, live)  # set again at once, by a webhook
    }
    engine.proofs.save(engine.api.cluster, scene.app.key, proofs, gone)
    return applied, parent


def _made(scene: Scene) -> str:
    """The namespace that the sync option CreateNamespace has a sync make sure of; "" for none."""
    asked = sync_options(options(scene.app, scene.decision.operation))
    return scene.app.spec.destination.namespace if asked.create_namespace else ""


def _make_namespace(engine: Engine, scene: Scene) -> None:
    wanted, absent = {item.key for item in scene.wanted}, _made(scene) in scene.nowhere
    exists = partial(alive, engine)
    managed_namespace.ensure(engine.api, scene.app, engine.installation.id, wanted, exists, absent=absent)


def _tried(engine: Engine, scene: Scene) -> Applied | None:
    """Dry run first, when an operation begins: the outcomes where that speaks against it."""
    state = scene.app.status.operation_state if scene.decision.resumes else None
    if trial.begun(state) or not scene.plan.writes:
        return None
    missing = _missing(engine, scene)
    hooks = to_run(scene.hooks, scene.decision.operation)
    if not trial.needed(scene.plan, alone=not (missing or hooks)):
        return None
    tried = trial.trial(scene.plan, engine.api, engine.executor, scene.view, engine.schemas, missing, hooks)
    return trial.spared(scene.plan, tried)


def _missing(engine: Engine, scene: Scene) -> frozenset[str]:
    """The namespace that is not there yet and is created before anything else; or none."""
    name = _made(scene)
    known = any(step.live is not None and step.key.namespace == name for step in scene.plan.steps)
    if not name or known:
        return frozenset()
    if name in scene.nowhere or engine.api.get(NAMESPACE, "", name, metadata_only=True) is None:
        return frozenset((name,))
    return frozenset()


def busy(engine: Engine, scene: Scene) -> Ending | None:
    """What a sync that is about to begin or to end waits for: hooks of the one before it; None for
    nothing."""
    state, why = scene.app.status.operation_state, still_busy(engine, scene.hooks)
    if not why:
        return None
    return Ending(
        why, in_proportion(engine, state.started_at if state else now(engine), *_HEALTHY_YET_S), WAVE
    )


def _differs(engine: Engine, scene: Scene) -> bool:
    """Whether a sync would change anything. Hooks are not run in vain: where proof is missing, the API server
    is asked before they are."""
    found = scene.plan
    if found.refused or not found.changes or not scene.hooks.wanted:
        return bool(found.refused or found.changes)
    if found.must_prune or any(step.verb is Verb.CREATE for group in found.writes for step in group):
        return True
    compared = compare(found, engine.api, engine.executor, scene.schema)
    return bool(compared.taken) or not all(seen.synced for seen in compared.seen)


def _keep_books(
    engine: Engine, scene: Scene, hooks: Sequence[WantedHook] = (), gone: Collection[ObjectKey] = ()
) -> Parent:
    """The inventory with what the plan adds and where `hooks` may run, and without what is `gone`."""
    parent = scene.parent
    if scene.plan.grow or hooks:
        parent = parents.grow(engine.own, parent, scene.plan.grow, places(hooks))
    if gone:
        parent = parents.shrink(engine.own, parent, gone)
    return parent


def _keep_bundle(engine: Engine, scene: Scene) -> None:
    """Keep what cannot surely be rendered again, unless it is kept already."""
    if scene.bundle is not None and not scene.bundle.known:
        engine.bundles.write(scene.app.key, scene.bundle.content, scene.bundle.drawn, engine.api.cluster)
