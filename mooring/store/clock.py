"""What time it is for all processes of an installation: Redis' time, on whatever machine they run.

Leases, due steps and the times of a status are written by one process and judged by another. By their own
clocks, a worker five minutes ahead of the others would take for dead whoever is at work, and one behind would
wait for what is long due.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Final

import redis

from mooring.errors import MooringError

_ASKED_EVERY_S = 10.0
_LATEST: Final = 1e11


def moment(value: Any) -> float:
    """A time that somebody else may have written, in seconds since the epoch: one that can be shown. Raises
    ValueError, TypeError and OverflowError for what is none."""
    return min(max(float(value), 0.0), _LATEST)


class Clock:
    """Seconds since the epoch as the Redis of `client` has them. Safe for threads.

    Redis is asked every ten seconds. While it does not answer, what it said last goes on; before it has ever
    answered, the machine's own clock is all there is. Raises nothing.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._began = time.time() - time.monotonic()  # what the epoch's seconds were at monotonic 0
        self._ask_at = 0.0
        self._asking = threading.Lock()

    def __call__(self) -> float:
        if time.monotonic() >= self._ask_at:
            with self._asking:  # who comes meanwhile waits: the machine's clock may be minutes off
                if time.monotonic() >= self._ask_at:
                    self._ask()
        return self._began + time.monotonic()

    def _ask(self) -> None:
        with suppress(MooringError, redis.RedisError):
            seconds, micros = self._redis.time()
            self._began = seconds + micros / 1e6 - time.monotonic()
        self._ask_at = time.monotonic() + _ASKED_EVERY_S
