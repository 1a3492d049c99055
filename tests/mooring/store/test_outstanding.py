"""Stories of deliveries that wait for their parts."""

from __future__ import annotations

import pytest
import redis

from mooring.store.outstanding import Outstanding


@pytest.fixture
def outstanding(redis_client: redis.Redis) -> Outstanding:
    return Outstanding(redis_client)


def test_a_delivery_is_finished_with_its_last_part(outstanding: Outstanding) -> None:
    outstanding.add(["d1"], ["push:a"])
    outstanding.add(["d1"], ["app:x", "app:y"])
    assert outstanding.done(["d1"], "push:a") == {}
    assert outstanding.done(["d1"], "app:x") == {}
    assert outstanding.done(["d1"], "app:y") == {"d1": {}}


def test_a_burst_is_told_at_once_and_each_gets_its_own_failures(outstanding: Outstanding) -> None:
    many = [f"d{number}" for number in range(1_000)]
    outstanding.add(many, ["app:x", "app:y"])
    outstanding.add(["d7"], ["app:z"])
    outstanding.done(["d3"], "app:x", "broken YAML")
    assert outstanding.done([d for d in many if d != "d3"], "app:x") == {}
    ended = outstanding.done(many, "app:y")
    assert set(many) - set(ended) == {"d7"}
    assert {d: failures for d, failures in ended.items() if failures} == {"d3": {"app:x": "broken YAML"}}


def test_telling_twice_counts_once(outstanding: Outstanding) -> None:
    outstanding.add(["d1"], ["app:x", "app:y"])
    assert outstanding.done(["d1"], "app:x") == {}
    assert outstanding.done(["d1"], "app:x") == {}
    assert outstanding.done(["d1"], "app:y") == {"d1": {}}


def test_every_failure_is_kept_until_the_end(outstanding: Outstanding) -> None:
    outstanding.add(["d1"], ["app:x", "app:y", "app:z"])
    assert outstanding.done(["d1"], "app:x", "broken YAML") == {}
    assert outstanding.done(["d1"], "app:y") == {}
    assert outstanding.done(["d1"], "app:z", "no such kind") == {
        "d1": {
            "app:x": "broken YAML",
            "app:z": "no such kind",
        }
    }


def test_a_part_that_failed_and_then_succeeded_has_not_failed(outstanding: Outstanding) -> None:
    # A replay keeps the delivery's id.
    outstanding.add(["d1"], ["app:x"])
    assert outstanding.done(["d1"], "app:x", "the host was away") == {"d1": {"app:x": "the host was away"}}
    outstanding.add(["d1"], ["app:x"])
    assert outstanding.done(["d1"], "app:x") == {"d1": {}}


def test_deliveries_do_not_answer_for_each_other(outstanding: Outstanding) -> None:
    outstanding.add(["d1", "d2"], ["app:x"])
    assert outstanding.done(["d1"], "app:x", "broken") == {"d1": {"app:x": "broken"}}
    assert outstanding.done(["d2"], "app:x") == {"d2": {}}


def test_what_waits_and_what_failed_is_forgotten_in_the_end(
    outstanding: Outstanding, redis_client: redis.Redis
) -> None:
    outstanding.add(["d1"], ["app:x", "app:y"])
    outstanding.done(["d1"], "app:x", "broken")
    outstanding.add(["d2"], [])
    keys = list(redis_client.scan_iter())
    assert len(keys) == 2
    assert all(redis_client.ttl(key) > 0 for key in keys)
