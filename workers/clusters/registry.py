"""The ways to the clusters that have no Application of their own, kept open in this process.

A cluster that does not answer costs the first who asks it some seconds. From then on all who come are told
at once that it is away, until it has answered somebody whom nobody waits for (`there.ask`), so that its apps
hold up nobody else's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Final

from mooring.errors import ClusterUnavailable, MooringError, Refused
from mooring.keys import ClusterRef
from mooring.model.spec import Destination
from mooring.store.connections import FAILED, SUCCESSFUL, Connection, Connections
from workers.clusters.link import Reached, opened
from workers.clusters.named import NoCluster, Secrets, home_secret, is_home, others, ref_of, secret_of
from workers.clusters.secret import ClusterSecret

_log = logging.getLogger(__name__)
FRESH_S: Final = 2.0  # as long an answer says that a cluster is there
LEAST_S, MOST_S = 2.0, 30.0  # until one that failed is asked again
WELL_S: Final = 60.0  # until one that is back is taken for well, and its failures are forgotten
_ASKING_S: Final = 30.0  # longer than it takes to find out
LOST_S: Final = 30.0  # so long after its time whoever should have asked is lost, and whoever comes asks
UNUSED_S: Final = 900.0  # longer than any task lasts
_TIDIED_S: Final = 60.0


@dataclass(slots=True, eq=False)
class _Way:
    reached: Reached
    used_at: float


class Clusters:
    """The clusters of an installation. `home` is the one that has the Applications, `secrets` tells of the
    others, and `newest` of those that may have come a moment ago; `programs` may be run for their
    credentials, `ask_again` has `ask` called at a time, also when one is back. Safe for threads.

    A way that nobody has used for a while is closed, also for that its Secret is gone or another by now: its
    credential, connections and threads are kept for no longer.
    """

    def __init__(
        self,
        home: ClusterRef,
        secrets: Secrets,
        connections: Connections,
        programs: Collection[str] = (),
        ask_again: Callable[[ClusterRef, float], None] = lambda _cluster, _at: None,
        clock: Callable[[], float] = time.time,
        newest: Secrets | None = None,
    ) -> None:
        self._home = home
        self._secrets = secrets
        self._newest = newest or secrets
        self._connections = connections
        self._programs = programs
        self._have_asked = ask_again
        self._clock = clock
        self._lock = Lock()
        self._open: dict[str, _Way] = {}  # by the URL
        self._once: set[str] = set()  # what is being done
        self._left: list[_Way] = []  # of Secrets that were changed, or went: somebody may be at work there
        self._tidied = False  # by a thread, as long as there is anything to be closed

    def secret(self, destination: Destination) -> ClusterSecret | None:
        """The Secret of the cluster that is meant, None for the home cluster. Raises as `secret_of`, and what
        reading Secrets raises."""
        try:
            return secret_of(destination, self._home, self._secrets)
        except NoCluster:  # its Secret may be as new as the app, and nobody would look at that again
            return secret_of(destination, self._home, self._newest)

    def home(self) -> ClusterSecret | None:
        """The Secret that says which part of the home cluster is managed. Raises as `home_secret`."""
        return home_secret(self._home, self._secrets)

    def ref(self, destination: Destination) -> ClusterRef | None:
        """Which cluster is meant; None for one that nobody knows. Raises as reading Secrets does."""
        return ref_of(destination, self._home, self._secrets)

    def others(self) -> tuple[ClusterSecret, ...]:
        """All that can be told from another."""
        return others(self._home, self._secrets)

    def all_told(self) -> bool:
        """Whether `others` are all that there are Secrets for: none is wrong, or one of two for a cluster."""
        known = {one.secret for one in self.others()}
        return all(one.secret in known or self._is_home(one) for one in self._secrets())

    def _is_home(self, one: ClusterSecret) -> bool:
        return not one.wrong and is_home(Destination(server=one.server), self._home)

    def reach(self, destination: Destination) -> Reached | None:
        """The cluster that is meant, None for the home cluster. Raises Refused for one that nobody knows, or
        whose Secret cannot be used; ClusterUnavailable for one that does not answer, at once where that is
        known."""
        found = self.secret(destination)
        return None if found is None else self.open(found)

    def ask(self, found: ClusterSecret) -> Reached:
        """The cluster of this Secret, which is asked also where it was away, once that is due. Raises as
        `reach`; whoever is waited for uses `open`."""
        return self._opened(found, late=0.0)

    def open(self, found: ClusterSecret) -> Reached:
        """The cluster of this Secret. Raises as `reach`."""
        return self._opened(found, late=LOST_S)

    def _opened(self, found: ClusterSecret, late: float) -> Reached:
        if found.wrong:
            raise Refused(found.wrong, condition="InvalidSpecError")
        ref, now = ClusterRef(found.server), self._clock()
        known = self._connections.of(ref)
        if known is not None and known.secret != found.version:
            known = None  # nobody has tried this one
        if known is not None and known.status == SUCCESSFUL and now - known.at < FRESH_S:
            return self._link(found)
        if known is not None and known.status == FAILED:
            if now < known.until + late:
                raise _away(found, known, known.until - now if now < known.until else LEAST_S)
            if not self._connections.only_me(ref, _ASKING_S):
                raise _away(found, known, LEAST_S)
            try:
                return self._asked(found, known)
            finally:
                self._connections.anybody(ref)
        return self._asked(found, known)

    def _asked(self, found: ClusterSecret, known: Connection | None) -> Reached:
        """Ask the cluster whether it is there, and remember what came of it."""
        ref = ClusterRef(found.server)
        try:
            reached = self._link(found)
            version = reached.transport.version(thorough=known is None or known.status == FAILED)
        except MooringError as error:  # whoever says no for good may say yes once somebody has mended that
            wait = self.fell(found, error)
            raise ClusterUnavailable(_told(found, str(error)), after=wait) from error
        now = self._clock()
        failures, until = 0, 0.0
        if known is not None and known.status == FAILED:
            failures, until = known.failures, now + WELL_S
        elif known is not None and now < known.until:
            failures, until = known.failures, known.until
        well = Connection(SUCCESSFUL, found.title, found.version, now, version, "", failures, until)
        self._connections.put(ref, well)
        if known is not None and known.status == FAILED:
            _log.info("cluster %s is back: Kubernetes %s", found.title, version)
            self._have_asked(ref, now)
        return reached

    def _link(self, found: ClusterSecret) -> Reached:
        """The way to the cluster, kept as long as its Secret is the same. Raises ClusterRefused."""
        with self._lock:
            known = self._open.get(found.server)
            if known is not None and known.reached.secret == found:
                known.used_at = time.monotonic()
                return known.reached
        reached = opened(found, self._programs, self.fell)
        with self._lock:
            self._leave(found.server)
            self._open[found.server] = _Way(reached, time.monotonic())
            if not self._tidied:
                self._tidied = True
                Thread(target=self._tidy_up, daemon=True, name="clusters").start()
        return reached

    def _leave(self, url: str) -> None:
        if (known := self._open.pop(url, None)) is not None:
            self._left.append(known)

    def close_unused(self, now: float) -> bool:
        """Close the ways that nobody has used for UNUSED_S, as `time.monotonic` has it; whether any is open
        still."""
        with self._lock:
            unused = [one for one in (*self._open.values(), *self._left) if now - one.used_at > UNUSED_S]
            self._open = {url: one for url, one in self._open.items() if one not in unused}
            self._left = [one for one in self._left if one not in unused]
            self._tidied = bool(self._open or self._left)
        for one in unused:
            one.reached.close()
        return self._tidied

    def _tidy_up(self) -> None:
        time.sleep(_TIDIED_S)
        while self.close_unused(time.monotonic()):
            time.sleep(_TIDIED_S)

    @contextmanager
    def only_once(self, what: str) -> Iterator[bool]:
        """Whether nobody else of this process is doing just that, which may hang."""
        with self._lock:
            mine = what not in self._once
            self._once.add(what)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._once.discard(what)

    def ask_again(self, ref: ClusterRef, seconds: float) -> None:
        """Have the cluster asked in a while."""
        self._have_asked(ref, self._clock() + seconds)

    def forget(self, ref: ClusterRef) -> None:
        """Nobody names the cluster any more."""
        self._connections.forget(ref)
        with self._lock:
            self._leave(ref)

    def tidy(self) -> None:
        """Forget how those were that no Secret names any more. Raises as reading Secrets does."""
        named = {one.server for one in self._secrets()}
        for url in self._connections.all():
            if url not in named:
                self.forget(ClusterRef(url))

    def fell(self, found: ClusterSecret, error: MooringError) -> float:
        """Remember that the cluster is away, and have it asked again; seconds until then."""
        ref, now = ClusterRef(found.server), self._clock()
        known = self._connections.of(ref)
        failures = 0
        if known is not None and known.secret == found.version:
            if known.status == FAILED and now < known.until:  # somebody has just said so
                return known.until - now
            if known.status == FAILED or now < known.until:
                failures = known.failures
        wait = min(LEAST_S * 2.0 ** min(failures, 16), MOST_S)
        after = Connection(FAILED, found.title, found.version, now, "", str(error), failures + 1, now + wait)
        self._connections.put(ref, after)
        if not failures:
            _log.warning("%s", _told(found, str(error)))
        self._have_asked(ref, now + wait)
        return wait


def _told(found: ClusterSecret, why: str) -> str:
    return f"cluster {found.title}: {why}"


def _away(found: ClusterSecret, known: Connection, wait: float) -> ClusterUnavailable:
    return ClusterUnavailable(_told(found, known.message), after=max(wait, 0.5))
