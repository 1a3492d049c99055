"""Who waits for somebody else's turn is known until it was woken."""

from __future__ import annotations

import redis

from mooring.store.connection import connect
from mooring.store.waiters import Waiters


def test_who_waits_is_known_until_it_was_woken(redis_client: redis.Redis) -> None:
    waiters = Waiters(redis_client)
    waiters.add(["app:m_database", "push:1"], "app:m_shop")
    waiters.add(["app:m_database"], "app:m_blog")
    waiters.add(["app:m_database"], "app:m_shop")
    assert waiters.of("app:m_database") == ("app:m_blog", "app:m_shop")
    waiters.forget("app:m_database", ["app:m_shop"])
    assert waiters.of("app:m_database") == ("app:m_blog",)
    assert waiters.of("push:1") == ("app:m_shop",)
    assert waiters.of("push:2") == ()


def test_nobody_waits_for_ever_and_what_is_no_set_is_begun_anew(
    redis_url: str, redis_client: redis.Redis
) -> None:
    waiters = Waiters(connect(redis_url))
    redis_client.set("mooring:waiting:app:m_database", "rubbish")
    assert waiters.of("app:m_database") == ()
    waiters.add(["app:m_database"], "app:m_shop")
    assert waiters.of("app:m_database") == ("app:m_shop",)
    assert 0 < redis_client.ttl("mooring:waiting:app:m_database") <= 86_400
