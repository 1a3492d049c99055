"""Brings one application to what is wanted of it: look, decide, compare, or sync where that is allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.status import TERMINATING
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.store.due import Step
from mooring.store.turns import Turn
from workers import aim, report, tell
from workers.apps.conditions import FOREIGN_FIELDS, SYNC_WINDOW
from workers.apps.patches import refresh_asked
from workers.apps.wishes import EDITION, catch_up
from workers.clusters.there import there
from workers.compare import Compared, compare
from workers.contested import contested, notices
from workers.decide import Mode, healing
from workers.delete import delete
from workers.drift import record as drift
from workers.engine import Engine
from workers.hooks.deletion import bound
from workers.hooks.leave import leave
from workers.hooks.seen import see
from workers.hooks.sync import end_hooks, let_strays_go
from workers.impersonation import acting
from workers.look import Checked, Scene, check, look
from workers.plan import Extra, Notice, Plan, without_prunes
from workers.poll import soon
from workers.push import PUSH
from workers.selection import part
from workers.sync import NEXT_SYNC, busy, sync
from workers.tell import (
    TERMINATED,
    WINDOW,
    Ending,
    concluded,
    now,
    refused,
    terminated,
)
from workers.timeline import Timeline
from workers.vitals import vitals
from workers.windows import Held, verdict


def bring(engine: Engine, key: AppKey, turn: Turn, line: Timeline, read: Application | None = None) -> Ending:
    """Bring the application `key` to what `turn` wishes. `read` is what it was a moment ago, None to read it.

    What is the user's to fix becomes a condition and the ending's failure. Raises Retryable when it is to
    be tried again, Conflict when something was changed meanwhile, Superseded when somebody else has taken
    over.
    """
    with contextlib.suppress(Refused):  # which is told below
        if read is None and (ending := vitals(engine, key, turn)) is not None:
            return ending
    app = read or _at_first(engine, key, turn) or engine.applications.get(key)
    if app is None:
        leave(engine, key)
        return Ending()  # deleted: nothing is wanted any more
    if app.metadata.deletion_timestamp:
        return delete(engine, app, turn)
    edition = ""
    try:
        catch_up(engine.applications, app, turn.wishes)
        edition = engine.applications.edition(app)
        engine = there(engine, app)
        state = app.status.operation_state
        if state is not None and state.phase == TERMINATING:
            known = see(engine, app)
            app = terminated(engine, app, end_hooks(engine, app, state, known))
            told = revisions_of(state.sync_result)
            if all(pushed in told for name, pushed in turn.wishes.items() if name.startswith(PUSH)):
                return Ending(failure=TERMINATED)
            # A commit that was pushed since is another matter.
        engine = acting(engine, app)
        checked = check(engine, app, edition)
        if app.operation is not None:
            by_hand = not app.operation.initiated_by.automated
            moment = datetime.fromtimestamp(engine.clock(), UTC)
            held = verdict(checked.windows, moment, by_hand=by_hand)
            if isinstance(held, Held):
                app = tell.turned_down(engine, app, app.operation, f"syncs are {held}")
                checked = replace(checked, app=app)  # what was pushed meanwhile is another matter
        if newer := _newer(engine, checked, turn):
            app = tell.gave_way(engine, app, newer)
            checked = replace(checked, app=app)
        scene = look(engine, checked, turn, line)
        let_strays_go(engine, scene.app, scene.hooks)
        # From before they are deployed: an app that is deleted then has them run.
        scene = replace(scene, app=bound(engine, scene.app, scene.hooks.wanted, whole=False))
        now_sync = scene.decision.mode is Mode.SYNC and scene.decision.held is None
        go = sync if now_sync else _compare
        ending = go(engine, scene, turn, line)
    except Refused as error:
        return refused(engine, key, error, edition)
    if refresh_asked(app):
        engine.applications.clear_refresh(app)
        soon(engine, app)
    return ending


def _at_first(engine: Engine, key: AppKey, turn: Turn) -> Application | None:
    """The application as the API server has it in its cache, where it is what `turn` is about and nobody has
    ever looked at it: to ask the server's store is more than half of what a read costs.

    Else the cache may not have yet what the turn before has written, as which hooks run. What is written
    meanwhile to this one fails the guard of the claim.
    """
    if turn.wishes.keys() != {EDITION} or not turn.first:
        return None
    with contextlib.suppress(Refused):  # it is read up to date then
        app = engine.applications.get(key, since="0")
        new = app is not None and app.status.sync is None and app.status.operation_state is None
        if app is not None and new and not app.metadata.deletion_timestamp:
            return app if engine.applications.edition(app) == turn.wishes[EDITION] else None
    return None


def _newer(engine: Engine, checked: Checked, turn: Turn) -> Pinned | None:
    """What Git has that is newer than the sync by hand that waits, and may be synced now by itself."""
    newer = aim.newer(engine, checked.app, checked.project, turn)
    if newer is None:
        return None
    held = verdict(checked.windows, datetime.fromtimestamp(engine.clock(), UTC), by_hand=False)
    return None if isinstance(held, Held) else newer


def _compare(engine: Engine, scene: Scene, turn: Turn, line: Timeline) -> Ending:
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    engine.proofs.save(engine.api.cluster, scene.app.key, found.proofs)
    scene = replace(scene, notices=(*scene.notices, *found.notices))
    held = scene.decision.held
    heals = scene.decision.mode is Mode.HEAL and held is None
    last = scene.app.status.operation_state if heals else None
    again = contested(found, scene.plan, last, engine.api)
    drifts = drift.examined(engine, scene, found)
    left = "" if heals else _why_left(engine, scene)
    scene = replace(scene, notices=(*scene.notices, *drift.tell(engine, scene, found, drifts, again, left)))
    left_alone = frozenset(drifts.waits) if heals else frozenset()
    if heals:
        drift.look_again(engine, scene.app.key, drifts)
    due = found.drifted - again - left_alone or found.taken or scene.plan.must_prune
    if heals and (due or scene.decision.resumes):  # what runs comes to its end, though all may be written
        decision = replace(scene.decision, operation=healing(scene.decision.operation))
        told = tuple(one for one in scene.notices if one.type != FOREIGN_FIELDS)  # that goes with it
        only = _only(scene.plan, found)
        rest = replace(part(only, left_alone.__contains__), gone=frozenset()) if left_alone else None
        only = part(only, lambda key: key not in left_alone)
        healed = replace(scene, plan=only, rest=rest, decision=decision, notices=told)
        return sync(engine, healed, turn, line)
    scene = replace(scene, notices=(*scene.notices, *notices(found, again)))
    # What would be pruned by a sync is merely told.
    extras = without_prunes(scene.plan, NEXT_SYNC).extras
    state, claim = scene.app.status.operation_state, None
    running = state is not None and state.phase == "Running"
    if held is not None and (running or scene.plan.must_prune or not all(seen.synced for seen in found.seen)):
        return _wait(engine, scene, line, held, found, extras)
    if state is not None and running:
        # An automated one that was cut short, and automation has been turned off since.
        if waits := busy(engine, scene):
            return waits
        memory = replace(engine.applications.state(scene.app), tried="")
        claim = engine.applications.claim(scene.app, state, memory)
        state = report.ended(state, "Error", "ended: syncs are not automated any more", now(engine))
        tell.synced(scene.app, state)
        scene = replace(scene, app=claim.app)
    ending = concluded(engine, scene, line, state, found.seen, extras, claim=claim)
    differs = not all(seen.synced for seen in found.seen)
    if differs and claim is None and state is not None and _has_failed(engine, scene):
        # Whoever pushed it is told so, also where something else had it tried before the push was heard of.
        return replace(ending, failure=f"not tried again by itself: {state.message}")
    return ending


def _has_failed(engine: Engine, scene: Scene) -> bool:
    """Whether what Git has was tried, and failed for good."""
    return engine.applications.state(scene.app).failed == scene.content


def _why_left(engine: Engine, scene: Scene) -> str:
    """Why nothing that has drifted is put back by itself."""
    rules = scene.app.spec.automated
    if scene.decision.held is not None:
        return f"syncs are {scene.decision.held}"
    if rules is None:
        return "syncs are not automated; `mooring app sync` puts it back"
    if not rules.self_heal:
        return "selfHeal is off; `mooring app sync` puts it back"
    if _has_failed(engine, scene):
        return "the last sync failed, and is not tried again by itself"
    return "nothing is synced by itself now"


def _wait(
    engine: Engine, scene: Scene, line: Timeline, held: Held, found: Compared, extras: Sequence[Extra]
) -> Ending:
    """Say that a sync waits for its time, and look again at once when that comes."""
    why = f"syncs are {held}"
    scene = replace(scene, notices=(*scene.notices, Notice(SYNC_WINDOW, why)))
    ending = concluded(engine, scene, line, scene.app.status.operation_state, found.seen, extras)
    if held.until is not None:
        step = Step(TASK_RECONCILE, (str(scene.app.key), WINDOW), RECONCILE)
        engine.due.put(step, held.until.timestamp())
    return replace(ending, failure=why)


def _only(found: Plan, compared: Compared) -> Plan:
    """`found` reduced to exactly the objects that have drifted, or that others have taken fields of; the
    others are as Git wants them."""
    ours = compared.drifted | compared.taken
    writes = tuple(
        group for steps in found.writes if (group := tuple(step for step in steps if step.key in ours))
    )
    equal = tuple(step for steps in found.writes for step in steps if step.key not in ours)
    return replace(found, writes=writes, kept=(*found.kept, *equal))
