"""Keeps a turn while its work is done, and gives it back whatever happens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from mooring.errors import MooringError
from mooring.store.turns import Turn, Turns


class Holding:
    """Renews `turn` from a thread of its own until the block ends. Does not release it.

    The thread dies with the process, and the lease with the thread.
    """

    def __init__(self, turns: Turns, turn: Turn, lease_s: float) -> None:
        self._turns = turns
        self._turn = turn
        self._every = lease_s / 4
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"hold {turn.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _renew(self) -> None:
        while not self._ended.wait(self._every):
            try:
                if not self._turns.renew(self._turn):
                    return  # lost; the API server will refuse what this worker still tries
            except MooringError:
                continue  # Redis is away: the lease runs out if it stays away
