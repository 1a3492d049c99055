"""What was seen in namespaces that is nobody's is known to whoever looks at an app there."""

from __future__ import annotations

import redis

from mooring.keys import IN_CLUSTER, ClusterRef, ObjectKey
from mooring.store.connection import connect
from mooring.store.orphans import Orphans

HERE, THERE = IN_CLUSTER, ClusterRef("https://elsewhere.example.com")
ONE, TWO = ObjectKey("", "ConfigMap", "shop", "one"), ObjectKey("apps", "Deployment", "shop", "two")


def test_what_was_found_none_and_not_looked_for_are_three_things(redis_client: redis.Redis) -> None:
    orphans = Orphans(redis_client)
    orphans.put(HERE, {"shop": (TWO, ONE), "empty": (), "closed": "Secret cannot be listed: forbidden"})
    assert orphans.of(HERE, ["shop", "empty", "closed", "other"]) == {
        "shop": (ONE, TWO),
        "empty": (),
        "closed": "Secret cannot be listed: forbidden",
    }
    assert orphans.of(THERE, ["shop"]) == {}
    assert orphans.of(HERE, []) == {}


def test_what_nobody_asks_about_is_forgotten_and_the_rest_stays(redis_client: redis.Redis) -> None:
    orphans = Orphans(redis_client)
    orphans.put(HERE, {"shop": (ONE,), "old": (TWO,)})
    orphans.put(HERE, {})
    orphans.keep_only(HERE, {"shop"})
    assert orphans.of(HERE, ["shop", "old"]) == {"shop": (ONE,)}


def test_what_is_not_ours_counts_as_not_looked_for(redis_client: redis.Redis, redis_url: str) -> None:
    orphans = Orphans(connect(redis_url))
    for garbage in (b"{", b"[1]", b'["a"]', b"7"):
        redis_client.hset(f"mooring:orphans:{HERE}", "shop", garbage)
        assert orphans.of(HERE, ["shop"]) == {}
    redis_client.set(f"mooring:orphans:{HERE}", "a string")
    assert orphans.of(HERE, ["shop"]) == {}
    orphans.put(HERE, {"shop": (ONE,)})
    assert orphans.of(HERE, ["shop"]) == {"shop": (ONE,)}
