"""The time line of a push: each stage, told to all deliveries it answers, as it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mooring.delivery import Stage
from mooring.store.ledger import Ledger


class Timeline:
    """Stages of one piece of work. `since` is when the first of them began (seconds since the epoch)."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Sequence[str],
        clock: Callable[[], float],
        app: str = "",
        since: float | None = None,
    ) -> None:
        self._ledger = ledger
        self._deliveries = deliveries
        self._clock = clock
        self._app = app
        self._since = clock() if since is None else since

    def ended(self, name: str, note: str = "") -> None:
        """The stage `name` has ended: it took all the time since the one before it."""
        now = self._clock()
        stage = Stage(name, now, round((now - self._since) * 1000, 2), self._app, note)
        self._since = now
        for delivery in self._deliveries:
            self._ledger.stage(delivery, stage)

    def waits(self, seconds: float, why: str) -> None:
        """The work waits `seconds` until it is tried again."""
        for delivery in self._deliveries:
            self._ledger.stage(delivery, Stage("waiting", self._clock(), seconds * 1000, self._app, why))
