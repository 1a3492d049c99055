"""Takes what a look has found to have drifted into the app's drifts, and says which of it self-heal leaves,
and for how long, to whoever sets it again and again.

Only `Examined.waits` decides whether anything is written. Where Redis knows nothing, nobody waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mooring.drift import Change, Done, Drift, What, at
from mooring.keys import AppKey, ObjectKey
from mooring.model.status import OperationState
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.store.due import Step
from workers import report
from workers.apply import Applied, Result
from workers.apps.conditions import CONTESTED, DRIFT
from workers.cluster.live import comparable
from workers.compare import Compared, Difference
from workers.drift import backoff, events
from workers.drift.announce import announce
from workers.drift.backoff import AT_ONCE, Tries
from workers.drift.changes import changes
from workers.drift.events import Found, Log
from workers.engine import Engine
from workers.look import Scene
from workers.plan import Notice
from workers.redact import Named, masked_together, sensitive

HEAL: Final = "heal"  # why to look again: an object may be put back again, or has been left alone for long
_SHOWN: Final = 5  # objects that conditions name
_IGNORED: Final = (Done.IGNORED, "ignoreDifferences leaves it to others")
_WRITTEN: Final = (Result.CREATED, Result.CONFIGURED)


@dataclass(frozen=True, slots=True)
class Examined:
    """What has drifted of an app, beside what is known of its drifts. `tries` are those of objects that were
    put back in a row, `now` is when all that was looked at, in seconds since the epoch."""

    log: Log
    drifted: Mapping[ObjectKey, Difference]
    tries: Mapping[ObjectKey, Tries]
    now: float
    quiet: float

    @property
    def waits(self) -> Mapping[ObjectKey, float]:
        """What self-heal leaves alone now, and until when."""
        ready = {key: self.tries[key].until for key in self.drifted if key in self.tries}
        return {key: until for key, until in ready.items() if until > self.now}

    @property
    def contested(self) -> frozenset[ObjectKey]:
        """What is set again each time that it is put back, as often as makes it wait."""
        return frozenset(
            key
            for key, tries in self.tries.items()
            if tries.count > AT_ONCE or (tries.count == AT_ONCE and key in self.drifted)
        )


def examined(engine: Engine, scene: Scene, found: Compared) -> Examined:
    """What of `found` has drifted: it was as Git wants it, while Git wanted what it wants now."""
    now, quiet = engine.clock(), backoff.quiet_s(engine.settings.reconcile_s)
    log, tries = _in_a_row(engine, scene.app.key, now)
    return Examined(log, _drifted(engine, scene, found), tries, now, quiet)


def _drifted(engine: Engine, scene: Scene, found: Compared) -> dict[ObjectKey, Difference]:
    differs = {one.key: one for one in found.differences}
    state = engine.applications.state(scene.app)
    if not differs or (state.tried == scene.content and state.failed != scene.content):
        return differs
    # Of what was never synced as a whole, that is still so of those that were found to be as Git wants them.
    proofs = engine.proofs.of(engine.api.cluster, scene.app.key, differs)
    wanted = {item.key: item.digest for item in scene.wanted}
    return {key: one for key, one in differs.items() if key in proofs and proofs[key].body == wanted[key]}


def tell(
    engine: Engine,
    scene: Scene,
    found: Compared,
    examined: Examined,
    again: Collection[ObjectKey],
    left: str,
) -> tuple[Notice, ...]:
    """Keep what has drifted, log what is new of it, and say on the Application what a person should know.

    `left` is why self-heal puts nothing back, "" where it does; `again` is what it leaves all the same,
    because it was taken off and is there again (workers/contested.py).
    """
    some = examined.drifted or found.ignored
    annotations = sensitive(engine.applications.config() if some else {})
    seen = [
        Found(
            key,
            What.CHANGED if one.before is not None else What.MISSING,
            _changes(one, annotations),
            *_done(examined, key, again, left),
            again=key in examined.contested,
        )
        for key, one in sorted(examined.drifted.items())
    ]
    ignored = (Found(one.key, What.CHANGED, _left_to(one, annotations), *_IGNORED) for one in found.ignored)
    seen += [one for one in ignored if one.changes]
    log, news = events.found(examined.log, seen, examined.now)
    if log != examined.log:
        engine.drifts.save(scene.app.key, log.drifts)
    announce(engine, scene.app, news)
    if not left:
        return _contested(examined, log)
    if scene.decision.held is not None:
        return ()  # a condition of its own says so
    return _left(log, [key for key in sorted(examined.drifted) if key not in found.foreign], left)


def _changes(one: Difference, annotations: Named) -> tuple[Change, ...]:
    if one.before is None or one.after is None:
        return ()
    live, git = masked_together(dict(one.before), dict(one.after), annotations=annotations)
    return changes(live, git, one.live.managed_fields if one.live is not None else ())


def _left_to(one: Difference, annotations: Named) -> tuple[Change, ...]:
    """As `_changes` of what is ignored: the values are those of the object, of which what others own is not
    among what would be sent."""
    if one.before is None or one.after is None or one.live is None or one.live.body is None:
        return ()
    bodies = (comparable(one.live.body), dict(one.before), dict(one.after))
    live, sent, git = masked_together(*bodies, annotations=annotations)
    fields = {change.field for change in changes(sent, git, ())}
    return tuple(
        change
        for change in changes(live, git, one.live.managed_fields)
        if any(
            change.field == field or change.field.startswith((f"{field}.", f"{field}[")) for field in fields
        )
    )


def _done(examined: Examined, key: ObjectKey, again: Collection[ObjectKey], left: str) -> tuple[Done, str]:
    if left:
        return Done.LEFT, left
    if key in examined.waits:
        count, until = examined.tries[key].count, at(examined.waits[key])
        return Done.CONTESTED, f"put back {count} times in a row, and not again before {until}"
    if key in again:
        return Done.CONTESTED, "set again after a sync had taken it off: left until the next sync"
    return Done.HEALING, "self-heal puts it back"


def in_doubt(notices: Iterable[Notice]) -> bool:
    """Whether these say of an object that it could not be compared."""
    return any(one.type == "ComparisonError" for one in notices)


def healed(engine: Engine, app: AppKey, applied: Applied) -> None:
    """Remember what self-heal has just put back. What only waits for its wave was not put back yet."""
    now = engine.clock()
    tries = backoff.once_more(_in_a_row(engine, app, now)[1], _written(applied), now)
    engine.drifts.put_back(app, {key: (one.count, one.last) for key, one in tries.items()})


def _in_a_row(engine: Engine, app: AppKey, now: float) -> tuple[Log, dict[ObjectKey, Tries]]:
    """What is known of an app's drifts, and of objects that were put back in a row until `now`."""
    drifts, looked, put_back = engine.drifts.load(app)
    quiet = backoff.quiet_s(engine.settings.reconcile_s)
    known = ((key, backoff.in_a_row(Tries(*said), now, quiet)) for key, said in put_back.items())
    return Log(drifts, looked), {key: one for key, one in known if one is not None}


