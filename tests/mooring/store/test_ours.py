"""Which installation a Redis is of."""

from __future__ import annotations

import redis

from mooring.store.connection import connect
from mooring.store.ours import Ours


def test_what_workers_say_is_known_until_redis_loses_it(redis_client: redis.Redis, redis_url: str) -> None:
    ours = Ours(connect(redis_url))
    assert ours.known() == ""
    ours.say("abcdefgh")
    assert ours.known() == "abcdefgh"
    redis_client.delete("mooring:installation")
    redis_client.lpush("mooring:installation", "not ours")
    assert ours.known() == ""
