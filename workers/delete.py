"""Deletes what an app has deployed, when the app itself is being deleted and its finalizer asks for that.

Short steps, each planned anew from what is there: the highest wave is deleted, and the next one once that
was seen gone. Whoever is killed in between has lost nothing, and who goes on needs no memory of it. The
finalizer is taken off last. What cannot go on is said on the app, and tried again: nothing hangs in silence.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from mooring.errors import ClusterUnavailable, Refused, Retryable, Superseded, TooSlow
from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.finalizers import CASCADES, Cascade, cascade, obeyed
from mooring.model.hooks import Phase
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.status import TERMINATING, SyncResult
from mooring.model.support import unsupported_spec
from mooring.model.sync_options import Consent, sync_options
from mooring.names import DELETION_APPROVED, OPERATION
from mooring.store.turns import Turn
from mooring.text import few, few_reasons
from workers import report, tell
from workers.apply import Applied, Fence, Result, apply
from workers.applyset import store as parents
from workers.applyset.parent import Parent
from workers.apps.conditions import DELETING, DELETION_ERROR
from workers.apps.patches import had
from workers.apps.wishes import catch_up, turn_of
from workers.cluster.live import Live
from workers.clusters.there import reached, there
from workers.deletion import Deletion, Waits, deletion
from workers.desired import Stamp
from workers.engine import Engine
from workers.health import BUILT_IN
from workers.hooks import deletion as hooks
from workers.hooks.deletion import Around
from workers.hooks.leave import leave
from workers.hooks.left import left, why_it_stays
from workers.hooks.runner import deleted
from workers.hooks.seen import see
from workers.hooks.sync import end_hooks
from workers.impersonation import acting
from workers.observe import Observed, observe
from workers.ownership import Whose, approved, moment, owner
from workers.permitted import permitted
from workers.plan import Notice, Plan, Viewpoint
from workers.tell import DELETION, Ending, in_proportion, now
from workers.upstream import dependents
from workers.viewpoint import viewpoint

_log = logging.getLogger(__name__)
# How long after the deletion began, or was stuck, the next look at it is worth its requests, in seconds.
_GONE_YET_S = (0.5, 30.0)
_STUCK_S = (2.0, 180.0)
# What takes longer to go than any grace period that people give is waiting for somebody.
_LONG: Final = timedelta(minutes=10)
_SHOWN: Final = 3  # objects in one message
_TOLD: Final = 100  # objects that are waited for, in the app's annotation; once they are gone, the next
_CALLED_OFF: Final = "ended: the application is being deleted"


@dataclass(frozen=True, slots=True)
class _Site:
    """What a deletion works on."""

    app: Application
    parent: Parent
    view: Viewpoint
    observed: Observed


def delete(engine: Engine, app: Application, turn: Turn) -> Ending:
    """Delete what `app`, which is being deleted, has deployed, as far as that goes now; then let it go.

    What keeps it is a condition and, where that is somebody's to mend, the ending's failure. Raises
    Superseded or Conflict when something was changed meanwhile, and TooSlow when hooks are not rendered
    within this process's patience.
    """
    if not obeyed(app.metadata.finalizers) or not engine.applications.to_go(app):
        with contextlib.suppress(Refused, ClusterUnavailable):  # who sweeps does it, once the app is gone
            engine = there(engine, app)
            leave(acting(engine, app), app.key)
        return Ending()  # its objects stay; whoever has a finalizer there takes it off
    try:
        catch_up(engine.applications, app, turn.wishes)
        engine = _where(engine, app)
        app = _called_off(engine, app)
        return _delete(engine, app, turn)
    except TooSlow:
        raise
    except (Refused, Retryable) as error:
        return _stuck(engine, app, str(error))


def _delete(engine: Engine, app: Application, turn: Turn) -> Ending:
    how = cascade(app.metadata.finalizers)
    if how is None:
        for phase in hooks.FINALIZERS:
            if not_yet := _hooks(engine, app, turn, phase):
                return not_yet
        return Ending()
    wait, stay = dependents(engine, app)
    if wait:
        return _waits(engine, app, wait)
    if not_yet := _hooks(engine, app, turn, Phase.PRE_DELETE):
        return not_yet
    waits, kept = _hooks_left(engine, app)
    if waits:
        return _waits(engine, app, waits)
    site = _site(engine, app)
    if not site.parent.inventory.entries:
        return _hooks(engine, app, turn, Phase.POST_DELETE) or _let_go(engine, site, kept, stay)
    found, failures, passes = _carry_out(engine, site, how)
    if found.gone:
        site = replace(site, parent=parents.shrink(engine.own, site.parent, found.gone))
        engine.proofs.save(engine.api.cluster, app.key, {}, found.gone)
    if failures and not passes:
        return _stuck(engine, app, few_reasons(failures, _SHOWN), found)
    if found.done and not failures:
        if not_yet := _hooks(engine, app, turn, Phase.POST_DELETE):
            return not_yet
        kept += [f"{extra.key.title}: {extra.reason}" for extra in found.stays]
        return _let_go(engine, site, kept, stay)
    if late := _late(found.going, datetime.fromtimestamp(engine.clock(), UTC)):
        return _stuck(engine, app, late, found)
    message = few_reasons(failures, _SHOWN) or waiting(found)
    _say(engine, app, [Notice(DELETING, message)], found)
    return Ending(
        look_again_s=in_proportion(engine, app.metadata.deletion_timestamp, *_GONE_YET_S), why=DELETION
    )


def _where(engine: Engine, app: Application) -> Engine:
    """`engine` for the cluster that has what the app has. Raises as `there`; where nobody knows that cluster,
    and neither the app's status nor the home cluster tells of anything, there is nothing to be found."""
    try:
        return there(engine, app)
    except Refused as error:
        parent = parents.read(engine.own, engine.settings.namespace, app.key, engine.installation)
        if not parent.inventory.entries and not had(app.raw.get("status")):
            return engine
        raise Refused(f"{error}; what this app has is there", condition=error.condition) from error