def _written(applied: Applied) -> list[ObjectKey]:
    return [one.key for one in applied.outcomes if one.result in _WRITTEN]


def look_again(engine: Engine, app: AppKey, examined: Examined) -> None:
    """Have the app looked at when what waits may be put back, and when what was contested no longer is."""
    waits = examined.waits
    over = [examined.tries[key].last + examined.quiet + 1.0 for key in examined.contested - waits.keys()]
    if times := [*waits.values(), *over]:
        engine.due.put(Step(TASK_RECONCILE, (str(app), HEAL), RECONCILE), min(times))


def concluded(
    engine: Engine,
    scene: Scene,
    seen: Sequence[report.Seen],
    applied: Applied | None,
    operation: OperationState | None,
    *,
    doubt: bool,
) -> None:
    """Keep which drifts are over, now that all objects are as in `seen`. `doubt`: some of them could not be
    compared, so that nobody knows when all were as Git wants them."""
    app = scene.app.key
    drifts = engine.drifts.of(app) if doubt else engine.drifts.looked_at(app, scene.looked)
    synced = {one.desired.key: one.synced for one in seen}
    if any(one.open for one in drifts):
        written = _written(applied) if applied else []
        by = f"the sync that began at {operation.started_at}" if operation is not None else ""
        log, over = events.settled(Log(drifts), synced, written, by, engine.clock())
        if over:
            engine.drifts.save(app, log.drifts)
        announce(engine, scene.app, over)


def _contested(examined: Examined, log: Log) -> tuple[Notice, ...]:
    """The words have no times, so that a fight is no row of writes to the Application."""
    keys = sorted(examined.contested)
    found = [
        Notice(
            CONTESTED,
            f"{key.title}: contested with {_names(drift)}: {drift.fields or 'it'} changed again each time "
            "that it was put back; self-heal waits up to five minutes in between; have one of the two alone "
            "set it, or name it in ignoreDifferences",
        )
        for key in keys[:_SHOWN]
        if (drift := log.of(key)) is not None
    ]
    return (*found, *_more(CONTESTED, keys, "are contested"))


def _names(drift: Drift) -> str:
    told = ", ".join(drift.managers)
    return f"{told} (as it calls itself)" if told else "somebody unknown"


def _left(log: Log, keys: Sequence[ObjectKey], why: str) -> tuple[Notice, ...]:
    found = [
        Notice(DRIFT, f"{key.title}: {drift.summary}; left: {why}")
        for key in keys[:_SHOWN]
        if (drift := log.of(key)) is not None
    ]
    return (*found, *_more(DRIFT, keys, "have drifted"))


def _more(condition: str, keys: Sequence[ObjectKey], what: str) -> tuple[Notice, ...]:
    more = len(keys) - _SHOWN
    told = Notice(condition, f"{more} more objects {what}: `mooring app drift` lists them")
    return (told,) if more > 0 else ()
