"""What the observer does: hears of changes, and wakes the applications for which they matter.

Watches run in threads of their own and tell one loop, which alone keeps anything: for each application that
waits, what for; for each object of the kinds in question, how it was seen last.
"""

from __future__ import annotations

import logging
import math
import queue
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError, Refused, StoreUnavailable
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, ARGO_GROUP, DEPLOY, OPERATION, RECONCILE, TASK_TURN
from mooring.store.due import Step
from mooring.store.ours import Ours
from mooring.store.proofs import Proofs
from mooring.store.turns import Turns
from workers.apps.store import Applications
from workers.apps.wishes import CHANGED, EDITION, OBSERVED, standing, turn_of
from workers.cluster.api import Api
from workers.cluster.watch import Changed, Gone, Listed, watch
from workers.clusters.named import is_home
from workers.health import BUILT_IN
from workers.health.custom import Judges
from workers.metrics import WAKES
from workers.observer.ailing import Ailing
from workers.observer.awaits import Awaits, Seen, awaits, judged, news, worked_on
from workers.observer.managed import Managed
from workers.observer.projects import Projects
from workers.observer.watches import Heard, Place, Watch

_log = logging.getLogger(__name__)
_BACKLOG: Final = 1000  # changes that a watch may be ahead of the loop
_ASKED_AGAIN_S: Final = 300.0  # whether a watch that was forbidden is permitted by now
_TURNS_S: Final = 1.0
_MINE: Final = {OBSERVED: "1"}
_OTHERWISE: Final = {CHANGED: "1"}  # more than what is Progressing is to be looked at
_CHECKS_S: Final = 5.0  # how old health checks may be here
_PROJECTS: Final = Place(ARGO_GROUP, "AppProject", "")


