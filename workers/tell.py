"""Says what became of an application: its status, its conditions, its line in the read model, an Event."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import redis

from mooring.errors import GitRefused, MooringError, Refused, RemoteRefused, Retryable
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.spec import Operation
from mooring.model.status import OperationState
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.repourl import masked
from mooring.store.connection import in_one_trip
from mooring.store.due import Step
from mooring.store.proofs import Proofs
from mooring.store.views import AppView, Views
from workers import report, rollback
from workers.apply import Applied, Fence
from workers.apps.conditions import HEALTH_WARNING, SYNC_ERROR, SYNC_WINDOW
from workers.apps.patches import refresh_asked
from workers.apps.state import State
from workers.apps.store import Claim
from workers.apps.wishes import turn_of
from workers.basis import basis, ground
from workers.compare import compare
from workers.decide import asked
from workers.drift import record as drift
from workers.engine import Engine
from workers.hooks.deletion import bound
from workers.hooks.results import RUNNING, hook_results
from workers.look import Scene
from workers.metrics import SYNCS
from workers.plan import Extra, Notice, without_prunes
from workers.sync_status import SYNCED, UNKNOWN
from workers.timeline import Timeline

_log = logging.getLogger(__name__)
# How long after a change of health the next look is worth its requests, in seconds.
_LOOK_AGAIN = (1.0, 60.0)
# How long after a Git host said no it is worth asking again, in seconds.
_ASK_GIT_AGAIN = (2.0, 180.0)


TERMINATED = "operation terminated"
HEALTH, LOOK, RETRY, WAVE, WINDOW = "health", "look", "retry", "wave", "window"  # why to look again
RETRY_NEWEST = "retry with what is newest"
DELETION, DEPENDS = "deletion", "depends"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended. `failure` is "" when all is well; `look_again_s` asks for another look (0: none)."""

    failure: str = ""
    look_again_s: float = 0.0
    why: str = HEALTH


