"""What each tier's Redis user can do: every command that the server has is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import redis

from devcluster.redis import RedisServer
from mooring.store import acl
from tests.security import redis_users
from tests.security.redis_users import NO_KEY, OTHERS, REFUSED, call, not_refused, reached

_FOREIGN = {**OTHERS, "other": b"of another program on the same Redis"}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(users=acl.USERS) as running, redis.Redis.from_url(running.url) as client:
        client.mset(_FOREIGN)
        yield running
        assert {key: client.get(key) for key in _FOREIGN} == _FOREIGN


@pytest.fixture
def web(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url_for(acl.WEB)) as client:
        yield client


@pytest.fixture
def commands(server: RedisServer) -> Mapping[str, int]:
    with redis.Redis.from_url(server.url) as client:
        return redis_users.commands(client)


def test_the_web_tiers_user_has_no_command_but_those_it_needs(
    web: redis.Redis, commands: Mapping[str, int]
) -> None:
    assert not_refused(web, commands) == []


@pytest.mark.parametrize("key", _FOREIGN)
def test_what_it_has_it_has_for_its_own_keys_alone(
    web: redis.Redis, commands: Mapping[str, int], key: str
) -> None:
    assert reached(web, commands, key) == []


@pytest.mark.parametrize("key", _FOREIGN)
def test_a_script_of_its_own_gets_it_no_further(
    web: redis.Redis, commands: Mapping[str, int], key: str
) -> None:
    script = web.register_script("return redis.call(unpack(ARGV))")
    for name in commands.keys() - NO_KEY - {"script"}:
        with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
            script(args=call(name, commands[name], key))


def test_nobody_comes_in_as_one_of_them_without_its_password(server: RedisServer) -> None:
    for user in acl.USERS:
        for password in ("", "PASSWORD", None):
            with (
                redis.Redis(port=server.port, username=user.name, password=password) as client,
                pytest.raises(redis.exceptions.AuthenticationError),
            ):
                client.ping()


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "other"),
        ("SET", "other", "x"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("ACL", "LIST"),
        ("DEBUG", "SLEEP", "0"),
        ("SHUTDOWN",),
        ("REPLICAOF", "host", "1"),
        ("MODULE", "LIST"),
        ("MONITOR",),
    ],
    ids=" ".join,
)
def test_the_engines_user_has_all_of_moorings_and_nothing_of_others(
    server: RedisServer, call: tuple[str, ...]
) -> None:
    with redis.Redis.from_url(server.url_for(acl.ENGINE)) as client:
        assert client.get("mooring:due") == b"a step"
        with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
            client.execute_command(*call)
