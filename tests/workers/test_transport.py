"""Where Redis takes no writes, whatever it says to that is heard by a worker as a lost connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from kombu.connection import Connection
from kombu.entity import Queue
from redis.exceptions import ReadOnlyError

from devcluster.redis import RedisServer
from mooring.store.connection import broker_url
from tests import full_disk
from workers import transport


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as found:
        yield found
        with redis.Redis.from_url(found.url) as client:
            full_disk.clear(client)  # else it would not end


@pytest.fixture(params=["tcp", "socket"])
def broker(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    transport.use()
    password = urlsplit(server.url).password
    url = server.url if request.param == "tcp" else f"unix://:{password}@{server.socket}"
    connect: Any = Connection
    with connect(broker_url(url)) as found:
        yield found


def has_no_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize("befalls", [full_disk.fill, has_no_replicas])
def test_whatever_is_asked_of_a_redis_that_takes_no_writes_is_a_lost_connection(
    server: RedisServer, broker: Any, befalls: Callable[[redis.Redis], None]
) -> None:
    client = broker.channel().client
    assert issubclass(ReadOnlyError, broker.transport.connection_errors)
    with redis.Redis.from_url(server.url) as other:
        befalls(other)
    with pytest.raises(ReadOnlyError):
        client.lpush("q", "task")
    with pytest.raises(ReadOnlyError):
        client.brpop("q", 1)
    with pytest.raises(ReadOnlyError), client.pipeline() as pipe:
        pipe.hset("unacked", "1", "task").execute()
    with pytest.raises(ReadOnlyError):
        broker.transport.establish_connection()


def test_a_redis_that_cannot_save_answers_no_health_check_either(server: RedisServer, broker: Any) -> None:
    channel = broker.channel()
    queue: Any = Queue
    queue("q", channel=channel).declare()
    channel.basic_consume("q", False, lambda _message: None, "me")
    asks = channel.client.connection = channel.client.connection_pool.get_connection()  # as the loop does
    asks.health_check_interval, asks.next_health_check = 30, 1  # a task has taken longer
    with redis.Redis.from_url(server.url) as other:
        full_disk.fill(other)
    with pytest.raises(ReadOnlyError, match="cannot save"):
        channel._brpop_start()
    channel.close()  # and waits for no answer to what was not asked
