"""How long what changes, or ends, again and again is waited for: first not at all, then ever longer. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_AGAIN_S: Final = 1.0  # between the first two times; then each time twice as long
_CALM_S: Final = 10.0  # after which an object is one like all others


@dataclass(frozen=True, slots=True)
class _Told:
    """When an object was told of, and how long it has to wait until it is again."""

    at: float
    wait: float

    def calm(self, now: float) -> bool:
        return now - self.at > max(_CALM_S, 2 * self.wait)


class Patience:
    """By object, or whatever it is. Nobody waits longer than `pace_s`: all is looked at as often anyway."""

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s
        self._told: dict[Hashable, _Told] = {}

    def knows(self, key: Hashable) -> bool:
        """Whether it was told of lately."""
        return key in self._told

    def left(self, key: Hashable, now: float) -> float:
        """Seconds until it is time to tell of it."""
        told = self._told.get(key)
        return max(0.0, told.at + told.wait - now) if told else 0.0

    def told(self, key: Hashable, now: float) -> None:
        """Somebody was told of it."""
        before = self._told.get(key)
        new = before is None or before.calm(now)
        wait = _AGAIN_S if new or before is None else min(2 * before.wait, self._pace_s)
        self._told[key] = _Told(now, wait)

    def tidy(self, now: float) -> None:
        """Forget who has been calm for long."""
        for key in [key for key, one in self._told.items() if one.calm(now)]:
            del self._told[key]
