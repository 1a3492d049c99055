"""What hosts have said within the last moments: apps that come together need not each ask for the same."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

_AGE_S: Final = 2.0


class Answers:
    """What a revision of a place was, by those two, and when that was asked. `clock` gives seconds since the
    epoch. Safe for threads; nothing is kept for long."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._known: dict[tuple[str, str], tuple[float, str]] = {}

    def note(self, place: str, revision: str, found: str, asked_at: float) -> None:
        """A host, asked at `asked_at`, has said that `revision` is `found`."""
        with self._lock:
            self._forget()
            self._known[place, revision] = asked_at, found

    def since(self, moment: float, place: str, revision: str) -> str:
        """What was found by a question asked at `moment` or later, and just now; "" when there is none."""
        with self._lock:
            self._forget()
            asked_at, found = self._known.get((place, revision), (0.0, ""))
        return found if asked_at >= moment else ""

    def _forget(self) -> None:
        oldest = self._clock() - _AGE_S
        self._known = {key: one for key, one in self._known.items() if one[0] > oldest}
