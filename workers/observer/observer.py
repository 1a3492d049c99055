"""What the observer does: hears of changes, and wakes the applications for which they matter.

Watches run in threads of their own and tell one loop, which alone keeps anything: for each application that
waits, what for; for each object of the kinds in question, how it was seen last.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError, Refused, StoreUnavailable
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, ARGO_GROUP, DEPLOY, OPERATION, RECONCILE, TASK_TURN
from mooring.store.due import Step
from mooring.store.turns import Turns
from workers.apps.store import Applications
from workers.apps.wishes import EDITION, OBSERVED, standing, turn_of
from workers.cluster.api import Api
from workers.cluster.watch import Change, Changed, Gone, Listed, watch
from workers.health import BUILT_IN, Judge
from workers.health.custom import Judges
from workers.metrics import WAKES
from workers.observer.awaits import Awaits, Seen, awaits, news, seen, worked_on
from workers.observer.projects import Projects

_log = logging.getLogger(__name__)
_BACKLOG: Final = 1000  # changes that a watch may be ahead of the loop
_LINGERS_S: Final = 60.0  # how long a kind is watched on when nobody waits for it: the next one comes soon
_ASKED_AGAIN_S: Final = 300.0  # whether a watch that was forbidden is permitted by now
_TURNS_S: Final = 1.0
_MINE: Final = {OBSERVED: "1"}
_CHECKS_S: Final = 5.0  # how old health checks may be here


@dataclass(frozen=True, slots=True)
class Place:
    """What one watch is about: the objects of a kind with a label, in one namespace or (empty) in all."""

    group: str
    kind: str
    label: str
    namespace: str = ""


_PROJECTS: Final = Place(ARGO_GROUP, "AppProject", "")


@dataclass(slots=True)
class _Watch:
    """One that runs. `ends` tells its thread to."""

    needed_at: float
    ends: threading.Event = field(default_factory=threading.Event)
    listed: bool = False
    objects: dict[ObjectKey, Seen] = field(default_factory=dict)


class Observer:
    """`api` is the cluster's that has the objects and the `applications`; `send` puts a task on its queue,
    `judges` say how objects are."""

    def __init__(
        self,
        api: Api,
        applications: Applications,
        namespace: str,
        turns: Turns,
        send: Callable[[Step], None],
        judges: Judges,
    ) -> None:
        self._api = api
        self._applications = applications
        self._namespace = namespace
        self._records, selector = applications.records()
        self._home = Place(self._records.group, self._records.kind, selector, namespace)
        self._turns = turns
        self._send = send
        self._changes: queue.Queue[tuple[Place, Change | Exception]] = queue.Queue(_BACKLOG)
        self._projects = Projects()
        self._projects_from = 0.0  # when to begin to watch them; never while they are
        self._edited = False  # a project says something else, and nobody was woken for that yet
        self._watches = {self._home: _Watch(needed_at=math.inf)}
        self._refused: dict[tuple[str, str, str], float] = {}  # group, kind, namespace: when to ask again
        self._apps: dict[AppKey, Awaits] = {}
        self._waiting: dict[ObjectKey, set[AppKey]] = {}  # the same, by object
        self._open: set[AppKey] = set()  # to be judged
        self._wishes: dict[AppKey, Mapping[str, str]] = {}  # to be wanted
        self._judged: dict[AppKey, frozenset[Seen]] = {}  # what each was woken by last
        self._tidied = time.monotonic()
        self._judges = judges
        self._judge: Judge = BUILT_IN
        self._judged_until = 0.0
        self._unread = ""  # why the newest checks are not read

    def run(self, pulse: Callable[[], None]) -> None:
        """Watch and wake until the process ends; calls `pulse` every second or so.

        Raises ClusterRefused when the applications may not be watched.
        """
        listing = watch(self._api, self._records, self._home.namespace, self._home.label)
        self._begin(self._home, listing, self._watches[self._home].ends)
        while True:
            pulse()
            try:
                found = [self._changes.get(timeout=_TURNS_S)]
                while not self._changes.empty():  # a burst is judged once
                    found.append(self._changes.get())
            except queue.Empty:
                found = []
            self._ask_who_judges()
            for place, change in found:
                self._hear(place, change)
            self._watch_projects()
            self._place_watches()
            try:
                self._look_at_edited()
                self._wake()
            except StoreUnavailable as error:
                _log.warning("nobody is woken: %s", error)
                time.sleep(_TURNS_S)

    def _ask_who_judges(self) -> None:
        """Where health checks have changed, all that is waited for is looked at anew."""
        if time.monotonic() < self._judged_until:
            return
        self._judged_until = time.monotonic() + _CHECKS_S
        try:
            judge = self._judges.still(self._judge)
        except MooringError as error:  # workers say so, too, where people see it
            if str(error) != self._unread:
                _log.warning("health is judged by the checks that were read last: %s", error)
            self._unread = str(error)
            return
        self._unread = ""
        if judge is not self._judge:
            self._judge = judge
            for place in self._watches.keys() - {self._home}:
                self._watches.pop(place).ends.set()
            self._refused.clear()
            self._open |= self._apps.keys()

    # --- what is heard ------------------------------------------------------------------------------
    def _hear(self, place: Place, change: Change | Exception) -> None:
        if place == self._home:
            self._hear_of_applications(change)
        if place == _PROJECTS:
            self._hear_of_projects(change)
        elif place in self._watches:
            self._hear_of_objects(place, self._watches[place], change)

    def _hear_of_applications(self, change: Change | Exception) -> None:
        match change:
            case Exception():
                raise change
            case Listed(objects):
                for key in list(self._apps):
                    self._note(key, None)
                for live in objects:
                    self._read(Changed(live))
            case Changed() | Gone():
                self._read(change)

    def _read(self, change: Changed | Gone) -> None:
        try:
            app = self._applications.told(change.live)
            if app is None:
                return
            waits = None if isinstance(change, Gone) else awaits(app)
            self._note(app.key, waits)
            wishes = {} if isinstance(change, Gone) else standing(self._applications, app)
            if worked_on(app):  # it says in a moment what was looked at; where it does not, beat sees that
                wishes.pop(EDITION, None)
            if wishes:
                self._wishes[app.key] = wishes
        except Refused:
            return  # one that cannot be read says so itself, and waits for nothing but time
        except MooringError as error:  # beat looks at all of them
            _log.warning("application %s: %s", change.live.key.name, error)

    def _hear_of_projects(self, change: Change | Exception) -> None:
        match change:
            case ClusterRefused():
                self._projects_from = time.monotonic() + _ASKED_AGAIN_S
                _log.warning("AppProjects cannot be watched, edits of them are seen by time: %s", change)
            case Exception():
                raise change
            case _:
                self._edited |= self._projects.hear(change)

    def _look_at_edited(self) -> None:
        """Read all applications again: those that were last looked at under what a project said before have
        another edition now, and no others."""
        if not self._edited:
            return
        try:
            self._applications.forget_projects()
            # No older than what was heard of them.
            records = self._api.list(self._records, self._home.namespace, self._home.label)
        except ClusterUnavailable as error:
            _log.debug("a project was edited, and nobody is woken yet: %s", error)
            return
        self._edited = False
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

    def _hear_of_objects(self, place: Place, found: _Watch, change: Change | Exception) -> None:
        match change:
            case ClusterRefused():
                del self._watches[place]
                self._refused[place.group, place.kind, place.namespace] = time.monotonic() + _ASKED_AGAIN_S
                self._open |= self._apps.keys()  # seen elsewhere now, or nowhere
                if place.namespace and self._has_health(place):
                    _log.warning(
                        "%s in namespace %s cannot be watched, their health is looked at by time: %s",
                        place.kind,
                        place.namespace,
                        change,
                    )
            case Exception():
                raise change
            case Listed(objects):
                now = {live.key: seen(live, judge=self._judge) for live in objects}
                lost = {key: replace(one, status="") for key, one in found.objects.items() if key not in now}
                found.objects, found.listed = now | lost, True
                self._open |= self._apps.keys()
            case Changed(live) | Gone(live):
                found.objects[live.key] = seen(live, gone=isinstance(change, Gone), judge=self._judge)
                self._open |= self._waiting.get(live.key, set())

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
            self._begin(_PROJECTS, watch(self._api, kind, self._namespace), threading.Event())

    def _place_watches(self) -> None:
        """Begin watches of what is waited for, and end those that nobody has needed for a while."""
        now = time.monotonic()
        tidy = now - self._tidied > _LINGERS_S / 10
        for app in self._apps if tidy else self._open:
            if waits := self._apps.get(app):
                for place in {place for key in waits.keys if (place := self._place(key, waits))}:
                    if place not in self._watches:
                        self._watch(place, now)
                    if place in self._watches:
                        running = self._watches[place]
                        running.needed_at = max(running.needed_at, now)
        if tidy:
            self._tidied = now
            for place, running in list(self._watches.items()):
                if now - running.needed_at > _LINGERS_S:
                    running.ends.set()
                    del self._watches[place]
                for key in [key for key, one in running.objects.items() if not one.status]:
                    if key not in self._waiting:
                        del running.objects[key]

    def _place(self, key: ObjectKey, waits: Awaits) -> Place | None:
        """Where `key` is seen, if anywhere: all namespaces at once where that is permitted."""
        if not waits.seeable(key, self._judge):
            return None
        kind = (key.group, key.kind)
        if (*kind, key.namespace) == (self._home.group, self._home.kind, self._home.namespace):
            return self._home
        label = OPERATION if key in waits.hooks else APPLYSET_PART_OF
        now = time.monotonic()
        for namespace in dict.fromkeys(("", key.namespace)):
            if self._refused.get((*kind, namespace), 0.0) <= now:
                return Place(*kind, label, namespace)
        return None

    def _has_health(self, place: Place) -> bool:
        """Whether more is to be seen of its objects than whether they are there."""
        return self._judge.judges(place.group, place.kind)

    def _watch(self, place: Place, now: float) -> None:
        try:
            kind = self._api.discovery.preferred(place.group, place.kind)
        except ClusterUnavailable as error:
            _log.debug("%s is not watched yet: %s", place.kind, error)
            return  # it is begun when the watches are tidied
        except MooringError as error:
            _log.warning("%s cannot be watched: %s", place.kind, error)
            kind = None
        if kind is None:
            self._refused[place.group, place.kind, place.namespace] = now + _ASKED_AGAIN_S
            return
        running = self._watches[place] = _Watch(now)
        bare = not self._has_health(place)
        changes = watch(self._api, kind, place.namespace, place.label, metadata_only=bare)
        self._begin(place, changes, running.ends)

    def _begin(self, place: Place, changes: Iterator[Change], ends: threading.Event) -> None:
        def listen() -> None:
            try:
                for change in changes:
                    if ends.is_set():
                        return
                    self._changes.put((place, change))
            except Exception as error:
                if not ends.is_set():  # the place may be another watch's by now
                    self._changes.put((place, error))

        threading.Thread(target=listen, daemon=True, name=f"watch {place.kind}").start()
