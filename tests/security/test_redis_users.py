"""What each tier's Redis user can do: every command that the server has is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis

from devcluster.redis import RedisServer
from mooring.names import DEPLOY, INTAKE
from mooring.store import acl
from mooring.store.connection import QUEUE

_FOREIGN = {
    f"{QUEUE}{DEPLOY}": b"a task",
    f"{QUEUE}{INTAKE}-and-more": b"a task",
    "mooring:turn:app:x": b"a wish",
    "mooring:due": b"a step",
    "mooring:lease:beat": b"a lease",
    "mooring:proof:x": b"a proof",
    "other": b"of another program on the same Redis",
}
_ANYBODYS = {"auth", "hello", "quit", "reset"}  # answered before Redis asks who is there
_MAY = {rule.removeprefix("+") for rule in acl.WEB.rules if rule.startswith("+")}
_NO_KEY = {"ping", "select", "time", "script|load", *_ANYBODYS}
# "not allowed": of scripts and, since Redis 7, of whoever would load modules or debug the server.
_REFUSED = re.compile("no permissions|can't run this command|can't access|not allowed", re.IGNORECASE)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(users=acl.USERS) as running, redis.Redis.from_url(running.url) as client:
        client.mset(_FOREIGN)  # type: ignore[arg-type]
        yield running
        assert {key: client.get(key) for key in _FOREIGN} == _FOREIGN


@pytest.fixture
def web(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url_for(acl.WEB)) as client:
        yield client


@pytest.fixture
def commands(server: RedisServer) -> Mapping[str, int]:
    """Each command (`get`, `config|set` where this Redis tells them apart), and how many words it has, or
    has at least where that is said below zero."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        told: Any = client.command()
    each = [entry for command in told.values() for entry in (command.get("subcommands") or [command])]
    found = {str(_of(entry, "name", 0)): int(_of(entry, "arity", 1)) for entry in each}
    assert len(found) > 200, "the server did not say what it can do"
    return found


def _of(entry: Any, name: str, place: int) -> Any:
    return entry[name] if isinstance(entry, dict) else entry[place]


def _call(name: str, arity: int, key: str) -> list[str]:
    """The command with `key` wherever it may take one."""
    words = name.split("|")
    return words + [key] * (arity - len(words) if arity > 0 else max(-arity - len(words), 3))


def test_the_web_tiers_user_has_no_command_but_those_it_needs(
    web: redis.Redis, commands: Mapping[str, int]
) -> None:
    passed = []
    # An old Redis lists `script` alone, and knows `script|load` in rules.
    for name in commands.keys() - _MAY - _ANYBODYS - {"script"} | {"script|flush"}:
        try:
            passed.append((name, web.execute_command(*_call(name, commands.get(name, 2), "1"))))
        except redis.exceptions.ResponseError as error:
            if not _REFUSED.search(str(error)):
                passed.append((name, error))
    assert passed == []


@pytest.mark.parametrize("key", _FOREIGN)
def test_what_it_has_it_has_for_its_own_keys_alone(
    web: redis.Redis, commands: Mapping[str, int], key: str
) -> None:
    sha = web.script_load("return 1")
    for name in _MAY - _NO_KEY:
        words = ["evalsha", sha, "1", key] if name == "evalsha" else _call(name, commands[name], key)
        with pytest.raises(redis.exceptions.NoPermissionError):
            web.execute_command(*words)


@pytest.mark.parametrize("key", _FOREIGN)
def test_a_script_of_its_own_gets_it_no_further(
    web: redis.Redis, commands: Mapping[str, int], key: str
) -> None:
    script = web.register_script("return redis.call(unpack(ARGV))")
    for name in commands.keys() - _NO_KEY - {"script"}:
        with pytest.raises(redis.exceptions.ResponseError, match=_REFUSED):
            script(args=_call(name, commands[name], key))


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
        with pytest.raises(redis.exceptions.ResponseError, match=_REFUSED):
            client.execute_command(*call)
