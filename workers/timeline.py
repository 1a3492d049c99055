"""The time line of a push: each stage, told to all deliveries it answers, as it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from mooring.delivery import Stage
from mooring.metrics import STAGE
from mooring.store.ledger import Ledger
from workers import metrics

_log = logging.getLogger(__name__)


def queued(received_at: float, now: float) -> Stage:
    """The stage in which a delivery waited for a worker to look at it."""
    STAGE.labels("queued").observe(max(now - received_at, 0.0))
    return Stage("queued", now, round((now - received_at) * 1000, 2))


class Timeline:
    """Stages of one piece of work, the first of which begins now."""

    def __init__(
        self,
        ledger: Ledger,
        deliveries: Sequence[str],
        clock: Callable[[], float],
        app: str = "",
    ) -> None:
        self._ledger = ledger
        self._deliveries = deliveries
        self._clock = clock
        self._app = app
        self._since = clock()

    def ended(self, name: str, note: str = "") -> None:
        """The stage `name` has ended: it took all the time since the one before it."""
        now = self._clock()
        stage = Stage(name, now, round((now - self._since) * 1000, 2), self._app, note)
        STAGE.labels(name).observe(max(now - self._since, 0.0))
        self._since = now
        self._tell(stage)

    def landed(self) -> None:
        """What the deliveries brought is in the cluster, all of it."""
        metrics.applied(self._deliveries, self._clock())

    def untouched(self, apps: Sequence[str], commit: str) -> None:
        """The commit changes nothing that these have read: all that they get of it is its name."""
        count = f"{len(apps)} application{'s' if len(apps) != 1 else ''}"
        _log.info("%s untouched by %s", count, commit)
        _log.debug("untouched by %s: %s", commit, ", ".join(apps))
        note = f"{count} by {commit[:12]}"
        self._tell(Stage("untouched", self._clock(), 0.0, self._app, note))

    def waits(self, seconds: float, why: str) -> None:
        """The work waits `seconds` until it is tried again."""
        self._tell(Stage("waiting", self._clock(), seconds * 1000, self._app, why))

    def _tell(self, stage: Stage) -> None:
        self._ledger.stages((delivery, stage) for delivery in self._deliveries)
