"""What is counted under which labels, and what a stranger cannot make of it."""

from __future__ import annotations

import pytest
import redis
from prometheus_client import CollectorRegistry

from mooring.names import INTAKE, TASK_TURN
from mooring.store.connection import QUEUE, connect
from mooring.store.due import Step
from mooring.store.ledger import ID_PLACE
from mooring.store.views import AppView, Views
from webhook.queue import task_message
from workers.celery_app import make, send
from workers.gauges import Installation, sent_at
from workers.metrics import PUSH_APPLIED, applied, asked

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("GET", "/api/v1/namespaces/shop/configmaps/web", ""), ("get", "core")),
        (("GET", "/api/v1/namespaces/shop/configmaps", ""), ("list", "core")),
        (("GET", "/api/v1/namespaces/shop", ""), ("get", "core")),
        (("GET", "/api/v1/namespaces", ""), ("list", "core")),
        (("GET", "/apis/apps/v1/deployments", ""), ("list", "apps")),
        (("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", _APPLY), ("apply", "apps")),
        (
            ("PATCH", "/apis/argoproj.io/v1alpha1/namespaces/m/applications/a", _MERGE),
            ("patch", "argoproj.io"),
        ),
        (("POST", "/api/v1/namespaces/shop/events", ""), ("create", "core")),
        (("PUT", "/api/v1/namespaces/shop/configmaps/web", ""), ("update", "core")),
        (("DELETE", "/apis/batch/v1/namespaces/shop/jobs/one", ""), ("delete", "batch")),
        (("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/status", _MERGE), ("patch", "apps")),
        (("GET", "/version", ""), ("discover", "")),
        (("GET", "/apis", ""), ("discover", "")),
        (("GET", "/api", ""), ("discover", "")),
    ],
)
def test_requests_are_told_apart_by_verb_and_group(
    request_: tuple[str, str, str], expected: tuple[str, str]
) -> None:
    assert asked(*request_) == expected


def test_a_delivery_is_timed_from_when_its_id_says_and_nonsense_is_passed_over() -> None:
    def told() -> dict[str, float]:
        (metric,) = PUSH_APPLIED.collect()
        return {sample.name + sample.labels.get("le", ""): sample.value for sample in metric.samples}

    before = told()
    applied(["1700000000000-0", "1700000000150-7", "nonsense", "", "9" * 40 + "-0"], 1700000000.25)
    after = told()
    assert after["mooring_push_applied_seconds_count"] - before["mooring_push_applied_seconds_count"] == 2
    assert after["mooring_push_applied_seconds_sum"] - before[
        "mooring_push_applied_seconds_sum"
    ] == pytest.approx(0.25 + 0.1)


def gauges(redis_url: str, now: float = 0.0) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Installation(connect(redis_url), lambda: now))
    return registry


def test_the_age_of_a_queue_is_that_of_its_first_task(redis_url: str, redis_client: redis.Redis) -> None:
    app = make("mooring-test", redis_url)
    for name in ("first", "second"):
        send(app, Step(TASK_TURN, (name,), "deploy"))
    task = redis_client.lindex(QUEUE + "deploy", -1)
    assert isinstance(task, bytes)
    first = sent_at(task)
    redis_client.lpush(QUEUE + INTAKE, task_message().replace(ID_PLACE, "1700000000000-0"))

    found = gauges(redis_url, first + 7.0)

    assert found.get_sample_value("mooring_queue_length", {"queue": "deploy"}) == 2
    assert found.get_sample_value("mooring_queue_oldest_seconds", {"queue": "deploy"}) == pytest.approx(7.0)
    waited = found.get_sample_value("mooring_queue_oldest_seconds", {"queue": "intake"})
    assert waited == pytest.approx(first + 7.0 - 1700000000)
    assert found.get_sample_value("mooring_queue_oldest_seconds", {"queue": "slow"}) == 0


@pytest.mark.parametrize(
    "message",
    [b"", b"{", b"[]", b"7", b'{"headers": 5}', b'{"headers": {"task": "x", "sent_at": "soon"}}', b"\xff"],
)
def test_a_message_that_nobody_of_ours_wrote_has_no_age(message: bytes) -> None:
    assert sent_at(message) == 0.0


def test_words_of_the_web_tier_become_no_labels(redis_url: str, redis_client: redis.Redis) -> None:
    for name, sync in (("a", "Synced"), ("b", "a-word-of-a-stranger")):
        view = AppView(name, "m", "default", sync, "Healthy\n", "", "", "", "", 0.0)
        Views(redis_client).put(view)

    found = gauges(redis_url)

    assert found.get_sample_value("mooring_applications", {"sync": "Synced", "health": "Unknown"}) == 1
    assert found.get_sample_value("mooring_applications", {"sync": "Unknown", "health": "Unknown"}) == 1


def test_what_is_garbled_hides_nothing_else(redis_url: str, redis_client: redis.Redis) -> None:
    redis_client.set("mooring:ledger:unfinished", "no sorted set")
    redis_client.set("mooring:view:apps", "no hash")
    found = gauges(redis_url)
    assert found.get_sample_value("mooring_redis_up") == 1
    assert found.get_sample_value("mooring_queue_length", {"queue": "deploy"}) == 0
    assert found.get_sample_value("mooring_deliveries_unfinished") is None


def test_a_redis_that_is_away_is_told_as_such() -> None:
    found = gauges("redis://127.0.0.1:1/0")
    assert found.get_sample_value("mooring_redis_up") == 0
    assert found.get_sample_value("mooring_queue_length", {"queue": "deploy"}) is None
