"""Answers that may be a second old: the apps of one push all ask for the same in the same moment."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

T = TypeVar("T")
MAX_AGE: Final = 1.0  # seconds
_MOMENT_S: Final = 0.2


class Fresh(Generic[T]):
    """What `ask` answered, asked again once that is older than `max_age` seconds. Safe for threads.

    `ask` is told whether an answer from the API server's cache will do. Errors of `ask` go to the caller
    and are not kept.
    """

    def __init__(self, ask: Callable[[bool], T], max_age: float = MAX_AGE) -> None:
        self._ask = ask
        self._max_age = max_age
        self._lock = Lock()
        self._known: tuple[float, T] | None = None
        self._cached = True  # whether a cache did for what is known, or will do for what is asked

    def get(self) -> T:
        with self._lock:
            return self._asked()

    def newest(self) -> T:
        """As `get`, for who misses something: what was asked for a moment ago at most, and of no cache. Of
        many who miss the same, few ask."""
        with self._lock:
            if self._cached or self._known is None or monotonic() - self._known[0] > _MOMENT_S:
                self._known, self._cached = None, False
            return self._asked()

    def forget(self) -> None:
        """Ask again the next time, and for the newest: somebody has seen a newer answer than is known, and
        than a cache may have."""
        with self._lock:
            self._known, self._cached = None, False

    def _asked(self) -> T:
        if self._known is not None and monotonic() - self._known[0] <= self._max_age:
            return self._known[1]
        if self._known is not None:
            self._cached = True  # it was as new as it had to be
        asked = monotonic()
        self._known = (asked, self._ask(self._cached))
        return self._known[1]
