"""A push's whole journey.

    deliver ─▶ push ─▶ sync:  checkout ─▶ render ─▶ observe ─▶ plan ─▶ apply ─▶ report
                         ▲
                         └─ drift reconciliation, refreshes and operations enter here

Each function may run twice, on two workers: turns keep them apart to save work, the API server keeps
what they write right.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mooring import logs
from mooring.delivery import EventKind
from mooring.errors import Conflict, MooringError, Refused, Retryable, Superseded, TooSlow
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.names import (
    DEPLOY,
    INTAKE,
    OBSERVER_LEASE,
    RECONCILE,
    SLOW,
    TASK_MOVED,
    TASK_RECONCILE,
    TASK_TURN,
)
from mooring.store.connection import QUEUE
from mooring.store.due import Step
from mooring.store.ledger import Waiting
from mooring.store.ours import Ours
from mooring.store.turns import Turn
from workers import follow, tell, upstream
from workers.about import about
from workers.applyset.store import Listed
from workers.apps.store import Listing
from workers.apps.wishes import APP, turn_of
from workers.bring import bring
from workers.elsewhere import ELSEWHERE, Place, changed, places
from workers.engine import Engine
from workers.holding import Holding
from workers.leftovers import let_go_by_and_by
from workers.poll import waiting
from workers.push import PUSH, Wanted, concerned, following
from workers.reconcile import look_at
from workers.timeline import Timeline, queued

_log = logging.getLogger(__name__)
_LEASE_S = 10.0
_DELIVER_AGAIN_S = 2.0
# A task taken this often without an end has taken its worker down with it each time.
_POISON = 8
_ALONG = 200  # deliveries that are looked at together: some tens of milliseconds, far less than the lease
_GIVEN_UP = "given up: every worker that took it died; look at the workers' logs, then sync by hand"
_MAX_WAIT_S = 300.0
# About two hours of an unreachable Git host or cluster. The poll takes it up again after that.
_MAX_WAITS = 30
_WHOM = "whom"  # a part of each delivery, until it is certain whom it concerns
# To list all Applications takes the API server and us as long as a sync of one, so it waits for that; but no
# longer than this: for those that only the list shows, and a fraction of it for each that is to be listed.
_LIST_WAITS_S = 0.5
_LIST_WAITS_EACH_S = 0.001
_WOKEN_EARLY = (tell.DELETION, tell.HEALTH, tell.RETRY, tell.RETRY_NEWEST, tell.WAVE)
_OBSERVED_S = 10.0  # until health is looked at all the same, where an observer runs
_ORPHAN_AFTER_S = 10.0  # a task that was to be sent at a time, and was not seen so long after that, is lost


def deliver(engine: Engine, id: str) -> None:
    """Find out which applications the delivery `id` concerns, and want them pushed.

    Those that wait right behind it come along: a burst costs little more than its first delivery.
    """
    begun = engine.ledger.begin(id, engine.worker, _LEASE_S, _ALONG)
    if begun.attempt > _POISON:
        engine.ledger.finish([id], False, "given up: every worker that took it died; replay it to try again")
        return
    ids = [delivery.id for delivery in begun.deliveries]
    try:
        with logs.about(deliveries=ids):
            _concern(engine, begun.deliveries)
    except Retryable as error:
        # However long that takes: a push must not be lost because nobody could say whom it concerns.
        wait = min(max(error.after, _DELIVER_AGAIN_S), _LEASE_S)
        engine.ledger.put_off(ids, engine.worker, wait)
        Timeline(engine.ledger, ids, engine.clock).waits(wait, str(error))
    except Refused as error:
        # Somebody has to mend something first. The poll finds the pushes after that.
        engine.ledger.finish(ids, False, str(error))


def _concern(engine: Engine, begun: Sequence[Waiting]) -> None:
    """Want each application pushed that one of the deliveries concerns; finish those that concern none.

    Whom they concern is told by the Applications as they were known last, so that nobody waits for a list of
    all; then those are wanted that came since.
    """
    pushes = [delivery for delivery in begun if delivery.event.kind in (EventKind.PUSH, EventKind.TAG)]
    ended: dict[str, list[str]] = {}  # by outcome
    for delivery in begun:
        if delivery not in pushes:
            ended.setdefault(f"recorded: {delivery.event.kind}", []).append(delivery.id)
    known = engine.applications.known()
    told = _want_pushed(engine, pushes, known, {})
    if any(told.values()):
        _let_pass(engine, len(known.apps))
    newest = engine.applications.recent()
    if newest is not known:
        told = _want_pushed(engine, pushes, newest, told)
    if any(not told[delivery.id] for delivery in pushes):
        # It may have been created a moment ago.
        told = _want_pushed(engine, pushes, engine.applications.list(), told)
    nobody = [delivery.id for delivery in pushes if not told[delivery.id]]
    if nobody:
        ended["no Application follows this repository and revision"] = nobody
    for outcome, ids in ended.items():
        engine.ledger.finish(ids, True, outcome)
    concerning = [delivery.id for delivery in pushes if told[delivery.id]]
    _finish(engine, concerning, _WHOM)
    engine.ledger.hand_over(concerning, engine.worker)


def _let_pass(engine: Engine, apps: int) -> None:
    """Let those pushes pass that have just been sent, before all of so many `apps` are listed, unless another
    delivery waits for that."""
    until = time.monotonic() + min(_LIST_WAITS_EACH_S * apps, _LIST_WAITS_S)
    while time.monotonic() < until and not engine.redis.llen(QUEUE + INTAKE):
        time.sleep(0.02)


def _want_pushed(
    engine: Engine, pushes: Sequence[Waiting], listing: Listing, told: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """Want whatever the deliveries concern among `listing` and was not told yet; by delivery, the turns that
    it waits for now."""
    after = {delivery.id: told.get(delivery.id, frozenset()) for delivery in pushes}
    parts: dict[tuple[str, ...], list[str]] = {}  # of turns, the deliveries that wait for just these
    wanted: dict[str, Wanted | Place] = {}  # by turn, as the last delivery has it
    followers: dict[str, list[AppKey]] = {}  # by turn
    elsewhere = places(listing.apps)
    for delivery in pushes:
        event = delivery.event
        found: dict[Wanted | Place, list[AppKey]] = dict(concerned(event, listing.apps).items())
        found |= {place: apps for place, apps in elsewhere.items() if place.concerned(event)}
        groups = {group.name: group for group in found if group.name not in after[delivery.id]}
        if groups:
            parts.setdefault(tuple(groups), []).append(delivery.id)
            wanted |= groups
            followers |= {group.name: apps for group, apps in found.items()}
    for names, ids in parts.items():
        engine.outstanding.add(ids, (*names, _WHOM))
        new = [id for id in ids if not after[id]]
        engine.ledger.stages((d.id, queued(d.received_at, engine.clock())) for d in pushes if d.id in new)
        after |= {id: after[id] | frozenset(names) for id in ids}
    for name, group in wanted.items():
        wishes = group.wishes
        answers = [id for names, ids in parts.items() if name in names for id in ids]
        if engine.turns.want(name, wishes, answers):
            engine.send(_task(name, shown=about(name, wishes, answers, followers[name])))
    return after


def work(engine: Engine, name: str) -> None:
    """Do what is wanted of the turn `name`; nothing when nothing is, or somebody is at it."""
    if name.startswith(PUSH):
        _push(engine, name)
    elif name.startswith(ELSEWHERE):
        _ask(engine, name)
    elif name.startswith(APP):
        _sync(engine, AppKey.parse(name.removeprefix(APP)))


def push(engine: Engine, repo: str, revision: str) -> None:
    """Ask the host where `revision` of the repository is, and sync what that touches, as after a push."""
    wanted = following(repo, revision)
    if engine.turns.want(wanted.name, wanted.wishes):
        work(engine, wanted.name)


def sync(engine: Engine, name: str) -> None:
    """Fetch and look at the application `name`, and sync it where its rules say so."""
    part = turn_of(named(engine, name))
    if engine.turns.want(part, {"look": "1"}):
        work(engine, part)


def _push(engine: Engine, name: str) -> None:
    """Fetch what the turn `name` wants, once, and sync the applications it touches."""
    turn = engine.turns.take(name)
    if turn is None:
        return
    line = Timeline(engine.ledger, turn.deliveries, engine.clock)
    if turn.tries > _POISON:
        _close(engine, turn, name, _GIVEN_UP)
        engine.turns.release(turn, done=True, again=False)
        return
    with logs.about(deliveries=turn.deliveries), Holding(engine.turns, turn, engine.settings.lease_s):
        ahead: list[tuple[AppKey, follow.Wishes]] = []
        following = follow.Following(engine, turn, line)
        try:
            ahead = following.ahead()
            touched, untouched = (ahead, []) if ahead else following.rest()
        except Retryable as error:
            if turn.waits == 1 and not isinstance(error, TooSlow):  # once, and not for a hiccup
                with contextlib.suppress(MooringError):
                    for app in follow.followers(engine, name):
                        tell.waiting(engine, app.key, error)
            _later(engine, turn, _task(name), error, line)
            return
        except Refused:
            # Each follower looks for itself, so that each shows the reason as its own condition.
            touched = [(app.key, {"look": "1"}) for app in follow.followers(engine, name)]
            untouched = []
        engine.outstanding.add(turn.deliveries, [turn_of(key) for key, _ in touched])
        ready = [key for key, wishes in touched if engine.turns.want(turn_of(key), wishes, turn.deliveries)]
        if untouched:
            # Pushes in quick succession share these patches, which take about 10 ms each: with many
            # apps they are waited for longer, so that they never keep the API server busy.
            moved_at = engine.clock() + 1.0 + 0.05 * len(untouched)
            engine.due.put(Step(TASK_MOVED, (name,), RECONCILE), moved_at, or_sooner=True)
        if not ahead:
            _close(engine, turn, name)
    if ahead:
        until = engine.clock() + _ORPHAN_AFTER_S
        at_once = engine.turns.leave(turn, following.left(ahead), until) or not ready
        if at_once:
            engine.send(_task(name))
    else:
        _end(engine, turn, _task(name))
    wished = dict(touched)
    for key in ready[1:]:
        engine.send(_task(turn_of(key), shown=about(turn_of(key), wished[key], turn.deliveries)))
    if ready:
        # Here and now: a queue's hop is a tenth of the whole journey. Then somebody looks for the others.
        with _afterwards(engine, _task(name)) if ahead and not at_once else contextlib.nullcontext():
            _sync(engine, ready[0], following.read.get(ready[0]), wished[ready[0]])


@contextlib.contextmanager
def _afterwards(engine: Engine, step: Step) -> Iterator[None]:
    """Send `step` once the block has ended, or has taken longer than a list of all may wait."""
    first = threading.Lock()

    def send() -> None:
        if first.acquire(blocking=False):
            with contextlib.suppress(MooringError):  # found again as an orphaned turn
                engine.send(step)

    waiting = threading.Timer(_LIST_WAITS_S, send)
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()
        send()


def _ask(engine: Engine, name: str) -> None:
    """Ask once for what the turn `name` is about, and sync the applications that have read something else."""
    turn = engine.turns.take(name)
    if turn is None:
        return
    if turn.tries > _POISON:
        _close(engine, turn, name, _GIVEN_UP)
        engine.turns.release(turn, done=True, again=False)
        return
    with logs.about(deliveries=turn.deliveries), Holding(engine.turns, turn, engine.settings.lease_s):
        try:
            found = changed(engine, turn)
        except Retryable as error:
            line = Timeline(engine.ledger, turn.deliveries, engine.clock)
            _later(engine, turn, _task(name), error, line)
            return
        engine.outstanding.add(turn.deliveries, [turn_of(key) for key in found])
        wishes = {"look": "1"}
        ready = [key for key in found if engine.turns.want(turn_of(key), wishes, turn.deliveries)]
        _close(engine, turn, name)
    _end(engine, turn, _task(name))
    for key in ready:
        engine.send(_task(turn_of(key), shown=about(turn_of(key), wishes, turn.deliveries)))


def _sync(
    engine: Engine, key: AppKey, read: Application | None = None, wishes: Mapping[str, str] | None = None
) -> None:
    """Bring the application `key` to what is wanted of it now. `read` is what it was a moment ago, which will
    do where nothing but `wishes` is wanted: what was written in between fails the guard of the next write.
    Not in the midst of an operation: hooks that began in between would seem left behind, and be let go of."""
    turn = engine.turns.take(turn_of(key))
    if turn is None:
        return
    step = _task(turn.name)
    if turn.tries > _POISON:
        with contextlib.suppress(MooringError):  # who cannot be told there is told by the deliveries
            tell.refused(engine, key, Refused(_GIVEN_UP))
        _close(engine, turn, turn.name, _GIVEN_UP)
        engine.turns.release(turn, done=True, again=False)
        return
    line = Timeline(engine.ledger, turn.deliveries, engine.clock, str(key))
    with (
        logs.about(app=str(key), deliveries=turn.deliveries, commit=turn.wishes.get("commit", "")),
        Holding(engine.turns, turn, engine.settings.lease_s),
    ):
        try:
            known = read if turn.tries == 1 and not turn.waits and turn.wishes == wishes else None
            ending = bring(engine, key, turn, line, known)
        except Superseded as error:
            _log.info("%s: %s", key, error)
            # The next turn answers this one's deliveries too.
            if engine.turns.release(turn, done=False):
                engine.send(step)
            return
        except Refused as error:
            # The Application cannot be read, or none can have this name: only the deliveries can say so.
            ending = tell.Ending(failure=str(error))
        except Conflict as error:
            _later(engine, turn, step, Retryable(str(error), after=0.1), line)  # read and decide anew
            return
        except Retryable as error:
            if not isinstance(error, TooSlow):
                tell.waiting(engine, key, error)
            _later(engine, turn, step, error, line)
            return
    # Who was woken before his time needs no look at that time any more.
    early = [_again_for(key, why) for why in _WOKEN_EARLY]
    if not ending.look_again_s:
        engine.due.drop(*early)
    else:
        until = engine.clock() + _wait(engine, ending)
        retries = ending.why in (tell.RETRY, tell.RETRY_NEWEST)
        goes_on = retries or ending.why in (tell.WAVE, tell.DEPENDS)  # the deliveries wait for how it ends
        engine.due.put_instead(_again_for(key, ending.why), until, early)
        if goes_on:
            if retries or not turn.waits:
                line.waits(ending.look_again_s, ending.failure)
            engine.turns.park(turn.name, until + _ORPHAN_AFTER_S)
            if engine.turns.release(turn, done=False, again=False):
                engine.send(step)
            return
    if ending.failure:
        line.ended("failed", ending.failure)
    _close(engine, turn, turn.name, ending.failure)
    _end(engine, turn, step)


def reconcile(engine: Engine, name: str, why: str) -> None:
    """Look at one application, or when `name` is empty at all that are not proved to be as they were found;
    some reasons ask its Git host too."""
    # Whose turn a dry-run is, is told by when this was asked for.
    compare = {"compare": str(int(engine.clock()))}
    wishes = {"look": "1"} if why in (tell.LOOK, tell.RETRY_NEWEST) else compare
    if not name:
        Ours(engine.redis).say(engine.installation.id)  # Redis may have lost it
        listing = engine.applications.list()
        known = {app.key for app in listing.apps}
        engine.views.keep_only(known)
        if (there := listing.there) is not None:
            engine.drifts.keep_only(there)
        engine.ledger.mend()
        in_vain, inventories = waiting(engine, listing.apps), Listed()

        def found(keys: Iterable[AppKey]) -> None:
            for key in keys:
                if key not in in_vain and engine.turns.want(turn_of(key), wishes, background=True):
                    engine.send(_task(turn_of(key), RECONCILE))

        look_at(engine, listing.apps, inventories, found)
        let_go_by_and_by(engine, listing, inventories)
        return
    part = turn_of(named(engine, name))
    if engine.turns.want(part, wishes):
        work(engine, part)


def named(engine: Engine, text: str) -> AppKey:
    """The application that a person or a task means: `name`, `namespace/name` or `str(AppKey)`. Raises
    Refused for what is no name."""
    namespace, separator, name = text.replace("_", "/", 1).rpartition("/")
    if not name or (separator and not namespace) or len(text) > 320:
        raise Refused(f"{text[:80]!r} names no Application: give its name, or namespace/name")
    return AppKey(namespace or engine.settings.namespace, name)


def _wait(engine: Engine, ending: tell.Ending) -> float:
    """Seconds until it is looked at again by time. Where an observer waits for health, seldom: to look
    too early is to look in vain."""
    if ending.why == tell.HEALTH and engine.redis.exists(OBSERVER_LEASE):
        return max(ending.look_again_s, _OBSERVED_S)
    return ending.look_again_s


def _again_for(key: AppKey, why: str) -> Step:
    """The step that looks at the application again, at a time."""
    return Step(TASK_RECONCILE, (str(key), why), DEPLOY if why == tell.WAVE else RECONCILE)


def _title(part: str) -> str:
    """A part of a delivery as a person knows it; a repository's stands in the delivery itself."""
    return AppKey.parse(part.removeprefix(APP)).title if part.startswith(APP) else "push"


