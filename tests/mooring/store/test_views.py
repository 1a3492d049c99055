"""Stories of the read models that the web tier shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from mooring.keys import AppKey, ObjectKey
from mooring.store.views import APPS, AppView, Counted, Views

SHOP = AppView(
    name="shop",
    namespace="mooring",
    project="default",
    sync="Synced",
    health="Healthy",
    revision="a" * 40,
    message="",
    repo="https://git.example.com/shop",
    destination="https://kubernetes.default.svc/shop",
    updated_at=1.5,
)


@pytest.fixture
def views(redis_client: redis.Redis) -> Views:
    return Views(redis_client)


def test_apps_are_shown_by_namespace_and_name(views: Views) -> None:
    bakery, other = replace(SHOP, name="bakery"), replace(SHOP, namespace="a")
    for view in (SHOP, bakery, other):
        views.put(view)
    assert views.apps() == (other, bakery, SHOP)


def test_the_newest_view_of_an_app_counts(views: Views) -> None:
    views.put(SHOP)
    views.put(replace(SHOP, sync="OutOfSync"))
    assert [view.sync for view in views.apps()] == ["OutOfSync"]


def test_apps_that_are_no_more_are_forgotten(views: Views) -> None:
    views.put(SHOP)
    views.put(replace(SHOP, name="bakery"))
    views.keep_only({AppKey("mooring", "shop")})
    assert views.apps() == (SHOP,)
    views.keep_only(set())
    assert views.apps() == ()


def test_of_many_orphans_some_are_named_and_all_are_counted(views: Views) -> None:
    shop, bakery = AppKey("mooring", "shop"), AppKey("mooring", "bakery")
    found = tuple(ObjectKey("", "ConfigMap", "shop", f"n{number}") for number in range(501))
    views.put_orphans({shop: Counted(1.5, found), bakery: Counted(1.5, found[:1])})
    told = views.orphans(shop)
    assert told == Counted(1.5, found[:-1], more=1)
    views.keep_only({bakery})
    assert views.orphans(shop) is None and views.orphans(bakery) == Counted(1.5, found[:1])


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"name":"x"}', b"\xff", b'{"unknown":1}'])
def test_an_unreadable_view_is_left_out(views: Views, redis_client: redis.Redis, value: bytes) -> None:
    views.put(SHOP)
    redis_client.hset(APPS, "mooring_broken", value)
    assert views.apps() == (SHOP,)
