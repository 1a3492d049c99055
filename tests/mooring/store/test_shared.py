"""Two apps that want the same object hear of each other."""

from __future__ import annotations

import redis

from mooring.keys import IN_CLUSTER, AppKey, ClusterRef, ObjectKey
from mooring.store.shared import Shared, Words

HERE, THERE = IN_CLUSTER, ClusterRef("https://elsewhere.example.com")
FIRST, SECOND = AppKey("home", "first"), AppKey("home", "second")
ONE, TWO = ObjectKey("", "ConfigMap", "shop", "one"), ObjectKey("apps", "Deployment", "shop", "two")


def test_an_owner_hears_what_others_want_of_its_own(redis_client: redis.Redis) -> None:
    shared = Shared(redis_client)
    assert shared.exchange(HERE, SECOND, {FIRST: [ONE, TWO]}) == Words({}, frozenset({FIRST}))
    assert shared.exchange(HERE, SECOND, {FIRST: [ONE, TWO]}).news == frozenset(), "told already"
    assert shared.exchange(HERE, FIRST, {}) == Words({SECOND: frozenset({ONE, TWO})}, frozenset())


def test_what_is_not_said_again_is_taken_back(redis_client: redis.Redis) -> None:
    shared = Shared(redis_client)
    shared.exchange(HERE, SECOND, {FIRST: [ONE, TWO]})
    shared.exchange(HERE, SECOND, {FIRST: [TWO]})
    assert shared.exchange(HERE, FIRST, {}).claims == {SECOND: frozenset({TWO})}
    assert shared.exchange(HERE, SECOND, {}).news == {FIRST}
    assert shared.exchange(HERE, FIRST, {}).claims == {}
    assert shared.exchange(HERE, SECOND, {}) == Words({}, frozenset())


def test_words_of_an_app_that_is_no_more_are_forgotten_and_garbage_is_not_heard(
    redis_client: redis.Redis,
) -> None:
    shared = Shared(redis_client)
    shared.exchange(HERE, SECOND, {FIRST: [ONE]})
    shared.forget(HERE, FIRST, SECOND)
    redis_client.hset(
        f"mooring:shared:{HERE}:home_first", mapping={"home_x": "{", "nobody": "[]", "home_y": "[1]"}
    )
    assert shared.exchange(HERE, FIRST, {}).claims == {}
    assert shared.exchange(HERE, SECOND, {FIRST: [ONE]}).news == {FIRST}, "another one of its name"


def test_the_same_object_of_another_cluster_is_another_object(redis_client: redis.Redis) -> None:
    shared = Shared(redis_client)
    shared.exchange(HERE, SECOND, {FIRST: [ONE]})
    assert shared.exchange(THERE, FIRST, {}).claims == {}
    assert shared.exchange(THERE, SECOND, {}) == Words({}, frozenset()), "what was said of here stays said"
    assert shared.exchange(HERE, FIRST, {}).claims == {SECOND: frozenset({ONE})}
