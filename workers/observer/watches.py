"""The watches of one cluster: which of them run, which are refused, and how each object was seen last.

Each watch has a thread, which keeps of an object no more than how it is (`Seen`), and tells whoever hears.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError
from mooring.keys import IN_CLUSTER_NAME, ObjectKey
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.watch import Change, Changed, Gone, Listed, watch
from workers.health import Judge
from workers.metrics import UNWATCHED
from workers.observer.awaits import Seen, judged, seen

_log = logging.getLogger(__name__)
_SECRET: Final = ("", "Secret")
_LINGERS_S: Final = 60.0  # how long a kind is watched on when nobody needs it: the next one comes soon
_ASKED_AGAIN_S: Final = 300.0  # whether a watch that was forbidden is permitted by now
_SERVED_YET_S: Final = 15.0  # whether a kind that was not served is by now
_REACHED_YET_S: Final = 2.0  # whether a server that did not say what it serves does by now


@dataclass(frozen=True, slots=True)
class Place:
    """What one watch is about: the objects of a kind with a label, in one namespace or (empty) in all."""

    group: str
    kind: str
    label: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Sights:
    """Objects as they are now; of one that is gone the status is "". `listed`: there are no others."""

    objects: tuple[Seen, ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class News:
    """Objects that are `otherwise` than they were; of those that are `edited`, not only the status."""

    otherwise: tuple[Seen, ...] = ()
    edited: tuple[Seen, ...] = ()


NOTHING: Final = News()
Heard = Change | Sights | Exception


@dataclass(slots=True)
class Watch:
    """One that runs. `ends` tells its thread to."""

    needed_at: float
    ends: threading.Event = field(default_factory=threading.Event)
    listed: bool = False
    objects: dict[ObjectKey, Seen] = field(default_factory=dict)


Tell = Callable[[Place, Heard, Watch], None]
Changes = Callable[[threading.Event], Iterator[Change]]  # until that is set


class Watches:
    """Those of the cluster of `api`, which people call `title` ("" for the home cluster). `tell` is called by
    their threads with all that they hear: what came as `Sights` goes to `hear`, by the one thread that calls
    the other methods, unless the watch has been ended since: its place may be another's. `home` has the
    inventories. Where `api` sees some namespaces alone nothing else is watched but, with `cluster_resources`,
    what is in none."""

    def __init__(
        self,
        api: Api,
        tell: Tell,
        judge: Judge,
        home: str,
        title: str = "",
        *,
        cluster_resources: bool = True,
    ) -> None:
        self._api = api
        self._home = home
        self._title = title
        self._cluster_resources = cluster_resources
        self._tell = tell
        self.judge = judge
        self._running: dict[Place, Watch] = {}
        self._refused: dict[tuple[str, str, str], float] = {}  # group, kind, namespace: when to ask again
        self._away: dict[Place, float] = {}  # of those that could not be begun: when to try again
        self._said: set[tuple[str, str]] = set()  # group and kind, of those that are not watched
        self._crowded = False  # it was told that there was no thread for one
        self._tidied = time.monotonic()

    # --- what is heard ------------------------------------------------------------------------------
    def hear(self, place: Place, heard: Sights | Exception) -> News:
        """What is not as it was. A watch that has ended, whatever it died of, has none, and is not known any
        more: it is begun again later, as one that is refused."""
        found = self._running.get(place)
        if found is None:
            return NOTHING
        if isinstance(heard, Exception):
            del self._running[place]
            self._refuse(place, why(heard))
            return NOTHING
        known, seen_ = found.objects, heard.objects
        if heard.listed:
            there = {one.key for one in seen_}
            lost = (one for key, one in known.items() if one.status and key not in there)
            seen_ += tuple(replace(one, status="") for one in lost)
            found.listed = True
            self._permitted(place)
        edited: list[Seen] = []
        for one in seen_:
            before = known.get(one.key)
            if not one.stands_as(before):
                edited.append(one)
                if before and before.applyset != one.applyset:  # who has lost it is to hear of that as well
                    edited.append(replace(before, status=""))
        news = News(tuple(one for one in seen_ if one != known.get(one.key)), tuple(edited))
        known.update((one.key, one) for one in seen_)
        return news

    def get(self, place: Place) -> Watch | None:
        """The watch of that place, if it runs."""
        return self._running.get(place)

    # --- what is watched ----------------------------------------------------------------------------
    def places(self, group: str, kind: str, label: str, namespaces: Collection[str]) -> tuple[Place, ...]:
        """Where objects of the kind in `namespaces` are seen: all namespaces at once where that is permitted.
        None of those that may not be watched."""
        now = time.monotonic()
        if self._refused.get((group, kind, ""), 0.0) <= now:
            return (Place(group, kind, label),)
        return tuple(
            Place(group, kind, label, namespace)
            for namespace in namespaces
            if namespace and self._refused.get((group, kind, namespace), 0.0) <= now
        )

    def need(self, place: Place) -> bool:
        """Have it watched for now; whether it is."""
        now = time.monotonic()
        if place not in self._running and self._away.get(place, 0.0) <= now:
            self._watch(place, now)
        running = self._running.get(place)
        if running is None:
            return False
        running.needed_at = max(running.needed_at, now)
        return True

    def judged_by(self, judge: Judge) -> None:
        """Look at everything anew: health is told otherwise from now on."""
        self.judge = judge
        for place in [place for place, one in self._running.items() if one.needed_at < float("inf")]:
            self.drop(place)
        self._refused.clear()

    def tidy(self, kept: Collection[ObjectKey]) -> bool:
        """End what nobody has needed for a while, and forget what is gone unless it is among `kept`; whether
        it was time to."""
        now = time.monotonic()
        if now - self._tidied <= _LINGERS_S / 10:
            return False
        self._tidied = now
        for place, running in list(self._running.items()):
            if now - running.needed_at > _LINGERS_S:
                self.drop(place)
            for key in [key for key, one in running.objects.items() if not one.status and key not in kept]:
                del running.objects[key]
        return True

    def begin(self, place: Place, changes: Changes, *, whole: bool = False) -> None:
        """Watch `place`, for as long as the process lives where that is `whole`: its changes are told as they
        are. What has watched it until now ends. Where no thread can be had it does not run."""
        self.drop(place)
        running = Watch(float("inf") if whole else time.monotonic())
        self._running[place] = running
        judge = self.judge

        def listen() -> None:
            try:
                for change in changes(running.ends):
                    if running.ends.is_set():
                        return
                    self._tell(place, change if whole else sights(change, judge), running)
                    del change  # else a whole list stays until there is news
            except Exception as error:
                if not running.ends.is_set():
                    self._tell(place, error, running)

        try:
            threading.Thread(target=listen, daemon=True, name=f"watch {place.kind}").start()
        except RuntimeError:
            del self._running[place]
            self._away[place] = time.monotonic() + _REACHED_YET_S
            if not self._crowded:
                no_thread(f"{at(self._title)}{place.kind} is")
            self._crowded = True

    def _watch(self, place: Place, now: float) -> None:
        try:
            kind = self._api.discovery.preferred(place.group, place.kind)
        except ClusterUnavailable as error:
            _log.debug("%s is not watched yet: %s", place.kind, error)
            self._away[place] = now + _REACHED_YET_S
            return
        except MooringError as error:
            self._refuse(place, why(error))
            return
        self._away.pop(place, None)
        if kind is None or (place.namespace and not kind.namespaced) or self._outside(place, kind):
            until = _ASKED_AGAIN_S if kind else _SERVED_YET_S
            self._refused[place.group, place.kind, place.namespace] = now + until
            return
        # No Secret's data comes here, nor a ConfigMap's, not even where there is a check of their health.
        bare = not judged(place.group, place.kind, self.judge)
        self.begin(
            place,
            lambda ends: watch(self._api, kind, place.namespace, place.label, metadata_only=bare, ends=ends),
        )

    def _outside(self, place: Place, kind: Kind) -> bool:
        """Whether it is none of what there is to the cluster."""
        known = self._api.namespaces
        if not known:
            return False
        if place.namespace:
            return place.namespace not in known
        return kind.namespaced or not self._cluster_resources

    def _refuse(self, place: Place, said: str) -> None:
        name = (place.group, place.kind)
        self._refused[*name, place.namespace] = time.monotonic() + _ASKED_AGAIN_S
        kind = None
        if not place.namespace:
            try:
                kind = self._api.discovery.preferred(*name)
            except MooringError:
                return
        if (kind is not None and kind.namespaced) or name in self._said:
            return  # each of its namespaces may yet be permitted
        if place.namespace == self._home:
            return  # where inventories are there need be nothing else of it
        self._said.add(name)
        _count(self._title, name, 1)
        if name == _SECRET:
            return  # nobody is to be told to grant that
        where = f" in namespace {place.namespace}" if place.namespace else ""
        what = f"{at(self._title)}{place.kind}{where}"
        _log.warning("%s cannot be watched, changes of them are seen by time: %s", what, said)

    def _permitted(self, place: Place) -> None:
        name = (place.group, place.kind)
        if not place.namespace and name in self._said:
            self._said.remove(name)
            _count(self._title, name, -1)

    def drop(self, place: Place) -> None:
        """End the watch of that place, if it runs."""
        if running := self._running.pop(place, None):
            running.ends.set()

    def end(self) -> None:
        """End all of them; nothing is said of them any more."""
        for place in list(self._running):
            self.drop(place)
        for name in self._said:
            _count(self._title, name, -1)
        self._said.clear()


_unwatched: Final = Counter[tuple[str, str, str]]()  # by the labels of the metric
_unwatched_lock: Final = threading.Lock()


def _count(title: str, name: tuple[str, str], by: int) -> None:
    """A kind is not watched, or is again: by one of those, mostly one, who have clusters of that title."""
    labels = (title or IN_CLUSTER_NAME, *name)
    with _unwatched_lock:
        _unwatched[labels] += by
        if _unwatched[labels]:
            UNWATCHED.labels(*labels).set(1)
        else:
            del _unwatched[labels]
            UNWATCHED.remove(*labels)


def at(title: str) -> str:
    """How what is said of a cluster begins; of the home cluster it need not be said."""
    return f"cluster {title}: " if title else ""


def no_thread(whose: str) -> None:
    """Say that there are as many as there may be."""
    _log.warning(
        "%s not watched yet: no thread can be begun: the observer needs one for each kind of each cluster, "
        "raise the limit of its processes and threads (pids)",
        whose,
    )


def why(error: Exception) -> str:
    """What a watch has died of, and what is to be done. Of what nobody foresaw the name alone: what such an
    error quotes may be anything."""
    if isinstance(error, ClusterRefused):
        return f"grant list and watch ({error})"
    return str(error) if isinstance(error, MooringError) else f"please report this ({type(error).__name__})"


def sights(change: Change, judge: Judge) -> Sights:
    """What `change` shows, as `judge` has it."""

    def one(live: Live, *, gone: bool = False) -> Seen:
        return seen(live, gone=gone, judge=judge)

    match change:
        case Listed(objects):
            return Sights(tuple(map(one, objects)), listed=True)
        case Gone(live):
            return Sights((one(live, gone=True),), listed=False)
        case Changed(live):
            return Sights((one(live),), listed=False)
