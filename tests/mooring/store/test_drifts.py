"""The drifts of an app in Redis: what is kept, what the web tier may see of it, and what is none of ours."""

from __future__ import annotations

import redis

from mooring.drift import Change, Done, Drift, What
from mooring.keys import AppKey, ObjectKey
from mooring.store.connection import connect
from mooring.store.drifts import Drifts

SHOP, OTHER = AppKey("mooring", "shop"), AppKey("mooring", "other")
A = ObjectKey("", "ConfigMap", "shop", "a")
ONE = Drift(
    A,
    What.CHANGED,
    (Change("data.v", '"was"', '"secret-looking"', "kubectl-edit", "Update", "", "2026-01-01T00:00:00Z"),),
    2,
    10.0,
    20.0,
    30.0,
    Done.LEFT,
    "selfHeal is off",
    3,
)


def test_what_was_kept_is_there_again_for_its_app_alone(redis_client: redis.Redis) -> None:
    drifts = Drifts(redis_client)
    drifts.save(SHOP, [ONE])
    drifts.looked([SHOP], 12.5)
    drifts.put_back(SHOP, {A: (4, 99.5)})
    assert drifts.load(SHOP) == ((ONE,), 12.5, {A: (4, 99.5)})
    assert drifts.load(OTHER) == ((), 0.0, {})
    drifts.keep_only({OTHER})
    assert drifts.of(SHOP) == ()


def test_of_what_is_forgotten_nothing_is_left_and_of_others_all(redis_client: redis.Redis) -> None:
    drifts = Drifts(redis_client)
    for app in (SHOP, OTHER):
        drifts.save(app, [ONE])
        drifts.looked([app], 12.5)
        drifts.put_back(app, {A: (4, 99.5)})
    drifts.forget(SHOP)
    assert (drifts.load(SHOP), drifts.shown(SHOP)) == (((), 0.0, {}), ())
    assert (drifts.load(OTHER), drifts.shown(OTHER)[0].key) == (((ONE,), 12.5, {A: (4, 99.5)}), A)


def test_who_says_that_an_app_was_looked_at_hears_what_had_drifted_of_it(redis_url: str) -> None:
    redis_client = connect(redis_url)
    drifts = Drifts(redis_client)
    drifts.save(SHOP, [ONE])
    assert drifts.looked_at(SHOP, 12.5) == (ONE,)
    assert drifts.looked_at(OTHER, 13.5) == ()
    assert (drifts.load(SHOP)[1], drifts.load(OTHER)[1]) == (12.5, 13.5)
    for key in ("mooring:drifts", "mooring:drifts:looked"):
        redis_client.delete(key)
        redis_client.set(key, "garbage")
        assert drifts.looked_at(SHOP, 14.5) == ()
        assert drifts.load(SHOP)[1] == 14.5


def test_the_web_tier_sees_no_value(redis_client: redis.Redis) -> None:
    drifts = Drifts(redis_client)
    drifts.save(SHOP, [ONE])
    (shown,) = drifts.shown(SHOP)
    assert (shown.changes[0].field, shown.changes[0].manager) == ("data.v", "kubectl-edit")
    for key in redis_client.keys("mooring:view:*"):
        for value in redis_client.hvals(key):
            assert b"secret-looking" not in value
            assert b"was" not in value


def test_what_is_none_of_ours_is_left_out_and_stops_nothing(redis_url: str) -> None:
    redis_client = connect(redis_url)
    drifts = Drifts(redis_client)
    drifts.save(SHOP, [ONE])
    for text in (b"\xff", b"{}", b"7", b'[{"key": "a"}, 7, null]', b"[[]]"):
        redis_client.hset("mooring:view:drifts", str(SHOP), text)
        assert drifts.shown(SHOP) == ()
    redis_client.delete("mooring:drifts", "mooring:view:drifts")
    redis_client.set("mooring:drifts", "garbage")
    redis_client.set("mooring:view:drifts", "garbage")
    assert drifts.shown(SHOP) == ()
    assert drifts.load(SHOP)[0] == ()
    drifts.save(SHOP, [ONE])
    assert drifts.of(SHOP) == (ONE,)
    redis_client.hset(f"mooring:drifts:putback:{SHOP}", "no key", "[1]")
    assert drifts.load(SHOP)[2] == {}
