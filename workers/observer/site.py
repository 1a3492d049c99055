"""One cluster, as the observer has it: what is watched there, what its applications wait for, who is woken.

It knows of no other one. Whoever reads the applications tells it of those that are deployed there.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Final

from mooring.errors import StoreUnavailable
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.names import APPLYSET_PART_OF, DEPLOY, OPERATION, RECONCILE, TASK_TURN
from mooring.store.due import Step
from mooring.store.ours import Ours
from mooring.store.proofs import Proofs
from mooring.store.turns import Turns
from workers.apps.wishes import CHANGED, OBSERVED, turn_of
from workers.cluster.api import Api
from workers.health import BUILT_IN, Judge
from workers.metrics import WAKES
from workers.observer.ailing import Ailing
from workers.observer.awaits import Awaits, Seen, awaits, judged, news
from workers.observer.managed import Managed
from workers.observer.watches import Heard, Place, Watch
from workers.sighted import Sighted

_log = logging.getLogger(__name__)
_BACKLOG: Final = 1000  # changes that a watch may be ahead of who hears them
TURNS_S: Final = 1.0
# Between two turns while no operation waits: where much happens each would have a single change to hear, and
# asks Redis all the same. Longer after one that had so many: they come in a flood.
_GATHERS_S: Final = 0.05
_FLOOD_S: Final = 0.2
_FLOOD: Final = 8
_FULL_S: Final = 0.05  # until a watch that is too far ahead looks whether it is still
_OTHERWISE: Final = {CHANGED: "1"}  # more than what is Progressing is to be looked at


class Wakers:
    """What wakes applications, the same for all clusters: `send` puts a task on its queue, `pace_s` is how
    often beat has everything looked at. Safe for threads."""

    def __init__(
        self, turns: Turns, send: Callable[[Step], None], proofs: Proofs, ours: Ours, pace_s: float
    ) -> None:
        self.turns = turns
        self.proofs = proofs
        self.ours = ours
        self.pace_s = pace_s
        self._send = send
        self._lock = Lock()

    def wake(
        self,
        key: AppKey,
        wishes: Mapping[str, str],
        why: str,
        *,
        hurried: bool = False,
        standing: bool = False,
    ) -> None:
        """Have somebody work on it, unless somebody is to already. Raises StoreUnavailable."""
        if self.turns.want(turn_of(key), wishes, background=not hurried, standing=standing):
            with self._lock:
                self._send(Step(TASK_TURN, (turn_of(key),), DEPLOY if hurried else RECONCILE))
            WAKES.labels(why).inc()


class Site:
    """The cluster of `api`, which people call `title`. `tell` is for any thread, all other methods are for
    the one that gives it its turns. `judge` says who judges health by now.

    `applications`, where they are in this cluster, is where: one may wait for another. `hears` are who else
    is told what the watches of some places say, before anything is kept of that.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        wakers: Wakers,
        judge: Callable[[], Judge],
        title: str = "",
        applications: Place | None = None,
        hears: Mapping[Place, Callable[[Heard], None]] | None = None,
        *,
        cluster_resources: bool = True,
    ) -> None:
        self._changes = queue.SimpleQueue[tuple[Place, Heard, Watch] | None]()
        self._next_at = -math.inf
        self._told: dict[AppKey, Application | None] = {}
        self._lock = Lock()
        self._wakers = wakers
        self._judge = judge
        self._managed = Managed(
            api,
            namespace,
            self._hand,
            judge(),
            wakers.proofs,
            wakers.ours,
            wakers.turns,
            wakers.pace_s,
            title,
            applications,
            cluster_resources=cluster_resources,
        )
        self.watches = self._managed.watches
        self._ailing = Ailing(wakers.pace_s)
        self._applications = applications
        self._hears = hears or {}
        self._there: set[AppKey] = set()  # those that are not being deleted
        self._apps: dict[AppKey, Awaits] = {}
        self._waiting: dict[ObjectKey, set[AppKey]] = {}  # the same, by object
        self._hurried: set[AppKey] = set()  # of these, those whose operation waits for it
        self._open: set[AppKey] = set()  # to be judged
        self._changed: set[AppKey] = set()  # to be looked at, for their objects are not as they were left
        self._judged: dict[AppKey, frozenset[Seen]] = {}  # what each was woken by last

    def tell(self, key: AppKey, app: Application | None) -> None:
        """How the application is now; None where it is gone, or deployed elsewhere. Never waits."""
        with self._lock:
            first = not self._told
            self._told[key] = app
        if first:
            self._changes.put(None)

    def has_any(self, apps: set[AppKey]) -> bool:
        """Whether any of `apps` is deployed here, as far as is heard yet."""
        return self._managed.has_any(apps)

    def hear(self) -> None:
        """Hear what there is to be heard, and wait for that a second or so; then watch what is of use."""
        next_s = self._managed.next_s()
        found: list[tuple[Place, Heard, Watch] | None] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._changes.get(timeout=TURNS_S if next_s is None else min(next_s, TURNS_S)))
        left = self._next_at - time.monotonic()
        if left > 0 and not self._hurried:
            time.sleep(left)
        with contextlib.suppress(queue.Empty):
            while True:  # a burst is judged once
                found.append(self._changes.get_nowait())
        self._next_at = time.monotonic() + (_FLOOD_S if len(found) >= _FLOOD else _GATHERS_S)
        self._follow_judge()
        self._hear_all(one for one in found if one is not None)
        self._read_told()
        self._place_watches()

    def wake(self) -> None:
        """Wake whom it concerns. Raises StoreUnavailable; then they are woken the next time."""
        self._wake_waiting()
        self._wake_changed()
        self._wake_ailing()

    def end(self) -> None:
        """End all that is watched."""
        self.watches.end()

    # --- what is heard ------------------------------------------------------------------------------
    def _hand(self, place: Place, heard: Heard, of: Watch) -> None:
        while self._changes.qsize() >= _BACKLOG:
            if of.ends.wait(_FULL_S):  # then nobody may be there to hear it
                return
        self._changes.put((place, heard, of))

    def _follow_judge(self) -> None:
        judge = self._judge()
        if judge is not self.watches.judge:
            self.watches.judged_by(judge)
            self._open |= self._apps.keys()

    def _hear_all(self, found: Iterable[tuple[Place, Heard, Watch]]) -> None:
        for place, heard, of in found:
            if not of.ends.is_set():  # the place may be another watch's by now, which lists all anew
                self._hear(place, heard)

    def _hear(self, place: Place, heard: Heard) -> None:
        if (also := self._hears.get(place)) is not None:
            also(heard)
            if place not in (self._applications, self._managed.inventories_at):
                return
        running = self.watches.get(place)
        listed = running is not None and running.listed
        for one in self._managed.hear(place, heard).otherwise:
            waiting = self._waiting.get(one.key, set())
            self._open |= waiting
            app = self._managed.whose(one)
            if app and app not in waiting and judged(one.key.group, one.key.kind, self.watches.judge):
                self._ailing.note(app, [one], time.monotonic())
        now = self.watches.get(place)
        if (now.listed if now else running is not None) != listed:  # listed for the first time, or refused
            self._open |= self._apps.keys()

    def _read_told(self) -> None:
        with self._lock:
            told, self._told = self._told, {}
        for key, app in told.items():
            alive = app is not None and not app.metadata.deletion_timestamp
            (self._there.add if alive else self._there.discard)(key)
            waits = awaits(app) if app is not None else None
            self._note(key, waits)
            if app is not None and alive:
                awaited = waits.keys if waits else frozenset[ObjectKey]()
                self._ailing.read(app, awaited, self._managed.seen, time.monotonic())
            else:
                self._ailing.gone(key)
                self._changed.discard(key)

    def _note(self, app: AppKey, waits: Awaits | None) -> None:
        """`app` waits for this now."""
        before = self._apps.pop(app, None)
        for key in before.keys if before else ():
            self._waiting[key].discard(app)
            if not self._waiting[key]:
                del self._waiting[key]
        (self._hurried.add if waits is not None and waits.hurried else self._hurried.discard)(app)
        if waits is not None:
            self._apps[app] = waits
            for key in waits.keys:
                self._waiting.setdefault(key, set()).add(app)
        self._open.add(app)

    # --- who is woken -------------------------------------------------------------------------------
    def _wake_waiting(self) -> None:
        for key in list(self._open):
            waits = self._apps.get(key)
            objects = self._seen(waits) if waits else {}
            found = news(self._seeable(waits), objects) if waits else frozenset()
            if waits and found and found != self._judged.get(key):
                wishes = {OBSERVED: self._sighted(waits, objects).to_wish()}
                self._wakers.wake(key, wishes, "object", hurried=waits.hurried)
            if found:
                self._judged[key] = found
            elif key in self._judged:
                if waits and not waits.hurried:
                    # What was wished before may not have been taken up yet, and says what is not so any more.
                    self._wakers.wake(key, {OBSERVED: waits.version}, "object")
                del self._judged[key]
            self._open.discard(key)

    def _sighted(self, waits: Awaits, objects: Mapping[ObjectKey, Seen]) -> Sighted:
        """What whoever is woken need not ask for. Who is in the midst of something reads all of it anew."""
        if waits.hurried:
            return Sighted("")
        if self.watches.judge is not BUILT_IN:
            return Sighted(waits.version)
        return Sighted(waits.version, {key: one.sight for key, one in objects.items() if one.status})

    def _wake_changed(self) -> None:
        self._changed |= self._managed.changed()
        for key in self._changed & self._there:  # of the others it was not told yet
            # A push or an operation does not wait for that.
            self._wakers.wake(key, _OTHERWISE, "change")
            self._changed.discard(key)

    def _wake_ailing(self) -> None:
        now = time.monotonic()
        due = self._ailing.due(now)
        held = self._wakers.turns.held([turn_of(key) for key in due])
        for key in due:
            if turn_of(key) in held:
                self._ailing.later(key, now)
            elif key not in self._there:
                self._ailing.forget(key)
            elif self._ailing.told(key, now):
                self._wakers.wake(key, _OTHERWISE, "health")

    def _seen(self, waits: Awaits) -> dict[ObjectKey, Seen]:
        """What is known of the objects that are waited for."""
        found: dict[ObjectKey, Seen] = {}
        for key in waits.keys:
            place = self._place(key, waits)
            running = self.watches.get(place) if place else None
            if running is None:
                continue
            one = running.objects.get(key) or (waits.unlisted(key) if running.listed else None)
            if one is not None:
                found[key] = one
        return found

    def _seeable(self, waits: Awaits) -> Awaits:
        """Nobody hears that the others are gone: they are looked for when those are that can be seen."""
        return replace(waits, going=frozenset(key for key in waits.going if self._place(key, waits)))

    # --- what is watched ----------------------------------------------------------------------------
    def _place_watches(self) -> None:
        """Begin watches of what is managed or waited for, and end those that nobody has needed lately."""
        self._managed.place_watches()
        for app in self._apps if self._tidy() else self._open:
            if waits := self._apps.get(app):
                for place in {place for key in waits.keys if (place := self._place(key, waits))}:
                    self.watches.need(place)

    def _tidy(self) -> bool:
        self._ailing.tidy(time.monotonic())
        return self._managed.tidy(self._waiting.keys())

    def _place(self, key: ObjectKey, waits: Awaits) -> Place | None:
        """Where `key` is seen, if anywhere: all namespaces at once where that is permitted."""
        if not waits.seeable(key, self.watches.judge):
            return None
        kind, at = (key.group, key.kind), self._applications
        if at is not None and (*kind, key.namespace) == (at.group, at.kind, at.namespace):
            return at
        label = OPERATION if key in waits.hooks else APPLYSET_PART_OF
        return next(iter(self.watches.places(*kind, label, (key.namespace,))), None)


def woken(site: Site) -> bool:
    """Whether `site` could wake whom it has to."""
    try:
        site.wake()
    except StoreUnavailable as error:
        _log.warning("nobody is woken: %s", error)
        return False
    return True
