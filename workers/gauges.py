"""What waits in Redis and how the applications are, as gauges: read when they are asked for.

They are about the whole installation, so whoever holds beat's lease tells them: each is there once.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import redis
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mooring.delivery import received_at
from mooring.errors import MooringError
from mooring.names import CONTROL, DEPLOY, INTAKE, RECONCILE, SENT_AT, SLOW
from mooring.store.clock import moment
from mooring.store.connection import QUEUE
from mooring.store.connections import SUCCESSFUL, Connections
from mooring.store.due import DUE
from mooring.store.ledger import Ledger
from mooring.store.turns import OPEN
from mooring.store.views import Views
from workers.health import HealthStatus
from workers.sync_status import OUT_OF_SYNC, SYNCED, UNKNOWN

_log = logging.getLogger(__name__)
_QUEUES: Final = (INTAKE, DEPLOY, CONTROL, SLOW, RECONCILE)
_SYNC: Final = (SYNCED, OUT_OF_SYNC, UNKNOWN)
_HEALTH: Final = tuple(status.value for status in HealthStatus)


class Installation(Collector):
    """The gauges, read with `client`; those that cannot be read are left out."""

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._clock = clock

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing that would have to be read."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Each gauge. Raises nothing."""
        yield GaugeMetricFamily("mooring_redis_up", "Whether Redis answers", self._answers())
        for part in (self._queues, self._work, self._applications, self._clusters):
            try:
                yield from part()
            except (MooringError, redis.RedisError) as error:  # away, or garbled by whoever may write there
                _log.warning("no %s are told: %s", part.__name__.strip("_"), error)

    def _answers(self) -> float:
        try:
            self._redis.ping()
        except (MooringError, redis.RedisError):
            return 0.0
        return 1.0

    def _queues(self) -> Iterable[GaugeMetricFamily]:
        length = GaugeMetricFamily("mooring_queue_length", "Tasks that wait for a worker", labels=["queue"])
        age = GaugeMetricFamily(
            "mooring_queue_oldest_seconds", "How long the first of a queue has waited", labels=["queue"]
        )
        pipeline = self._redis.pipeline(transaction=False)
        for queue in _QUEUES:
            pipeline.llen(QUEUE + queue)
            pipeline.lindex(QUEUE + queue, -1)
        answers = pipeline.execute()
        for queue, waiting, first in zip(_QUEUES, answers[::2], answers[1::2], strict=True):
            length.add_metric((queue,), waiting)
            age.add_metric((queue,), self._since(sent_at(first)) if first else 0.0)
        return length, age

    def _work(self) -> Iterable[GaugeMetricFamily]:
        unfinished = GaugeMetricFamily("mooring_deliveries_unfinished", "Deliveries without an end")
        oldest = GaugeMetricFamily(
            "mooring_delivery_oldest_unfinished_seconds", "Since when the first of them waits"
        )
        ids = Ledger(self._redis).without_end()
        unfinished.add_metric((), len(ids))
        oldest.add_metric((), self._since(min(map(received_at, ids))) if ids else 0.0)
        turns = GaugeMetricFamily(
            "mooring_turns_open", "Applications and repositories on which work is wanted or done"
        )
        turns.add_metric((), self._redis.scard(OPEN))
        due = GaugeMetricFamily("mooring_steps_due", "Steps that wait for a time: retries, looks at health")
        due.add_metric((), self._redis.zcard(DUE))
        return unfinished, oldest, turns, due

    def _applications(self) -> Iterable[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "mooring_applications", "Applications by sync and health status", labels=["sync", "health"]
        )
        # The web tier may write there: no words but our own become labels.
        found = Counter(
            (
                view.sync if view.sync in _SYNC else UNKNOWN,
                view.health if view.health in _HEALTH else HealthStatus.UNKNOWN.value,
            )
            for view in Views(self._redis).apps()
        )
        for labels, number in found.items():
            gauge.add_metric(labels, number)
        return (gauge,)

    def _clusters(self) -> Iterable[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "mooring_cluster_up",
            "Whether a cluster besides the home cluster answered when it was last asked",
            labels=["cluster", "server"],
        )
        for server, known in Connections(self._redis).all().items():
            gauge.add_metric((known.title, server), float(known.status == SUCCESSFUL))
        return (gauge,)

    def _since(self, then: float) -> float:
        return max(self._clock() - then, 0.0) if then else 0.0


def sent_at(message: bytes) -> float:
    """When the task in a message of a queue was sent, in seconds since the epoch; 0.0 when it cannot be told.

    The web tier's tasks bear the delivery's id, which says it; all others have a header.
    """
    try:
        read = json.loads(message)
        headers: dict[str, Any] = read["headers"]
        if received := received_at(str(headers["id"])):
            return received
        return moment(headers[SENT_AT])
    except (KeyError, TypeError, ValueError):
        return 0.0