def _task(turn: str, queue: str = DEPLOY, shown: tuple[str, str] = ("", "")) -> Step:
    return Step(TASK_TURN, (turn,), queue, shown)


def _later(engine: Engine, turn: Turn, step: Step, error: Retryable, line: Timeline) -> None:
    """Put the turn off; its next try is among the due steps, or at once in the pool for what is slow."""
    if turn.waits >= _MAX_WAITS:
        _close(engine, turn, turn.name, f"given up after {turn.waits} tries: {error}")
        _end(engine, turn, step)
        return
    slow = isinstance(error, TooSlow)
    wait = 0.0 if slow else min(max(error.after, 0.1) * 2 ** min(turn.waits, 16), _MAX_WAIT_S)
    until = engine.clock() + wait
    if not slow:
        engine.due.put(step, until)
        line.waits(wait, str(error))
    engine.turns.park(turn.name, until + (engine.settings.git_timeout_s if slow else _ORPHAN_AFTER_S))
    if engine.turns.release(turn, done=False, again=False):
        engine.send(step)
    elif slow:
        engine.send(Step(step.task, step.args, SLOW))


def _close(engine: Engine, turn: Turn, part: str, failure: str = "") -> None:
    """Tell the turn's deliveries that `part` has ended; finish those that wait for nothing more."""
    _finish(engine, turn.deliveries, part, failure)


def _finish(engine: Engine, ids: Sequence[str], part: str, failure: str = "") -> None:
    endings: dict[str, list[str]] = {}
    for delivery, failures in engine.outstanding.done(ids, part, failure).items():
        outcome = "; ".join(f"{_title(name)}: {why}" for name, why in sorted(failures.items()))
        endings.setdefault(outcome, []).append(delivery)
    for outcome, deliveries in endings.items():
        engine.ledger.finish(deliveries, not outcome, outcome or "synced")


def _end(engine: Engine, turn: Turn, step: Step) -> None:
    """Give the turn back with its work done. What is wanted since is done next, and who waits for it is
    woken."""
    ended = engine.turns.end(turn)
    if ended.again:
        engine.send(step)
    if ended.awaited:
        upstream.ended(engine, turn.name)