def _hooks(engine: Engine, app: Application, turn: Turn, phase: Around) -> Ending | None:
    """Take the hooks of `phase` a step further; None where the app waits for none of them."""
    if not hooks.due(app.metadata.finalizers, phase):
        return None
    try:
        waits = hooks.advance(engine, app, turn, phase)
    except TooSlow:
        raise  # it goes on where there is more time
    except (Refused, Retryable) as error:
        names = [name for name in app.metadata.finalizers if name.startswith(hooks.FINALIZERS[phase])]
        way_out = f"to go on without {phase} hooks, take {' and '.join(names)} off the app's finalizers"
        return _stuck(engine, app, str(error), way_out=way_out)
    if waits:
        return _waits(engine, app, waits)
    return Ending(look_again_s=_GONE_YET_S[0], why=DELETION)  # the app has changed by that


def _waits(engine: Engine, app: Application, waits: Waits) -> Ending:
    _say(engine, app, [Notice(DELETING, waits.why)], waits=waits)
    return Ending(
        look_again_s=in_proportion(engine, app.metadata.deletion_timestamp, *_GONE_YET_S), why=DELETION
    )


def _site(engine: Engine, app: Application) -> _Site:
    """What the app has here. Raises Refused where that cannot be told, or may not be deleted."""
    parent = parents.read(engine.own, engine.settings.namespace, app.key, engine.installation)
    # What its status names is looked for too: without an inventory nothing else would tell what there is.
    keys = {*parent.inventory.entries, *had(app.raw.get("status"))}
    find = engine.api.discovery.preferred
    observed = observe(engine.api, engine.executor, [], keys, find, parent.applyset)
    view = viewpoint(engine.applications, engine.installation.id, app, parent.applyset)
    lost = [] if parent.uid else [live for live in observed.objects.values() if _ours(live, view)]
    if lost:
        raise Refused(
            f"ConfigMap {parent.namespace}/{parent.name}, the inventory, is missing although {_some(lost)} "
            "say that they are this app's: restore it from a backup"
        )
    if parent.inventory.entries:
        for one in unsupported_spec(app, *reached(app)):
            if one.path.startswith("spec.destination"):
                raise Refused(f"{one}, and what this app has is there: correct the destination")
    return _Site(app, parent, view, observed)


def _ours(live: Live, view: Viewpoint) -> bool:
    said = owner(live, view.app, view.installation)
    return said.whose is Whose.OURS and not live.controller_owner and not view.claimed(live.key)


def _carry_out(engine: Engine, site: _Site, how: Cascade) -> tuple[Deletion, Sequence[str], bool]:
    """Delete wave after wave, as long as each is gone at once. What is left then, what failed, and whether
    all of that may pass by itself."""
    app, observed = site.app, site.observed
    engine = acting(engine, app)
    why_not = _why_not(engine, app)
    fence = Fence(lambda: engine.applications.to_go(app))
    while True:
        found = deletion(
            observed,
            site.parent.inventory,
            site.view,
            app.spec.sync_options,
            cascade=how,
            approved=approved(app.metadata.annotations, app.metadata.deletion_timestamp),
            why_not=why_not,
        )
        if not found.now:
            return found, (), True
        wave = Plan((), found.now, (), (), (), {}, frozenset(), ())
        applied = apply(wave, engine.api, engine.executor, site.view, fence)
        observed = _after(engine, observed, applied)
        failed = [one for one in applied.outcomes if one.result is not Result.PRUNED]
        if failed:
            told = [f"{one.key.title}: {one.message}" for one in failed]
            return found, told, all(one.retry for one in failed)