def concluded(
    engine: Engine,
    scene: Scene,
    line: Timeline,
    operation: OperationState | None,
    seen: Sequence[report.Seen],
    extras: Sequence[Extra],
    *,
    applied: Applied | None = None,
    claim: Claim | None = None,
    fence: Fence | None = None,
    tried: bool = False,
) -> Ending:
    """Write the status, and say when to look again. `fence` is that of `claim`, where something was applied
    under it; `tried`: this content was synced, or tried to be."""
    notices = list(scene.notices)
    if scene.rest is not None:
        others = compare(scene.rest, engine.api, engine.executor, scene.schema)
        left = without_prunes(scene.rest, "left Git; it was not selected").extras
        seen, extras = (*seen, *others.seen), (*extras, *left)
        notices += others.notices
    if applied is not None:
        notices += [
            Notice("SyncWarning", f"{outcome.key.title}: {outcome.warning}")
            for outcome in applied.outcomes
            if outcome.warning
        ]
        if applied.failed and not applied.waits and operation is not None:
            notices.append(Notice(SYNC_ERROR, operation.message))
    status = report.status(
        scene.app,
        scene.pinned,
        scene.kinds,
        seen,
        extras,
        notices,
        operation,
        now(engine),
        scene.hooks.shown,
        scene.judge,
    )
    if scene.judge.problems:  # known only now
        notices += [Notice(HEALTH_WARNING, said) for said in scene.judge.problems.values()]
        status = status.model_copy(update={"conditions": report.conditions(scene.app, notices, now(engine))})
    if scene.ahead is not None:
        status = rollback.as_git_has_it(status, scene.app, scene.wanted, scene.ahead)
    in_sync = status.sync is not None and status.sync.status == SYNCED
    memory = engine.applications.state(scene.app)
    if applied is None and not in_sync and memory.failed == scene.content:
        # It is not tried again by itself: who looks later must see why.
        notices.append(Notice(SYNC_ERROR, _why_failed(operation)))
        status = status.model_copy(update={"conditions": report.conditions(scene.app, notices, now(engine))})
    git = scene.ahead or scene
    # What an operation has brought in the place of what Git has tells nothing about the next push.
    apart = scene.ahead is None and scene.seen != scene.given
    state = replace(
        memory,
        inputs="" if apart else git.inputs,
        commit=" ".join(git.pinned.revisions),
        spec=scene.edition,
        seen=scene.seen,
    )
    if tried:
        phase = operation.phase if claim is not None and operation is not None else "Succeeded"
        state = replace(
            state,
            tried=scene.content,
            failed=scene.content if phase == "Failed" else "",
            deployed=scene.given,
            stands=scene.given if phase == "Succeeded" else memory.stands,
        )
    before, state = state.bundle, replace(state, bundle=_bundle(scene, state.bundle, tried=tried))
    state = replace(state, again=_again(scene, state))
    with fence.around(engine.api) if fence is not None else contextlib.nullcontext():
        app = engine.applications.report(scene.app, status, state, claim)
        if fence is not None and app is scene.app:  # there was nothing to write, which tells nothing
            fence.check([], engine.api, always=True)
    _log_news(scene.app, app)
    drift.concluded(engine, scene, seen, applied, operation, doubt=drift.in_doubt(notices))
    line.ended("synced" if in_sync else "compared")
    view, on = _view(engine, app), _basis(engine, scene, app) if in_sync else ""

    def write(client: redis.Redis) -> None:
        Views(client).put(view)
        Proofs(client).rests_on(engine.api.cluster, app.key, on)

    in_one_trip(engine.redis, write)
    _wake(engine, scene)
    if before and tried and before != state.bundle:
        engine.bundles.keep_only(app.key, state.bundle)
    if apart and operation is not None and operation.phase != "Running":
        # Compared with what was asked for; now with what Git has.
        engine.due.put(Step(TASK_RECONCILE, (str(app.key), LOOK), RECONCILE), engine.clock())
    if claim is not None and not state.tried and operation is not None and operation.phase != "Running":
        # What gave way to a part of it is taken up again.
        engine.due.put(Step(TASK_RECONCILE, (str(app.key), "reconcile"), RECONCILE), engine.clock())
    if scene.bundle is not None and applied is not None and not scene.bundle.again:
        # Off the way of any push: is it really another one each time?
        step = Step(TASK_RECONCILE, (str(app.key), "reconcile"), RECONCILE)
        engine.due.put(step, engine.clock() + 2.0)
    if in_sync:
        bound(engine, app, scene.hooks.wanted, whole=True)
    return look_again(engine, app)


def _basis(engine: Engine, scene: Scene, app: Application) -> str:
    try:
        return basis(app, engine.applications.state(app), scene.edition, scene.parent, ground(engine))
    except MooringError:  # nobody can tell: it is looked at again
        return ""


def look_again(engine: Engine, app: Application) -> Ending:
    """The ending of a look after which `app` waits for nothing but its health, if for anything."""
    health = app.status.health
    if health.status == "Progressing":
        return Ending(look_again_s=in_proportion(engine, health.last_transition_time, *_LOOK_AGAIN))
    return Ending()


def _why_failed(last: OperationState | None) -> str:
    """Why what Git has is not tried again; the last operation may have been about something else."""
    if last is not None and last.phase == "Failed":
        return last.message
    return (
        "its last sync failed: it is not tried again by itself, until something of it changes; sync by hand"
    )


def _bundle(scene: Scene, before: str, *, tried: bool) -> str:
    """The content whose manifests are deployed and cannot be rendered again; `before` is what was."""
    found = scene.bundle
    if found is None:
        return "" if tried else before
    return found.content if found.known or found.lost or tried else before


def _again(scene: Scene, state: State) -> str:
    """What a second render gave: of this content, or still of the one that is deployed."""
    if scene.bundle is not None and scene.bundle.again:
        return scene.bundle.again
    return state.again if state.bundle and state.again.startswith(state.bundle) else ""


def synced(app: Application, state: OperationState) -> None:
    """Count a sync that has come to `state`, and log it. One that is tried again is still Running."""
    key = AppKey(app.metadata.namespace, app.metadata.name)
    SYNCS.labels(str(key), state.phase).inc()
    level = logging.INFO if state.phase == "Succeeded" else logging.WARNING
    _log.log(level, "sync of %s: %s: %s", key, state.phase, state.message)


