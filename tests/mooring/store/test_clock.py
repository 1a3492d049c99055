"""One clock for all: Redis', whatever the machine of a process believes."""

from __future__ import annotations

import os
import subprocess
import sys

import redis

from devcluster.redis import RedisServer
from mooring.store.clock import Clock
from mooring.store.connection import connect
from tests.skew import skewed

_TELL = """
import sys, time
from mooring.store.clock import Clock
from mooring.store.connection import connect
print(time.time(), Clock(connect(sys.argv[1]))())
"""


def _told(url: str, seconds: int) -> tuple[float, float]:
    """What a process of a machine so many seconds ahead takes for the time: by its own clock, and by ours."""
    argv = [sys.executable, "-c", _TELL, url]
    done = subprocess.run(argv, env=os.environ | skewed(seconds), capture_output=True, text=True, check=True)
    own, shared = done.stdout.split()
    return float(own), float(shared)


def _seconds(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def test_machines_whose_clocks_are_wrong_agree_on_what_time_it_is(
    redis_url: str, redis_client: redis.Redis
) -> None:
    for skew in (300, -300):
        before = _seconds(redis_client)
        own, shared = _told(redis_url, skew)
        after = _seconds(redis_client)
        assert before - 1 <= shared <= after + 1
        assert abs(own - shared) > 200, "its own clock was wrong"


def test_time_goes_on_while_redis_is_away() -> None:
    with RedisServer() as server:
        clock = Clock(connect(server.url))
        first = clock()
    assert clock() >= first
    assert Clock(connect(server.url))() >= first, "one that Redis has never told goes by the machine's"
