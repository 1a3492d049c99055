"""What a person and a program see: the status page, and a delivery as JSON."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient

from mooring.delivery import Event, EventKind, RefChange, Stage
from mooring.settings_web import WebSettings
from mooring.store.connection import connect
from mooring.store.ledger import Ledger, Recorded
from mooring.store.views import AppView, Views
from webhook.app import create_app

EVIL = "<script>alert(1)</script>\" onload='x'"


@pytest.fixture
def web(redis_url: str) -> FlaskClient:
    return create_app(WebSettings(redis_url=redis_url)).test_client()


def record(redis_url: str, text: str = "acme") -> str:
    ledger = Ledger(connect(redis_url))
    event = Event(
        host="github",
        kind=EventKind.PUSH,
        name="push",
        delivery=text,
        repo_urls=(f"https://ada:s3cret@git.example.com/{text}/shop.git",),
        changes=(RefChange("refs/heads/main", "a" * 40), RefChange("refs/heads/gone", None)),
        sender=text,
    )
    kept = ledger.record(event, time.time())
    assert isinstance(kept, Recorded)
    ledger.begin(kept.id, "worker", 30)
    for stage in (
        Stage("fetched", 1.0, 131.4),
        Stage("applied", 2.0, 20.0, "mooring_shop"),
        Stage("applied", 2.0, 1500.0, "mooring_bank"),
        Stage("untouched", 2.0, 0.0, note="298 applications by 0123456789ab"),
    ):
        ledger.stage(kept.id, stage)
    ledger.finish([kept.id], False, text)
    return kept.id


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_an_empty_page_says_what_to_do_next(web: FlaskClient) -> None:
    page = web.get("/")
    assert page.status_code == 200
    assert "Create an <code>Application</code>" in page.text
    assert "/webhooks/&lt;host&gt;" in page.text


def test_the_page_shows_applications_and_the_stages_of_deliveries(web: FlaskClient, redis_url: str) -> None:
    Views(connect(redis_url)).put(
        AppView(
            name="shop",
            namespace="mooring",
            project="default",
            sync="Synced",
            health="Healthy",
            revision="0123456789abcdef, fedcba9876543210",
            message="",
            repo="https://git.example.com/acme/shop.git",
            destination="in-cluster/shop",
            updated_at=time.time(),
        )
    )
    id = record(redis_url)
    text = web.get("/").text
    for shown in (
        "mooring/shop",
        "Synced",
        "Healthy",
        ">01234567, fedcba98<",
        id,
        "refs/heads/main",
        "deleted",
        "failed",
    ):
        assert shown in text
    for duration in ("<strong>131 ms</strong>", "<strong>1.5 s</strong> <small>longest of 2</small>"):
        assert duration in text
    assert "untouched 298 applications by 0123456789ab" in text
    assert "s3cret" not in text


def test_nothing_on_the_page_can_run(web: FlaskClient, redis_url: str) -> None:
    record(redis_url, EVIL)
    view = dict.fromkeys(["project", "sync", "health", "revision", "message", "repo", "destination"], EVIL)
    Views(connect(redis_url)).put(AppView(name=EVIL, namespace="mooring", updated_at=1.0, **view))
    page = web.get("/")
    found = _Tags()
    found.feed(page.text)
    assert "script" not in found.tags
    assert not [name for name in found.attributes if name.startswith("on")]
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy


def test_a_delivery_is_told_as_json_without_credentials(web: FlaskClient, redis_url: str) -> None:
    id = record(redis_url)
    content = web.get(f"/api/v1/deliveries/{id}").get_json()
    assert (content["id"], content["state"], content["outcome"]) == (id, "failed", "acme")
    assert [stage["name"] for stage in content["stages"]] == [
        "received",
        "fetched",
        "applied",
        "applied",
        "untouched",
    ]
    assert content["repositories"] == ["https://git.example.com/acme/shop.git"]
    assert web.get("/api/v1/deliveries/1-1").status_code == 404


def test_probes_answer(web: FlaskClient) -> None:
    assert web.get("/healthz").status_code == 200
    assert web.get("/readyz").status_code == 200
