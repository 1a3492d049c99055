"""Applications that show the health of an object otherwise than it is, where nobody waits for that. No I/O.

What somebody waits for is told by awaits.py. But a Deployment may go wrong at any time, and what has gone
wrong may come right: neither is an edit, and the status of its app is to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import Final

from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from workers.health import HealthStatus
from workers.observer.awaits import Seen
from workers.observer.patience import Patience

_SOON_S: Final = 0.5  # an object that only passes through says nothing
_HEARD_S: Final = 1.0  # what a worker has just said of it has been heard by then
See = Callable[[ObjectKey], Seen | None]


class Ailing:
    """`pace_s` is how often beat has everything looked at."""

    def __init__(self, pace_s: float) -> None:
        self._shown: dict[AppKey, Mapping[ObjectKey, str]] = {}  # of those objects alone that are not Healthy
        self._open: dict[AppKey, dict[ObjectKey, Seen]] = {}  # that were not as shown
        self._due: dict[AppKey, float] = {}
        self._free: set[AppKey] = set()  # on which nobody was at work when they were due
        self._patience = Patience(pace_s)
        self._last: dict[ObjectKey, Seen] = {}  # what an app was woken for, and does not show yet

    def read(self, app: Application, awaited: Collection[ObjectKey], seen: See, now: float) -> None:
        """What `app` shows now. What is `awaited` is told by that; `seen` tells how the others are."""
        key = app.key
        before = self._shown.pop(key, {})
        shown = {
            one.key: one.health.status
            for one in app.status.resources
            if one.health and one.health.status != HealthStatus.HEALTHY and not one.hook
        }
        if shown:
            self._shown[key] = shown
        found = self._open.pop(key, {})
        found |= {other: one for other in before.keys() | shown.keys() if (one := seen(other))}
        self.note(key, [one for other, one in found.items() if other not in awaited], now)

    def gone(self, app: AppKey) -> None:
        """There is none of that name any more, or it is being deleted."""
        self._shown.pop(app, None)
        self.forget(app)

    def keep_only(self, apps: Set[AppKey]) -> None:
        """All others are gone, or being deleted: their end was not heard."""
        for app in (self._shown.keys() | self._open.keys()) - apps:
            self.gone(app)

    def note(self, app: AppKey, objects: Iterable[Seen], now: float) -> None:
        """These of its objects, of kinds that have a health, are otherwise than they were."""
        shown = self._shown.get(app, {})
        for one in objects:
            found = self._open.get(app, {})
            if not one.status or one.status == shown.get(one.key, HealthStatus.HEALTHY.value):
                found.pop(one.key, None)
                self._last.pop(one.key, None)
            elif self._last.get(one.key) != one:
                self._open.setdefault(app, {})[one.key] = one
                self._due.setdefault(app, now + _SOON_S)
        if not self._open.get(app):
            self.forget(app)

    def due(self, now: float) -> frozenset[AppKey]:
        """Those that are to be looked at now, unless somebody is at work on them."""
        return frozenset(app for app, at in self._due.items() if at <= now)

    def later(self, app: AppKey, now: float) -> None:
        """Somebody is."""
        self._due[app] = now + _SOON_S
        self._free.discard(app)

    def told(self, app: AppKey, now: float) -> bool:
        """Whether to wake it, which is done by that. Nobody is at work on it."""
        if app not in self._free:
            self._free.add(app)
            self._due[app] = now + _HEARD_S
            return False
        objects = self._open.get(app, {})
        left = min((self._patience.left(key, now) for key in objects), default=0.0)
        if left:
            self._due[app] = now + left
            return False
        for key, one in objects.items():
            self._patience.told(key, now)
            self._last[key] = one
        self.forget(app)
        return bool(objects)

    def forget(self, app: AppKey) -> None:
        """Nothing is to be said of it."""
        self._open.pop(app, None)
        self._due.pop(app, None)
        self._free.discard(app)

    def tidy(self, now: float) -> None:
        """Forget what has been calm for long."""
        self._patience.tidy(now)
        self._last = {key: one for key, one in self._last.items() if self._patience.knows(key)}