class Observer:
    """`api` is the cluster's that has the objects and the `applications`; `send` puts a task on its queue,
    `judges` say how objects are, `pace_s` is how often beat has everything looked at."""

    def __init__(
        self,
        api: Api,
        applications: Applications,
        namespace: str,
        turns: Turns,
        send: Callable[[Step], None],
        judges: Judges,
        proofs: Proofs,
        ours: Ours,
        pace_s: float,
    ) -> None:
        self._api = api
        self._applications = applications
        self._namespace = namespace
        self._records, selector = applications.records()
        self._home = Place(self._records.group, self._records.kind, selector, namespace)
        self._turns = turns
        self._send = send
        self._changes: queue.Queue[tuple[Place, Heard, Watch]] = queue.Queue(_BACKLOG)
        self._managed = Managed(api, namespace, self._tell, BUILT_IN, proofs, ours, turns, pace_s)
        self._watches = self._managed.watches
        self._ailing = Ailing(pace_s)
        self._projects = Projects()
        self._projects_from = 0.0  # when to begin to watch them; never while they are
        self._anew = False  # all applications are to be read again
        self._there: set[AppKey] = set()  # those that are not being deleted
        self._elsewhere: set[AppKey] = set()  # those that are taken to be deployed to another cluster
        self._apps: dict[AppKey, Awaits] = {}
        self._waiting: dict[ObjectKey, set[AppKey]] = {}  # the same, by object
        self._open: set[AppKey] = set()  # to be judged
        self._wishes: dict[AppKey, Mapping[str, str]] = {}  # to be wanted
        self._changed: set[AppKey] = set()  # to be looked at, for their objects are not as they were left
        self._judged: dict[AppKey, frozenset[Seen]] = {}  # what each was woken by last
        self._judges = judges
        self._judged_until = 0.0
        self._unread = ""  # why the newest checks are not read

    def run(self, pulse: Callable[[], None]) -> None:
        """Watch and wake until the process ends; calls `pulse` every second or so.

        Raises ClusterRefused when the applications may not be watched.
        """
        listing = watch(self._api, self._records, self._home.namespace, self._home.label)
        self._watches.begin(self._home, listing, whole=True)
        while True:
            pulse()
            next_s = self._managed.next_s()
            try:
                found = [self._changes.get(timeout=_TURNS_S if next_s is None else min(next_s, _TURNS_S))]
                while not self._changes.empty():  # a burst is judged once
                    found.append(self._changes.get())
            except queue.Empty:
                found = []
            self._ask_who_judges()
            self._hear_all(found)
            self._watch_projects()
            self._place_watches()
            try:
                self._read_anew()
                self._wake()
                self._wake_ailing()
            except StoreUnavailable as error:
                _log.warning("nobody is woken: %s", error)
                time.sleep(_TURNS_S)

    def _ask_who_judges(self) -> None:
        """Where health checks have changed, all that is waited for is looked at anew."""
        if time.monotonic() < self._judged_until:
            return
        self._judged_until = time.monotonic() + _CHECKS_S
        try:
            judge = self._judges.still(self._watches.judge)
        except MooringError as error:  # workers say so, too, where people see it
            if str(error) != self._unread:
                _log.warning("health is judged by the checks that were read last: %s", error)
            self._unread = str(error)
            return
        self._unread = ""
        if judge is not self._watches.judge:
            self._watches.judged_by(judge)
            self._open |= self._apps.keys()

    # --- what is heard ------------------------------------------------------------------------------
    def _tell(self, place: Place, heard: Heard, of: Watch) -> None:
        self._changes.put((place, heard, of))

    def _hear_all(self, found: Iterable[tuple[Place, Heard, Watch]]) -> None:
        for place, heard, of in found:
            if not of.ends.is_set():  # the place may be another watch's by now, which lists all anew
                self._hear(place, heard)

    def _hear(self, place: Place, heard: Heard) -> None:
        if place == _PROJECTS:
            self._hear_of_projects(heard)
            return
        if place == self._home:
            self._hear_of_applications(heard)
        running = self._watches.get(place)
        listed = running is not None and running.listed
        for one in self._managed.hear(place, heard).otherwise:
            waiting = self._waiting.get(one.key, set())
            self._open |= waiting
            app = self._managed.whose(one)
            if app and app not in waiting and judged(one.key.group, one.key.kind, self._watches.judge):
                self._ailing.note(app, [one], time.monotonic())
        now = self._watches.get(place)
        if (now.listed if now else running is not None) != listed:  # listed for the first time, or refused
            self._open |= self._apps.keys()

    def _hear_of_applications(self, change: Heard) -> None:
        match change:
            case Exception():
                raise change
            case Listed(objects):
                self._there.clear()
                self._elsewhere.clear()
                for key in list(self._apps):
                    self._note(key, None)
                for live in objects:
                    self._read(Changed(live))
                self._ailing.keep_only(self._there)
            case Changed() | Gone():
                self._read(change)

    def _read(self, change: Changed | Gone) -> None:
        try:
            app = self._applications.told(change.live)
            if app is None:
                return
            # What is in another cluster is looked at by time. A cluster Secret may give this one a name, too,
            # but no Secret is seen here: the inventory tells. Who has moved and left his is woken in vain.
            ours = is_home(app.spec.destination, self._api.cluster) or self._managed.has_any({app.key})
            here = ours and not isinstance(change, Gone)
            if ours or isinstance(change, Gone):
                self._elsewhere.discard(app.key)
            else:
                self._elsewhere.add(app.key)
            if here and not app.metadata.deletion_timestamp:
                self._there.add(app.key)
            else:
                self._there.discard(app.key)
            waits = awaits(app) if here else None
            self._note(app.key, waits)
            if app.key in self._there:
                awaited = waits.keys if waits else frozenset[ObjectKey]()
                self._ailing.read(app, awaited, self._managed.seen, time.monotonic())
            else:
                self._ailing.gone(app.key)
            wishes = {} if isinstance(change, Gone) else standing(self._applications, app)
            if worked_on(app):  # it says in a moment what was looked at; where it does not, beat sees that
                wishes.pop(EDITION, None)
            if wishes:
                self._wishes[app.key] = wishes
        except Refused:
            return  # one that cannot be read says so itself, and waits for nothing but time
        except MooringError as error:  # beat looks at all of them
            _log.warning("application %s: %s", change.live.key.name, error)

    def _hear_of_projects(self, change: Heard) -> None:
        match change:
            case ClusterRefused():
                self._projects_from = time.monotonic() + _ASKED_AGAIN_S
                _log.warning("AppProjects cannot be watched, edits of them are seen by time: %s", change)
            case Exception():
                raise change
            case Listed() | Changed() | Gone():
                self._anew |= self._projects.hear(change)

    def _read_anew(self) -> None:
        """Read all applications again, where one is deployed here after all, or a project was edited: those
        that were last looked at under what it said before have another edition now, and no others."""
        self._anew |= self._managed.has_any(self._elsewhere)
        if not self._anew:
            return
        try:
            self._applications.forget_projects()
            # No older than what was heard of them.
            records = self._api.list(self._records, self._home.namespace, self._home.label)
        except ClusterUnavailable as error:
            _log.debug("applications are not read again yet: %s", error)
            return
        self._anew = False
        self._elsewhere.clear()  # of one that cannot be read nothing is known any more
        for record in records:
            self._read(Changed(record))

    def _note(self, app: AppKey, waits: Awaits | None) -> None:
        """`app` waits for this now."""
        before = self._apps.pop(app, None)
        for key in before.keys if before else ():
            self._waiting[key].discard(app)
            if not self._waiting[key]:
                del self._waiting[key]
        if waits is not None:
            self._apps[app] = waits
            for key in waits.keys:
                self._waiting.setdefault(key, set()).add(app)
        self._open.add(app)

    # --- who is woken -------------------------------------------------------------------------------
    def _wake(self) -> None:
        for key, wishes in list(self._wishes.items()):
            if self._turns.want(turn_of(key), wishes, standing=True):
                self._call(key, DEPLOY, "wish")
            del self._wishes[key]
        for key in list(self._open):
            waits = self._apps.get(key)
            found = news(self._seeable(waits), self._seen(waits)) if waits else frozenset()
            news_ = waits is not None and found and found != self._judged.get(key)
            if waits and news_ and self._turns.want(turn_of(key), _MINE, background=not waits.hurried):
                self._call(key, DEPLOY if waits.hurried else RECONCILE, "object")
            if found:
                self._judged[key] = found
            else:
                self._judged.pop(key, None)
            self._open.discard(key)
        self._changed |= self._managed.changed()
        for key in list(self._changed):
            # A push or an operation does not wait for that.
            if key in self._there and self._turns.want(turn_of(key), _OTHERWISE, background=True):
                self._call(key, RECONCILE, "change")
            self._changed.discard(key)

    def _wake_ailing(self) -> None:
        now = time.monotonic()
        due = self._ailing.due(now)
        held = self._turns.held([turn_of(key) for key in due])
        for key in due:
            if turn_of(key) in held:
                self._ailing.later(key, now)
            elif key not in self._there:
                self._ailing.forget(key)
            elif self._ailing.told(key, now) and self._turns.want(turn_of(key), _OTHERWISE, background=True):
                self._call(key, RECONCILE, "health")

    def _call(self, key: AppKey, queue_: str, why: str) -> None:
        self._send(Step(TASK_TURN, (turn_of(key),), queue_))
        WAKES.labels(why).inc()

    def _seen(self, waits: Awaits) -> dict[ObjectKey, Seen]:
        """What is known of the objects that are waited for."""
        found: dict[ObjectKey, Seen] = {}
        for key in waits.keys:
            place = self._place(key, waits)
            running = self._watches.get(place) if place else None
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
    def _watch_projects(self) -> None:
        kind = self._applications.project_records()
        if kind is not None and self._projects_from <= time.monotonic():
            self._projects_from = math.inf
            self._watches.begin(_PROJECTS, watch(self._api, kind, self._namespace), whole=True)

    def _place_watches(self) -> None:
        """Begin watches of what is managed or waited for, and end those that nobody has needed lately."""
        self._managed.place_watches()
        for app in self._apps if self._tidy() else self._open:
            if waits := self._apps.get(app):
                for place in {place for key in waits.keys if (place := self._place(key, waits))}:
                    self._watches.need(place)

    def _tidy(self) -> bool:
        self._ailing.tidy(time.monotonic())
        return self._managed.tidy(self._waiting.keys())

    def _place(self, key: ObjectKey, waits: Awaits) -> Place | None:
        """Where `key` is seen, if anywhere: all namespaces at once where that is permitted."""
        if not waits.seeable(key, self._watches.judge):
            return None
        kind = (key.group, key.kind)
        if (*kind, key.namespace) == (self._home.group, self._home.kind, self._home.namespace):
            return self._home
        label = OPERATION if key in waits.hooks else APPLYSET_PART_OF
        return next(iter(self._watches.places(*kind, label, (key.namespace,))), None)
