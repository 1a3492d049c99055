"""`mooring delivery` on a real ledger."""

from __future__ import annotations

import json

import pytest
import redis

from mooring.delivery import DeliveryState, Event, EventKind, RefChange, Stage
from mooring.names import INTAKE, TASK_DELIVER
from mooring.store.connection import QUEUE
from mooring.store.ledger import Ledger, Recorded
from tests.cli.conftest import Mooring

pytestmark = pytest.mark.cluster  # the fixture `mooring` has one at hand

_AT = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
_EVENT = Event(
    host="github",
    kind=EventKind.PUSH,
    name="push",
    delivery="d-1",
    repo_urls=("https://bob:hunter2@github.com/acme/shop.git",),
    changes=(RefChange("refs/heads/main", "ab" * 20),),
    sender="bob",
)


def _recorded(client: redis.Redis) -> tuple[Ledger, str]:
    ledger = Ledger(client)
    recorded = ledger.record(_EVENT, _AT)
    assert isinstance(recorded, Recorded)
    ledger.stage(recorded.id, Stage("fetched", _AT + 0.25, 100, "", "abab"))
    ledger.stage(recorded.id, Stage("applied", _AT + 1.5, 1250, "mooring_shop"))
    return ledger, recorded.id


def test_a_time_line_has_every_stage_with_its_duration(mooring: Mooring, redis_client: redis.Redis) -> None:
    ledger, id = _recorded(redis_client)
    ledger.finish([id], True, "synced")
    shown = mooring("delivery", "get", id).stdout
    assert "State:      succeeded\nOutcome:    synced\n" in shown
    assert "Change:     refs/heads/main -> abababababababababababababababababababab\n" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["fetched", "250", "ms", "100", "ms", "abab"] in lines
    assert ["applied", "1.5", "s", "1.2", "s", "mooring/shop"] in lines
    assert "hunter2" not in shown


def test_the_list_is_read_by_people_and_by_programs(mooring: Mooring, redis_client: redis.Redis) -> None:
    _, id = _recorded(redis_client)
    people = mooring("delivery", "list").stdout.splitlines()
    assert people[0].startswith("ID ")
    assert people[1].split()[0] == id
    assert "2023-11-14 22:13:20" in people[1]
    found = json.loads(mooring("delivery", "list", "-o", "json").stdout)
    assert [each["id"] for each in found] == [id]
    assert found[0]["repositories"] == ["https://github.com/acme/shop.git"]
    assert mooring("delivery", "list", "-o", "name").stdout == f"{id}\n"


def test_many_failures_do_not_break_the_list(mooring: Mooring, redis_client: redis.Redis) -> None:
    ledger, id = _recorded(redis_client)
    outcome = "; ".join(f"mooring/shop-{n}: a.yaml:{n}: is not YAML" for n in range(20))
    ledger.finish([id], False, outcome)
    (row,) = mooring("delivery", "list").stdout.splitlines()[1:]
    assert "mooring/shop-0: a.yaml:0: is not YAML; " in row
    assert row.endswith("…")
    assert "shop-19" not in row
    assert outcome in mooring("delivery", "list", "-o", "wide").stdout
    assert outcome in mooring("delivery", "get", id).stdout


def test_a_replay_puts_the_delivery_on_the_queue_again(mooring: Mooring, redis_client: redis.Redis) -> None:
    ledger, id = _recorded(redis_client)
    early = mooring("delivery", "replay", id)
    assert early.returncode == 20
    assert "only a finished one" in early.stderr
    ledger.finish([id], False, "broken")
    done = mooring("delivery", "replay", id)
    assert done.returncode == 0, done.stderr
    found = ledger.get(id)
    assert found is not None
    assert found.state is DeliveryState.ENQUEUED
    waiting = redis_client.lrange(QUEUE + INTAKE, 0, -1)
    assert [json.loads(message)["headers"]["task"] for message in waiting] == [TASK_DELIVER]


def test_an_unknown_delivery_is_said_with_the_next_step(mooring: Mooring) -> None:
    done = mooring("delivery", "get", "1-0")
    assert done.returncode == 13
    assert "`mooring delivery list`" in done.stderr


def test_without_a_redis_the_next_step_is_named(mooring: Mooring) -> None:
    done = mooring("delivery", "list", MOORING_REDIS_URL="")
    assert done.returncode == 20
    assert "MOORING_REDIS_URL" in done.stderr
