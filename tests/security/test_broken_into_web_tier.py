"""Somebody has taken the web tier, and with it its Redis user: what that user cannot do to the workers."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pytest
import redis

from devcluster.gitserver import Repository
from devcluster.redis import RedisServer
from mooring.store import acl
from mooring.store.connection import LEDGER
from mooring.store.views import APPS
from tests.stories.conftest import own_redis, ship, ship_config, ship_processes, ship_settings
from tests.stories.ship import Ship, configmap, until

__all__ = ["own_redis", "ship", "ship_config", "ship_processes", "ship_settings"]
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def intruder(ship: Ship, own_redis: RedisServer) -> Iterator[redis.Redis]:
    """Redis as it is set up for the web tier."""
    with ship.redis() as client:
        client.execute_command("ACL", "SETUSER", *acl.WEB.words("stolen"))
    with redis.Redis(port=own_redis.port, username=acl.WEB.name, password="stolen") as client:
        yield client


@pytest.fixture
def app(ship: Ship, git_repo: Repository, namespace: str) -> str:
    name = f"app-{secrets.token_hex(4)}"
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    return name


def _event(**fields: Any) -> bytes:
    event: dict[str, Any] = {
        "host": "github",
        "kind": "push",
        "name": "push",
        "delivery": secrets.token_hex(8),
        "repo_urls": ["https://x.example/y"],
        "changes": [{"ref": "refs/heads/main", "commit": "a" * 40, "before": None}],
        "default_branch": "main",
        "sender": "",
    }
    return orjson.dumps(event | fields)


def _forge(intruder: redis.Redis, event: bytes, **fields: Any) -> bytes:
    """A delivery as a web tier could write it, with its task to be sent by beat."""
    id = cast("bytes", intruder.xadd(f"{LEDGER}deliveries", {"called": "x"}))
    told = {"event": event, "state": "received", "received_at": "1", "called": "x"} | fields
    intruder.hset(f"{LEDGER}delivery:{id.decode()}", mapping=told)
    intruder.zadd(f"{LEDGER}unfinished", {id: 0})
    return id


def test_what_it_writes_into_the_ledger_holds_up_nobody_elses_delivery(
    ship: Ship, intruder: redis.Redis, git_repo: Repository, namespace: str, app: str
) -> None:
    forged = [
        _forge(intruder, b"no json"),
        _forge(intruder, b"\xff\xfe"),
        _forge(intruder, b"[]"),
        _forge(intruder, b"{}"),
        _forge(intruder, _event(kind="nonsense")),
        _forge(intruder, _event(changes=None)),
        _forge(intruder, _event(changes=[None, {}])),
        _forge(intruder, _event(repo_urls=["x" * 1_000_000] * 10)),
        _forge(intruder, _event(repo_urls=["--upload-pack=evil", "ext::sh -c evil", "\x00", "\ud7ff"])),
        _forge(
            intruder,
            _event(
                repo_urls=[git_repo.url],
                changes=[
                    {"ref": "refs/heads/main", "commit": "--upload-pack=touch /tmp/x", "before": "\x1b[2J"}
                ],
            ),
        ),
        _forge(intruder, _event(), received_at="nan"),
        _forge(intruder, _event(), received_at="yesterday"),
        _forge(intruder, _event(), attempts="many"),
        _forge(intruder, _event(), state="running", worker="x"),
    ]
    for name, where in (("1-1", "delivery"), ("1-2", "stages")):
        intruder.zadd(f"{LEDGER}unfinished", {name: 0})
        intruder.zadd(f"{LEDGER}{where}:{name}", {"garbage": 1})
    intruder.zadd(f"{LEDGER}unfinished", {b"\xff\xfe\x00": 0, b"": 0, b"x": 0, b"a" * 100_000: 0, b"2-2": 0})
    intruder.zadd(f"{LEDGER}unfinished", {b"\xfe": "inf", b"-": "inf", b"3-3": "inf"})
    intruder.hset(APPS, mapping={b"\xff\xfe": b"\xff", "x": "{}", "y": "[]", "z": _event()})
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})

    told = ship.finished(ship.deliver(git_repo, commit))

    assert told["state"] == "succeeded", told
    ship.synced(app, commit)
    with ship.redis() as client:
        until("all of it to be dealt with", lambda: client.zcard(f"{LEDGER}unfinished") <= 3)
        for id in forged:
            assert client.hget(f"{LEDGER}delivery:{id.decode()}", "state") in (b"failed", b"succeeded", None)
    with urllib.request.urlopen(f"http://127.0.0.1:{ship.port}/", timeout=10) as page:
        assert page.status == 200
    ship.reconcile(app)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_spoiling_its_own_delivery_does_not_stop_the_app(
    ship: Ship, intruder: redis.Redis, git_repo: Repository, namespace: str, app: str
) -> None:
    """It knows the ids that deliveries get, and may be there first."""
    ship.end("intake")
    first = git_repo.commit({"a.yaml": configmap("a", v="3")})
    id = ship.deliver(git_repo, first)
    script = "redis.call('LTRIM', KEYS[1], 1, 0) redis.call('ZADD', KEYS[1], 1, 'x')"
    with pytest.raises(redis.ResponseError):
        intruder.eval(script, 1, f"{LEDGER}stages:{id}")  # no command of it removes anything
    with pytest.raises(redis.ResponseError):
        intruder.rpush(f"mooring:parts:{id}", "x")
    intruder.hset(f"{LEDGER}delivery:{id}", "worker", "x" * 1000)

    ship.start("intake")

    ship.finished(id)
    ship.synced(app, first)


def test_it_may_take_the_place_of_what_is_empty_and_all_goes_on_without_it(
    ship: Ship, intruder: redis.Redis, git_repo: Repository, namespace: str, app: str
) -> None:
    with ship.redis() as client:
        until("an empty ledger", lambda: client.zcard(f"{LEDGER}unfinished") == 0 or _clear(client))
        intruder.rpush(f"{LEDGER}unfinished", "garbage")
        until("the ledger to be mended", lambda: client.type(f"{LEDGER}unfinished") != b"list")
    commit = git_repo.commit({"a.yaml": configmap("a", v="4")})

    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "succeeded"

    ship.synced(app, commit)


def _clear(client: redis.Redis) -> bool:
    client.delete(f"{LEDGER}unfinished")
    return False