def _wake(engine: Engine, scene: Scene) -> None:
    """Whoever has to do with an object that two apps want looks for itself: those who have just been told
    something else, and those for whom it has become free."""
    wanted = {item.key for item in scene.wanted}
    freed = {other for other, keys in scene.words.claims.items() if not keys <= wanted}
    for other in scene.words.news | freed:
        engine.wake(turn_of(other), {"shared": "1"})


def refused(engine: Engine, key: AppKey, error: Refused, edition: str = "") -> Ending:
    """Put the error on the application as a condition, and end its operation; the cluster stays as it is.

    `edition` is what was looked at (`Applications.edition`): what was edited since is looked at anew.
    """
    app = engine.applications.get(key)
    if app is None:
        return Ending(failure=str(error))
    state = app.status.operation_state
    wanted = asked(app) or (state.operation if state is not None and state.phase == "Running" else None)
    claim: Claim | None = None
    if wanted is not None:
        # Whoever asked for it, or watches it, waits for its end.
        claim, state = _end_unbegun(engine, app, wanted, str(error))
        app = claim.app
    _failed(engine, app, [Notice(error.condition, str(error))], state, claim, edition)
    engine.applications.event(app, "Warning", error.condition, str(error))
    if refresh_asked(app):
        engine.applications.clear_refresh(app)
    if isinstance(error, (GitRefused, RemoteRefused)):
        # Mended at its host, by a first push or a new credential, and nothing tells us when.
        since = next(
            (c.last_transition_time for c in app.status.conditions if c.message == str(error)), now(engine)
        )
        return Ending(str(error), in_proportion(engine, since, *_ASK_GIT_AGAIN), LOOK)
    return Ending(failure=str(error))


def turned_down(engine: Engine, app: Application, wanted: Operation, why: str) -> Application:
    """End the operation that somebody asked for before it has begun; the app as it is then.

    Nothing else changes. A sync that was under way, and gave way to it, is as if it had not been tried.
    """
    before, state = app.status.operation_state, engine.applications.state(app)
    if before is not None and before.phase == "Running":
        state = replace(state, tried="")
    claim, ended = _end_unbegun(engine, app, wanted, why)
    after = _ended(engine, claim, ended, state)
    engine.applications.event(after, "Warning", SYNC_WINDOW, why)
    show(engine, after)
    return after


def _end_unbegun(
    engine: Engine, app: Application, wanted: Operation, why: str
) -> tuple[Claim, OperationState]:
    named, several = revisions_of(wanted.sync), bool(wanted.sync and wanted.sync.revisions)
    began = report.running(
        wanted, Pinned((), named, several), report.later(now(engine), app.status.operation_state)
    )
    # What still runs of the one that gives way is known by this alone.
    known = hook_results(app.status.operation_state).values()
    began = report.with_hooks(began, (one for one in known if one.hook_phase == RUNNING))
    claim = engine.applications.claim(app, began)
    ended = report.ended(claim.state, "Error", why, now(engine))
    synced(claim.app, ended)
    return claim, ended


def terminated(engine: Engine, app: Application, state: OperationState) -> Application:
    """End the operation that somebody asked to end, as Argo CD does; the app as it is then.

    https://argo-cd.readthedocs.io/en/stable/user-guide/commands/argocd_app_terminate-op/
    """
    claim = engine.applications.claim(app, state)
    ended = report.ended(state, "Failed", TERMINATED, now(engine))
    synced(app, ended)
    status = report.failed_status(claim.app, [Notice(SYNC_ERROR, TERMINATED)], ended, now(engine))
    memory = engine.applications.state(claim.app)
    after = engine.applications.report(claim.app, status, replace(memory, failed=memory.tried), claim)
    engine.applications.event(after, "Warning", "OperationCompleted", TERMINATED)
    show(engine, after)
    return after


