"""What the web tier tells of applications and clusters: what workers have recorded, and nothing else."""

from __future__ import annotations

import time

import pytest
import redis
from flask.testing import FlaskClient

from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.settings_web import Secret, WebSettings
from mooring.store.connection import connect
from mooring.store.connections import FAILED, SUCCESSFUL, Connection, Connections
from mooring.store.trees import MOST_ASKED, Trees
from mooring.store.views import AppView, Counted, Views
from webhook.app import create_app

SHOP = AppKey("mooring", "shop")
TREE = "/api/v1/applications/mooring/shop/tree"
SHOWN = AppView("shop", "mooring", "default", "Synced", "Healthy", "a" * 40, "", "", "", 1.5)
ORPHANS = "/api/v1/applications/mooring/shop/orphans"


@pytest.fixture
def web(redis_url: str) -> FlaskClient:
    return create_app(WebSettings(redis_url=redis_url, secrets={"github": (Secret(b"s"),)})).test_client()


@pytest.fixture
def views(redis_url: str) -> Views:
    return Views(connect(redis_url))


def test_orphans_are_told_as_they_were_counted(web: FlaskClient, views: Views) -> None:
    left = ObjectKey("apps", "Deployment", "shop", "left")
    views.put_orphans({SHOP: Counted(12.5, (left,))})
    assert web.get(ORPHANS).get_json() == {
        "countedAt": 12.5,
        "orphans": [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "left"}],
        "moreOrphans": 0,
        "why": "",
    }
    views.put_orphans({SHOP: Counted(13.5, why="Pod cannot be listed")})
    told = web.get(ORPHANS).get_json()
    assert (told["orphans"], told["why"]) == ([], "Pod cannot be listed")


def test_orphans_that_nobody_counts_are_not_said_to_be_none(web: FlaskClient, views: Views) -> None:
    assert web.get(ORPHANS).status_code == 404
    views.put_orphans({SHOP: Counted(12.5)})
    assert web.get(ORPHANS).get_json()["orphans"] == []
    views.put_orphans({SHOP: None})
    answer = web.get(ORPHANS)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_clusters_are_told_without_their_words_and_without_the_version_of_a_secret(
    web: FlaskClient, redis_url: str
) -> None:
    connections = Connections(connect(redis_url))
    assert web.get("/api/v1/clusters").get_json() == []
    connections.put(ClusterRef("https://a"), Connection(SUCCESSFUL, "near", "version-1", 10.0, "v1.37.0"))
    why = "it says: Authorization: Bearer canary"
    connections.put(ClusterRef("https://b"), Connection(FAILED, "far", "version-2", 11.0, "", why, 3, 19.0))
    answer = web.get("/api/v1/clusters")
    rest = {"version": "", "lastAskedAt": 11.0, "failures": 3}
    assert answer.get_json() == [
        {
            "server": "https://a",
            "name": "near",
            "status": "Successful",
            "version": "v1.37.0",
            "lastAskedAt": 10.0,
            "failures": 0,
        },
        {"server": "https://b", "name": "far", "status": "Failed", **rest},
    ]
    assert "canary" not in answer.text and "version-" not in answer.text
    known = connections.of(ClusterRef("https://b"))
    assert known is not None and known.message == why, "who may read all knows why"
    connections.forget(ClusterRef("https://b"))
    assert [one["name"] for one in web.get("/api/v1/clusters").get_json()] == ["near"]


def test_a_tree_is_asked_for_once_and_told_once_a_worker_has_looked(
    web: FlaskClient, views: Views, redis_url: str
) -> None:
    trees = Trees(connect(redis_url))
    assert web.get(TREE).status_code == 404 and trees.next() is None, "nobody looks for what is not there"
    views.put(SHOWN)
    for _ in range(3):
        answer = web.get(TREE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    assert (trees.next(), trees.next()) == (SHOP, None)

    tree = {"seenAt": time.time(), "objects": [], "moreObjects": 0, "unseenKinds": [], "seen": True}
    trees.put(SHOP, tree)
    trees.done()
    assert web.get(TREE).get_json() == tree
    assert trees.next() is None, "it was just looked at"
    trees.put(SHOP, tree | {"seenAt": 1.0})
    assert web.get(TREE).get_json()["seenAt"] == 1.0
    assert trees.next() == SHOP, "meanwhile it is told as it was"


def test_there_is_one_look_at_a_time_and_so_many_wait_and_no_more(
    web: FlaskClient, views: Views, redis_url: str
) -> None:
    trees = Trees(connect(redis_url))
    for number in range(MOST_ASKED):
        assert trees.ask(AppKey("mooring", f"n{number}"))
    views.put(SHOWN)
    answer = web.get(TREE)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    first = trees.next()
    assert first == AppKey("mooring", "n0") and trees.next() is None
    assert web.get(TREE).status_code == 202
    trees.done()
    assert trees.next() == AppKey("mooring", "n1")


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"at":[],"found":1}', b"\xff", b"9" * 99])
def test_what_cannot_be_read_is_as_good_as_nothing(
    web: FlaskClient, redis_client: redis.Redis, value: bytes
) -> None:
    redis_client.hset("mooring:view:orphans", str(SHOP), value)
    redis_client.hset("mooring:view:clusters", "https://a", value)
    assert web.get(ORPHANS).status_code == 404
    assert web.get("/api/v1/clusters").get_json() == []
    redis_client.hset("mooring:view:tree:mooring_shop", "tree", value)
    assert web.get(TREE).status_code == 404


def test_what_somebody_else_has_left_there_stops_nobody(
    web: FlaskClient, views: Views, redis_url: str, redis_client: redis.Redis
) -> None:
    views.put(SHOWN)
    trees = Trees(connect(redis_url))
    redis_client.set("mooring:view:trees", "no set")
    assert web.get(TREE).status_code == 503
    assert trees.next() is None
    assert web.get(TREE).status_code == 202, "a worker has mended it"
    redis_client.delete("mooring:view:trees")
    redis_client.zadd("mooring:view:trees", {b"\xff": 1, b"nobody": 2, b"mooring_shop": 3})
    assert [trees.next() for _ in range(3)] == [None, None, SHOP]