def _why_not(engine: Engine, app: Application) -> Callable[[Live], str]:
    """Which rule of the app's project keeps it from touching an object. Raises Refused where there is no
    project to ask."""
    may = permitted(engine, app, engine.applications.project(app.spec.project_name))
    return lambda live: may.why_not(live.key, namespaced=live.kind.namespaced)


def _after(engine: Engine, observed: Observed, applied: Applied) -> Observed:
    """What there is after a deletion: some objects go at once, others take their time."""

    def read(live: Live) -> Live | None:
        return engine.api.get(live.kind, live.key.namespace, live.key.name, metadata_only=True)

    deleted = [one.live for one in applied.outcomes if one.result is Result.PRUNED and one.live is not None]
    objects, absent = dict(observed.objects), set(observed.absent)
    for before, found in zip(deleted, engine.executor.map(read, deleted), strict=True):
        objects.pop(before.key, None)
        if found is None:
            absent.add(before.key)
        else:
            objects[before.key] = found
    return Observed(objects, frozenset(absent))


def _let_go(engine: Engine, site: _Site, stays: Sequence[str], dependents: Sequence[str]) -> Ending:
    """Nothing is left to be deleted: close the books, and take the finalizer off. `dependents` are without it
    from now on."""
    app = site.app
    claims = engine.shared.exchange(engine.api.cluster, app.key, {}).claims
    if not site.parent.inventory.entries:
        # With something in it, it stays: an app of this name takes up again what was kept.
        parents.remove(engine.own, site.parent)
        engine.bundles.keep_only(app.key, "")
    engine.proofs.forget(engine.api.cluster, app.key)
    engine.drifts.forget(app.key)
    told = f"deleted; stays: {'; '.join(stays)}" if stays else "deleted with all that it had"
    if dependents:
        told += f"; {', '.join(dependents)} depends on it, and waits from now on"
    engine.applications.event(app, "Warning" if dependents else "Normal", "ResourceDeleted", told)
    engine.applications.unbind(app, CASCADES)
    _log.info("application %s: %s", app.key, told)
    for other in claims:
        engine.wake(turn_of(other), {"shared": "1"})
    return Ending()


def _hooks_left(engine: Engine, app: Application) -> tuple[Waits | None, list[str]]:
    """Have all gone that hooks have left, of whichever operation. What is waited for, if anything, and
    what stays for which reason. Raises ClusterUnavailable when nobody can tell what they have left."""
    parent = parents.read(engine.own, engine.settings.namespace, app.key, engine.installation)
    by = Stamp(engine.installation.id, app.key, parent.applyset)
    found = left(engine.api, engine.executor, by, parent.inventory.hooks)()
    if found.unseen:
        raise ClusterUnavailable(f"what hooks of the app have left cannot be told: {found.unseen[0]}")
    after = hooks.began(app, by, Phase.POST_DELETE).id  # may have the name of one of an earlier operation
    # Those of the last operation are told by the status, too: nothing of it hangs on the inventory alone.
    there = {live.key: live for live in (*found.lives, *see(engine, app, judge=BUILT_IN).shown)}
    lives = [live for live in there.values() if live.labels.get(OPERATION) != after]
    if not lives:
        return None, []
    engine = acting(engine, app)
    why_not, options = _why_not(engine, app), app.spec.sync_options
    why = {live.key: why_it_stays(live, app.key, by.installation, options, why_not) for live in lives}
    goes = [live for live in lives if not why[live.key]]
    stays = [f"{live.key.title}: {why[live.key]}" for live in lives if why[live.key]]
    asked = [live.key for live in goes if sync_options(options, live.annotations).delete is Consent.CONFIRM]
    if asked and not approved(app.metadata.annotations, app.metadata.deletion_timestamp):
        return Waits(_asks(asked)), stays
    if not goes:
        return None, stays
    if not engine.applications.to_go(app):
        raise Superseded(f"application {app.key} is not to be deleted any more")
    after_all = engine.executor.map(partial(deleted, engine.api), goes)
    # Another object may have its name by now.
    going = [live for live, before in zip(after_all, goes, strict=True) if live and live.uid == before.uid]
    if not going:
        return None, stays
    return Waits(f"waits for {_some(going)} to be gone", hooks=tuple(live.key for live in going)), stays


