"""The web tier's one task: putting a delivery on the queue, by name. It never imports what works on it."""

from __future__ import annotations

import celery
import redis
from kombu.exceptions import KombuError

from mooring.errors import StoreUnavailable
from mooring.names import INTAKE, TASK_DELIVER
from mooring.store.connection import QUEUE, broker_url


class IntakeQueue:
    """A producer for the queue `intake` alone. Safe to share between threads, connects on first use."""

    def __init__(self, redis_url: str, connections: int) -> None:
        self._celery = celery.Celery("mooring-web", broker=broker_url(redis_url), set_as_current=False)
        self._celery.conf.update(
            task_serializer="json",
            task_ignore_result=True,
            broker_pool_limit=connections,
            broker_connection_timeout=2,
            broker_transport_options={
                "global_keyprefix": QUEUE,
                "socket_connect_timeout": 2,
                "socket_timeout": 5,
                # The ledger has the delivery already, and beat enqueues what we could not: do not wait.
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0,
                "interval_max": 0,
            },
        )

    def put(self, delivery_id: str) -> None:
        """Enqueue the delivery. Raises StoreUnavailable when the broker does not take it."""
        try:
            self._celery.send_task(
                TASK_DELIVER,
                args=[delivery_id],
                argsrepr=f"[{delivery_id}]",
                queue=INTAKE,
                declare=(),  # the list in Redis needs no bindings, and we touch no other key
                ignore_result=True,
                retry=False,
            )
        except (KombuError, redis.RedisError, OSError) as error:
            raise StoreUnavailable(f"the queue does not take tasks ({type(error).__name__})") from error
