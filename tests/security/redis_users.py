"""What somebody who holds the web tier's Redis user tries: every command, and the keys of others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import redis

from mooring.names import DEPLOY, INTAKE
from mooring.store import acl
from mooring.store.connection import QUEUE

# Of Mooring, and not the web tier's.
OTHERS: Final = {
    f"{QUEUE}{DEPLOY}": b"a task",
    f"{QUEUE}{INTAKE}-and-more": b"a task",
    "mooring:turn:app:x": b"a wish",
    "mooring:due": b"a step",
    "mooring:lease:beat": b"a lease",
    "mooring:proof:x": b"a proof",
}
ANYBODYS: Final = {"auth", "hello", "quit", "reset"}  # answered before Redis asks who is there
MAY: Final = {rule.removeprefix("+") for rule in acl.WEB.rules if rule.startswith("+")}
NO_KEY: Final = {"ping", "select", "time", "script|load", *ANYBODYS}
# "not allowed": of scripts and, since Redis 7, of whoever would load modules or debug the server.
REFUSED: Final = re.compile("no permissions|can't run this command|can't access|not allowed", re.IGNORECASE)


def commands(client: redis.Redis) -> Mapping[str, int]:
    """Each command (`get`, `config|set` where this Redis tells them apart), and how many words it has, or
    has at least where that is said below zero."""
    told: Any = client.command()
    each = [entry for command in told.values() for entry in (command.get("subcommands") or [command])]
    found = {_text(_of(entry, "name", 0)): int(_of(entry, "arity", 1)) for entry in each}
    assert len(found) > 200, "the server did not say what it can do"
    return found


def call(name: str, arity: int, key: str) -> list[str]:
    """The command with `key` wherever it may take one."""
    words = name.split("|")
    return words + [key] * (arity - len(words) if arity > 0 else max(-arity - len(words), 3))


def not_refused(web: redis.Redis, commands: Mapping[str, int]) -> list[tuple[str, Any]]:
    """The commands beyond those the web tier needs that were not refused, and what was answered."""
    passed: list[tuple[str, Any]] = []
    # An old Redis lists `script` alone, and knows `script|load` in rules.
    for name in commands.keys() - MAY - ANYBODYS - {"script"} | {"script|flush"}:
        try:
            passed.append((name, web.execute_command(*call(name, commands.get(name, 2), "1"))))
        except redis.exceptions.ResponseError as error:
            if not REFUSED.search(str(error)):
                passed.append((name, error))
    return passed


def reached(web: redis.Redis, commands: Mapping[str, int], key: str) -> list[str]:
    """The web tier's own commands that were not refused for somebody else's key."""
    sha = web.script_load("return 1")
    passed = []
    for name in MAY - NO_KEY:
        words = ["evalsha", sha, "1", key] if name == "evalsha" else call(name, commands[name], key)
        try:
            web.execute_command(*words)
        except redis.exceptions.NoPermissionError:
            continue
        except redis.exceptions.ResponseError:
            pass  # it came as far as the key
        passed.append(name)
    return passed


def _of(entry: Any, name: str, place: int) -> Any:
    return entry[name] if isinstance(entry, dict) else entry[place]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
