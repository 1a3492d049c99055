"""An operator empties Redis, or something else writes to our keys: nothing is lost but time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest
import redis

from devcluster.gitserver import Repository
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.store.connection import connect, in_one_trip
from mooring.store.due import DUE, DueSteps, Step
from mooring.store.proofs import Proofs
from mooring.store.shared import Shared
from mooring.store.turns import OPEN, PREFIX, Turns
from mooring.store.views import APPS, Views
from mooring.store.waiters import waiting_for
from tests.mooring.store.test_views import SHOP
from tests.stories.conftest import own_redis, ship, ship_config, ship_processes, ship_settings
from tests.stories.ship import Ship, configmap, until

__all__ = ["own_redis", "ship", "ship_config", "ship_processes", "ship_settings"]

APP = AppKey("home", "shop")
Spoil = Callable[[redis.Redis, str], object]
SPOILS: list[Spoil] = [
    lambda client, key: client.set(key, "text"),
    lambda client, key: client.rpush(key, "x"),
    lambda client, key: client.zadd(key, {"x": 1}),
    lambda client, key: client.hset(key, mapping={"wanted": "x", "expires": "y", b"\xff": b"\xfe"}),
    lambda client, key: client.sadd(key, b"\xff\xfe"),
]


def _spoilt(client: redis.Redis, spoil: Spoil, *keys: str) -> None:
    client.delete(*keys)
    for key in keys:
        spoil(client, key)


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_turn_that_is_none_is_begun_anew(redis_url: str, spoil: Spoil) -> None:
    client = connect(redis_url)
    turns = Turns(client, time.time)
    own = [f"{PREFIX}a", f"{PREFIX}a:wishes", f"{PREFIX}a:deliveries", OPEN, waiting_for("a")]
    for keys in ([key] for key in own):
        _spoilt(client, spoil, *keys)
        assert turns.want("good", {"look": "1"})
        turns.want("a", {"look": "1"}, ["1-1"])
        assert turns.orphans() is not None
        taken = turns.take("a")
        assert taken is not None
        assert taken.wishes["look"] == "1"
        _spoilt(client, spoil, *keys)
        turns.renew(taken)
        turns.park("a", 1.0)
        turns.release(taken, done=True)
        good = turns.take("good")
        assert good is not None
        turns.release(good, done=True)
        client.flushdb()


@pytest.mark.parametrize("spoil", SPOILS)
def test_one_garbled_turn_is_not_in_the_way_of_the_orphans(redis_url: str, spoil: Spoil) -> None:
    client = connect(redis_url)
    turns = Turns(client, time.time)
    turns.want("good", {"look": "1"})
    client.hset(f"{PREFIX}good", "queued", "1")
    client.sadd(OPEN, "bad", b"\xff")
    _spoilt(client, spoil, f"{PREFIX}bad")
    assert turns.orphans() == ("good",)


@pytest.mark.parametrize("spoil", SPOILS)
def test_caches_that_hold_something_else_are_empty_ones(redis_url: str, spoil: Spoil) -> None:
    client = connect(redis_url)
    proofs = f"mooring:proofs:here:{APP}"
    bases = "mooring:bases:here"
    _spoilt(client, spoil, APPS, proofs, bases, f"mooring:shared:here:{APP}", f"mooring:shares:here:{APP}")

    assert Proofs(client).of(ClusterRef("here"), APP, [ObjectKey("", "ConfigMap", "a", "b")]) == {}
    _spoilt(client, spoil, proofs)
    assert Proofs(client).load(ClusterRef("here"), APP) == {}
    assert APP not in Proofs(client).bases(ClusterRef("here"))
    _spoilt(client, spoil, bases)
    Proofs(client).rests_on(ClusterRef("here"), APP, "stone")
    assert Proofs(client).bases(ClusterRef("here"))[APP] == "stone"
    wants = {AppKey("home", "bakery"): [ObjectKey("", "ConfigMap", "a", "b")]}
    Shared(client).exchange(ClusterRef("here"), APP, wants)
    assert Views(client).apps() == ()
    Views(client).put(SHOP)
    Views(client).keep_only({AppKey(SHOP.namespace, SHOP.name)})
    assert Views(client).apps() == (SHOP,)


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_written_together_mends_each_its_own(redis_url: str, spoil: Spoil) -> None:
    client = connect(redis_url)
    here, bakery = ClusterRef("here"), AppKey("home", "bakery")

    def write(client: redis.Redis) -> None:
        Views(client).put(SHOP)
        Proofs(client).rests_on(here, APP, "stone")

    Proofs(client).rests_on(here, bakery, "sand")
    _spoilt(client, spoil, APPS)
    in_one_trip(client, write)
    assert Views(client).apps() == (SHOP,)
    assert Proofs(client).bases(here) == {APP: "stone", bakery: "sand"}, "nothing of others is lost"

    _spoilt(client, spoil, "mooring:bases:here")
    in_one_trip(client, write)
    assert Views(client).apps() == (SHOP,)
    assert Proofs(client).bases(here)[APP] == "stone"


@pytest.mark.parametrize("spoil", SPOILS)
def test_due_steps_are_taken_beside_garbage(redis_url: str, spoil: Spoil) -> None:
    client = connect(redis_url)
    due = DueSteps(client)
    _spoilt(client, spoil, DUE)
    due.take(time.time())
    client.delete(DUE)
    step = Step("mooring.turn", ("app:x",), "deploy")
    due.put(step, 1.0)
    client.zadd(DUE, {b"\xff": 0, b"{}": 0, b"[1]": 0, b"null": 0, b'["a", 1, "b"]': 0})
    assert due.take(time.time()) == (step,)


@pytest.mark.cluster
def test_an_emptied_redis_prunes_nothing_and_the_next_push_lands(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name = f"app-{secrets.token_hex(4)}"
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    files = {f"{item}.yaml": configmap(item, v="1") for item in "abc"}
    ship.synced(name, git_repo.commit(files))
    ship.quiet()
    before = {item: ship.configmap(namespace, item)["metadata"]["uid"] for item in "abc"}

    with ship.redis() as client:
        client.flushdb()
        client.rpush("mooring:lease:beat", "not a lease")
    until("beat to end without its lease", lambda: ship.children["beat"].poll() is not None)
    ship.revive()

    commit = git_repo.commit({"a.yaml": configmap("a", v="2"), "c.yaml": None})
    told = ship.finished(ship.deliver(git_repo, commit))
    assert told["state"] == "succeeded", told
    ship.synced(name, commit)
    assert {item: ship.configmap(namespace, item)["metadata"]["uid"] for item in "ab"} == {
        item: before[item] for item in "ab"
    }
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    until("what left Git to go", lambda: ship.configmap(namespace, "c") is None)
