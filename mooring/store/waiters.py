"""Who waits for the end of somebody else's turn, and is to be woken then.

A cache: whoever waits looks again by itself too, if seldom.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import redis

from mooring.store.connection import healed

_KEPT_S = 86_400


class Waiters:
    """One Redis set per turn that is waited for: the names of the turns that wait."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, turns: Iterable[str], who: str) -> None:
        """`who` waits for the end of each of `turns`."""
        for turn in turns:
            key = waiting_for(turn)

            def write(key: str = key) -> None:
                pipe = self._redis.pipeline()
                pipe.sadd(key, who)
                pipe.expire(key, _KEPT_S)
                pipe.execute()

            healed(self._redis, [key], write)

    def of(self, turn: str) -> tuple[str, ...]:
        """Who waits for `turn`."""
        key = waiting_for(turn)
        found = healed(self._redis, [key], lambda: cast("set[bytes]", self._redis.smembers(key)))
        return tuple(sorted(name.decode(errors="replace") for name in found))

    def forget(self, turn: str, who: Iterable[str]) -> None:
        """They have been woken, and wait no more."""
        self._redis.srem(waiting_for(turn), *who)


def waiting_for(turn: str) -> str:
    """The key of who waits for `turn`: there is none while nobody does."""
    return f"mooring:waiting:{turn}"