def _called_off(engine: Engine, app: Application) -> Application:
    """End the operation of `app` that runs or waits: what is being deleted is not synced any more."""
    state, waits = app.status.operation_state, app.operation
    if waits is None and (state is None or state.phase not in ("Running", TERMINATING)):
        return app
    if state is not None:  # nobody would wait any more for what still runs of it
        state = end_hooks(engine, app, state, see(engine, app))
    if waits is not None:
        # What hooks have left is found by what is told of them.
        known = state.sync_result.resources if state is not None and state.sync_result is not None else ()
        named, several = revisions_of(waits.sync), bool(waits.sync and waits.sync.revisions)
        state = report.running(waits, Pinned((), named, several), now(engine))
        state = state.model_copy(update={"sync_result": SyncResult(revision="", resources=known)})
    assert state is not None
    return tell.cut_short(engine, app, state, "Error", _CALLED_OFF)


def _stuck(
    engine: Engine, app: Application, why: str, found: Deletion | None = None, way_out: str = ""
) -> Ending:
    """Say why it does not go on, and how it would without; it is tried again by itself."""
    way_out = way_out or f"`mooring app delete {app.key.name} --no-cascade` lets it go and leaves what it has"
    message = f"cannot be deleted: {why}; {way_out}"
    news = not any(condition.message == message for condition in app.status.conditions)
    after = _say(engine, app, [Notice(DELETION_ERROR, message)], found)
    if news:
        _log.warning("application %s %s", app.key, message)
        engine.applications.event(after, "Warning", DELETION_ERROR, message)
    since = next(
        (c.last_transition_time for c in after.status.conditions if c.message == message), now(engine)
    )
    return Ending(message, in_proportion(engine, since, *_STUCK_S), DELETION)


def _say(
    engine: Engine,
    app: Application,
    notices: Sequence[Notice],
    found: Deletion | None = None,
    waits: Waits | None = None,
) -> Application:
    """Make `notices` the app's conditions, with what stays and should not; what is gone leaves its status.
    Whoever watches is told the objects that it waits for: those of `waits`, or what is going."""
    leaving = waits.leaving if waits else tuple(live.key for live in found.going) if found else ()
    gone: Collection[ObjectKey] = found.gone if found is not None else ()
    stays = found.stays if found is not None else ()
    notices = [
        *notices,
        *(Notice(one.condition, f"{one.key.title} stays: {one.reason}") for one in stays if one.condition),
    ]
    there = tuple(one for one in app.status.resources if one.key not in gone)
    status = app.status.model_copy(
        update={"conditions": report.conditions(app, notices, now(engine)), "resources": there}
    )
    state = replace(
        engine.applications.state(app),
        spec=engine.applications.edition(app),
        leaving=_keys(leaving),
        hooks=_keys(waits.hooks if waits else ()),
    )
    after = engine.applications.report(app, status, state)
    tell.show(engine, after)
    return after


def _keys(keys: Sequence[ObjectKey]) -> str:
    # From the end: ConfigMaps and Secrets, for which no observer looks, are at the beginning.
    return " ".join(map(str, sorted(keys, reverse=True)[:_TOLD]))


def waiting(found: Deletion) -> str:
    """What the deletion waits for, for people."""
    if found.asked:
        return _asks(found.asked)
    if found.unseen:
        return f"waits until {_titles(found.unseen)} can be seen: the cluster does not serve its kind now"
    after = f", then for {len(found.later)} more of lower waves" if found.later else ""
    return f"waits for {_some(found.going)} to be gone{after}"


def _asks(asked: Sequence[ObjectKey]) -> str:
    return (
        f"waits for a confirmation: {_titles(asked)} asks for one by Delete=confirm; to delete all that the "
        f"app has, set {DELETION_APPROVED} on the Application to the time of now"
    )


def _late(going: Sequence[Live], now: datetime) -> str:
    """What has been going for too long to be let pass in silence, and what it waits for; "" for nothing."""
    long = [live for live in going if (at := moment(live.deletion_timestamp)) and now - at > _LONG]
    if not long:
        return ""
    return f"{_some(long)} does not go, deleted at {long[0].deletion_timestamp}"


def _some(lives: Sequence[Live]) -> str:
    def told(live: Live) -> str:
        title, keeps = live.key.title, ", ".join(live.finalizers)
        return f"{title} (finalizers: {keeps})" if keeps else title

    return few([told(live) for live in lives], _SHOWN)


def _titles(keys: Sequence[ObjectKey]) -> str:
    return few([key.title for key in keys], _SHOWN)