def gave_way_to_less(engine: Engine, scene: Scene) -> State:
    """What is remembered of the app once an operation has begun: one that was under way, and gives way to
    what does only a part of it, or nothing, is as if it had not been tried."""
    memory, state = engine.applications.state(scene.app), scene.app.status.operation_state
    running = state is not None and state.phase == "Running"
    return replace(memory, tried="") if running and not scene.decision.resumes else memory


def gave_way(engine: Engine, app: Application, to: Pinned) -> Application:
    """End the operation that somebody asked for, and that waits, for Git has what is newer; the app then."""
    state = app.status.operation_state
    assert state is not None
    why = f"gave way to {to}, which Git has now"
    after = cut_short(engine, app, state, "Failed", why)
    engine.applications.event(after, "Warning", "OperationCompleted", why)
    return after


def cut_short(engine: Engine, app: Application, state: OperationState, phase: str, why: str) -> Application:
    """End the operation `state` as it stands; nothing else changes. The app then."""
    claim = engine.applications.claim(app, state)
    ended = report.ended(state, phase, why, now(engine))
    synced(claim.app, ended)
    return _ended(engine, claim, ended, engine.applications.state(claim.app))


def _ended(engine: Engine, claim: Claim, operation: OperationState, memory: State) -> Application:
    status = claim.app.status.model_copy(update={"operation_state": operation})
    return engine.applications.report(claim.app, status, memory, claim)


def moved(engine: Engine, app: Application, to: Pinned) -> None:
    """Say that `app` is at other revisions that change nothing for it."""
    after = engine.applications.moved(app, to)
    if after is not None:
        show(engine, after)


def in_proportion(engine: Engine, since: str, least: float, most: float) -> float:
    """Seconds to wait, half as long as it has been like this, within the bounds."""
    passed = engine.clock() - datetime.fromisoformat(since).timestamp()
    return min(max(passed / 2, least), most)


def waiting(engine: Engine, key: AppKey, error: Retryable) -> None:
    """Say on the application why it has to wait. Does nothing when even that cannot be written."""
    try:
        app = engine.applications.get(key)
        if app is not None:
            _failed(engine, app, [Notice("ComparisonError", str(error))], app.status.operation_state)
    except MooringError:
        return


def _failed(
    engine: Engine,
    app: Application,
    notices: Sequence[Notice],
    operation: OperationState | None,
    claim: Claim | None = None,
    edition: str = "",
) -> None:
    status = report.failed_status(app, notices, operation, now(engine))
    state = engine.applications.state(app)
    with contextlib.suppress(MooringError):  # projects that cannot be read keep nothing from being told
        state = replace(state, spec=edition or engine.applications.edition(app))
    after = engine.applications.report(app, status, state, claim)
    _log_news(app, after)
    show(engine, after)


def _log_news(before: Application, after: Application) -> None:
    """Log each condition that is new, unless it says how a sync ended: `synced` has logged that."""
    known = {(condition.type, condition.message) for condition in before.status.conditions}
    ended = after.status.operation_state.message if after.status.operation_state is not None else ""
    for condition in after.status.conditions:
        if (condition.type, condition.message) not in known and condition.message != ended:
            _log.warning("%s: %s: %s", after.key, condition.type, condition.message)


def show(engine: Engine, app: Application) -> None:
    """Bring the read model up to date."""
    engine.views.put(_view(engine, app))


def _view(engine: Engine, app: Application) -> AppView:
    sync, destination = app.status.sync, app.spec.destination
    return AppView(
        name=app.metadata.name,
        namespace=app.metadata.namespace,
        project=app.spec.project_name,
        sync=sync.status if sync else UNKNOWN,
        health=app.status.health.status,
        revision=", ".join(revisions_of(sync)),
        message="; ".join(condition.message for condition in app.status.conditions),
        repo=", ".join(dict.fromkeys(masked(source.repo_url) for source in app.spec.all_sources)),
        destination=f"{destination.server or destination.name}/{destination.namespace}",
        updated_at=engine.clock(),
    )


def now(engine: Engine) -> str:
    """The time as the API server writes it (RFC 3339, seconds)."""
    return datetime.fromtimestamp(engine.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
