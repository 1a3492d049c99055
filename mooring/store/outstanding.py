"""What a delivery still waits for: it is finished when its last part is.

A set per delivery, so that telling twice (every stage may run twice) counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import redis

PREFIX = "mooring:ledger:parts:"
_KEEP_S = 7 * 86400

_DONE = """
redis.call('SREM', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
else redis.call('HDEL', KEYS[2], ARGV[1]) end
redis.call('EXPIRE', KEYS[2], tonumber(ARGV[3]))
if redis.call('SCARD', KEYS[1]) > 0 then return {0} end
return {1, redis.call('HGETALL', KEYS[2])}
"""


class Outstanding:
    """Parts of deliveries, by names of the caller's choosing (`push:…`, `app:…`)."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._done = client.register_script(_DONE)

    def add(self, deliveries: Iterable[str], parts: Iterable[str]) -> None:
        """Each of `deliveries` waits for each of `parts` too."""
        names = list(parts)
        if not names:
            return
        pipe = self._redis.pipeline(transaction=False)
        for delivery in deliveries:
            pipe.sadd(PREFIX + delivery, *names)
            pipe.expire(PREFIX + delivery, _KEEP_S)
        pipe.execute()

    def done(self, delivery: str, part: str, failure: str = "") -> dict[str, str] | None:
        """`part` has ended. None while others are open, else the failures by part (empty: all well).

        A failure it had before counts no more when there is none now: deliveries may be replayed.
        """
        keys = [PREFIX + delivery, f"{PREFIX}{delivery}:failures"]
        answer = cast("list[list[bytes]]", self._done(keys, [part, failure, _KEEP_S]))
        if len(answer) == 1:
            return None
        texts = [item.decode() for item in answer[1]]
        return dict(zip(texts[::2], texts[1::2], strict=True))
