"""What the ledger promises: nothing accepted is lost, nothing sent twice is done twice."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count

import pytest
import redis

from devcluster.redis import RedisServer
from mooring.delivery import DeliveryState, Event, EventKind, RefChange, Stage
from mooring.errors import Refused, StoreGarbled, StoreUnavailable
from mooring.store.connection import connect
from mooring.store.ledger import Duplicate, Full, Ledger, Recorded
from mooring.store.turns import Turns
from mooring.store.views import Views
from tests.deliveries import known
from tests.mooring.store.test_views import SHOP

_numbers = count()


def push(delivery: str = "") -> Event:
    return Event(
        host="github",
        kind=EventKind.PUSH,
        name="push",
        delivery=delivery or f"delivery-{next(_numbers)}",
        repo_urls=("https://github.com/acme/shop.git", "git@github.com:acme/shop.git"),
        changes=(RefChange("refs/heads/main", "a" * 40, None), RefChange("refs/tags/v1", None, "b" * 40)),
        default_branch="main",
        sender="ada",
    )


@pytest.fixture
def ledger(redis_url: str) -> Ledger:
    return Ledger(connect(redis_url))


def record(ledger: Ledger, event: Event | None = None) -> str:
    kept = ledger.record(event or push(), time.time())
    assert isinstance(kept, Recorded)
    return kept.id


def test_what_is_recorded_is_read_back_as_it_was(ledger: Ledger) -> None:
    event = push()
    id = record(ledger, event)

    found = ledger.get(id)

    assert found is not None
    assert (found.id, found.event, found.state) == (id, event, DeliveryState.RECEIVED)
    assert [stage.name for stage in found.stages] == ["received"]


def test_a_delivery_goes_from_received_to_succeeded(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.mark_enqueued(id, Stage("enqueued", 1.0, 0.5))
    assert known(ledger, id).state is DeliveryState.ENQUEUED
    assert ledger.begin(id, "worker-1", 30).attempt == 1
    assert known(ledger, id).state is DeliveryState.RUNNING
    ledger.stage(id, Stage("fetched", 2.0, 130.0))
    ledger.stages(
        [(id, Stage("rendered", 3.0, 4.0, "mooring_shop")), (id, Stage("applied", 4.0, 9.0, "mooring_shop"))]
    )
    ledger.finish([id], True, "1 application synced")

    found = ledger.get(id)

    assert found is not None
    assert (found.state, found.outcome) == (DeliveryState.SUCCEEDED, "1 application synced")
    assert [s.name for s in found.stages] == ["received", "enqueued", "fetched", "rendered", "applied"]
    assert ledger.unfinished() == 0


@pytest.mark.parametrize("progress", ["received", "enqueued", "running", "succeeded"])
def test_a_duplicate_is_suppressed_while_the_first_runs_or_has_succeeded(
    ledger: Ledger, progress: str
) -> None:
    id = record(ledger, push("same"))
    if progress != "received":
        ledger.mark_enqueued(id)
    if progress in ("running", "succeeded"):
        ledger.begin(id, "worker", 30)
    if progress == "succeeded":
        ledger.finish([id], True, "")

    assert ledger.record(push("same"), time.time()) == Duplicate(id)


def test_a_failed_delivery_may_be_sent_again(ledger: Ledger) -> None:
    first = record(ledger, push("same"))
    ledger.begin(first, "worker", 30)
    ledger.finish([first], False, "the cluster was away")

    second = record(ledger, push("same"))

    assert second != first
    assert ledger.record(push("same"), time.time()) == Duplicate(second)


def test_the_same_id_from_another_host_is_another_delivery(ledger: Ledger) -> None:
    first = record(ledger, push("same"))
    assert record(ledger, replace(push("same"), host="gitea")) != first


def test_a_full_ledger_takes_no_more_until_something_is_finished(redis_url: str) -> None:
    ledger = Ledger(connect(redis_url), max_unfinished=2)
    first, _ = record(ledger), record(ledger)
    assert ledger.record(push(), time.time()) == Full(2)

    ledger.begin(first, "worker", 30)
    ledger.finish([first], True, "")

    record(ledger)


def test_a_delivery_that_was_never_enqueued_is_overdue_after_five_seconds(ledger: Ledger) -> None:
    id = record(ledger)
    assert ledger.overdue(time.time() + 3) == ()
    assert ledger.overdue(time.time() + 6) == (id,)


def test_a_delivery_that_merely_waits_is_never_overdue(ledger: Ledger) -> None:
    on_the_queue, in_steps = record(ledger), record(ledger)
    ledger.mark_enqueued(on_the_queue)
    ledger.begin(in_steps, "worker", 30)
    assert ledger.hand_over([in_steps], "worker")

    assert ledger.overdue(time.time() + 1e9) == ()


def test_a_task_that_died_with_a_worker_before_it_began_can_be_told_from_running_ones(ledger: Ledger) -> None:
    waits, runs, handed = (record(ledger) for _ in range(3))
    for id in (waits, runs, handed):
        ledger.mark_enqueued(id)
    ledger.begin(runs, "w", 5)
    ledger.begin(handed, "w", 5)
    ledger.hand_over([handed], "w")
    assert ledger.stranded(time.time() + 1) == (waits,)
    assert ledger.stranded(time.time() - 10) == ()


def test_a_delivery_of_a_dead_worker_is_overdue_and_goes_to_another(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.mark_enqueued(id)
    assert ledger.begin(id, "dies", 0).attempt == 1
    assert ledger.overdue(time.time() + 1) == (id,)

    ledger.mark_enqueued(id)
    assert ledger.overdue(time.time() + 1e9) == ()
    assert ledger.begin(id, "takes over", 30).attempt == 2

    assert not ledger.renew(id, "dies", 30)
    assert not ledger.hand_over([id], "dies")


def test_a_delivery_that_is_put_off_comes_again_and_was_no_attempt(ledger: Ledger) -> None:
    first, second = record(ledger), record(ledger)
    for id in (first, second):
        ledger.mark_enqueued(id)
    for _ in range(20):
        begun = ledger.begin(first, "lives", 30, 200)
        assert (begun.attempt, [each.id for each in begun.deliveries]) == (1, [first, second])
        ledger.put_off([first, second], "lives", 5)
        assert ledger.overdue(time.time() + 4) == ()
        assert set(ledger.overdue(time.time() + 6)) == {first, second}
        for id in (first, second):
            ledger.mark_enqueued(id)

    assert ledger.begin(first, "dies", 0).attempt == 1
    assert ledger.begin(first, "lives", 30).attempt == 2
    ledger.put_off([first], "dies", 5)
    assert ledger.renew(first, "lives", 30), "only who holds it gives it back"
    ledger.finish([second], True, "done")
    ledger.put_off([second], "lives", 5)
    assert known(ledger, second).state is DeliveryState.SUCCEEDED


def test_a_held_delivery_is_not_begun_by_another_worker(ledger: Ledger) -> None:
    id = record(ledger)
    assert ledger.begin(id, "holds it", 30).attempt == 1
    assert ledger.begin(id, "comes late", 30).attempt == 0
    assert ledger.renew(id, "holds it", 30)


def test_those_that_wait_untried_right_behind_a_delivery_come_along_with_it(ledger: Ledger) -> None:
    earlier, first, second, received, held, failed, third, fourth = (record(ledger) for _ in range(8))
    for id in (earlier, first, second, held, failed, third, fourth):
        ledger.mark_enqueued(id)
    ledger.begin(held, "another", 30)
    ledger.begin(failed, "dies", 0)
    ledger.mark_enqueued(failed)  # enqueued again: it may have been the death of its worker

    begun = ledger.begin(first, "worker", 30, more=5)

    assert begun.attempt == 1
    assert [delivery.id for delivery in begun.deliveries] == [first, second, third]
    assert begun.deliveries[2].event == known(ledger, third).event
    assert ledger.begin(second, "another", 30).attempt == 0, "its own task finds nothing to do"
    assert known(ledger, received).state is DeliveryState.RECEIVED
    assert ledger.begin(failed, "worker", 30, more=5).attempt == 2
    assert known(ledger, fourth).state is DeliveryState.ENQUEUED, "what was tried before is tried alone"
    assert ledger.hand_over([first, second, third, held], "worker") == 3


def test_what_was_handed_over_is_not_begun_again_by_anybody(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.begin(id, "worker", 0)
    ledger.hand_over([id], "worker")
    assert ledger.begin(id, "worker", 30).attempt == 0
    assert ledger.begin(id, "another", 30).attempt == 0


def test_thousands_are_told_handed_over_and_finished_at_once(ledger: Ledger) -> None:
    ids = [record(ledger) for _ in range(1_000)]
    for id in ids:
        ledger.mark_enqueued(id)
    assert len(ledger.begin(ids[0], "worker", 30, more=999).deliveries) == 1_000

    ledger.stages((id, Stage("fetched", 1.0, 2.0)) for id in ids)
    assert ledger.hand_over(ids, "worker") == 1_000
    ledger.finish(ids, True, "synced")

    assert ledger.unfinished() == 0
    found = ledger.get(ids[-1])
    assert found is not None
    assert [stage.name for stage in found.stages] == ["received", "fetched"]


def test_a_finished_or_unknown_delivery_is_not_begun(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.begin(id, "worker", 30)
    ledger.finish([id], True, "")
    assert ledger.begin(id, "worker", 30).attempt == 0
    assert ledger.begin("1-1", "worker", 30).attempt == 0
    assert ledger.get("1-1") is None


def test_saying_enqueued_late_takes_nothing_from_a_quick_worker(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.begin(id, "quick", 30)
    ledger.mark_enqueued(id)
    assert known(ledger, id).state is DeliveryState.RUNNING
    ledger.finish([id], True, "")
    ledger.mark_enqueued(id)
    assert known(ledger, id).state is DeliveryState.SUCCEEDED
    assert ledger.overdue(time.time() + 1e9) == ()


def test_the_first_end_of_a_delivery_counts(ledger: Ledger) -> None:
    id = record(ledger)
    ledger.finish([id], True, "synced")
    ledger.finish([id], False, "too late")
    assert known(ledger, id).outcome == "synced"


def test_a_reopened_delivery_runs_again_from_the_start(ledger: Ledger) -> None:
    id = record(ledger)
    assert not ledger.reopen(id)  # it is under way
    ledger.begin(id, "worker", 30)
    ledger.stage(id, Stage("fetched", 1.0, 1.0))
    ledger.finish([id], False, "no")

    assert ledger.reopen(id)

    found = ledger.get(id)
    assert found is not None
    assert (found.state, found.outcome) == (DeliveryState.RECEIVED, "")
    assert [stage.name for stage in found.stages] == ["received"]
    assert ledger.overdue(time.time() + 6) == (id,)
    assert ledger.begin(id, "worker", 30).attempt == 1


def test_only_finished_deliveries_are_trimmed_the_oldest_first(redis_url: str) -> None:
    client = connect(redis_url)
    ledger = Ledger(client, keep_finished=2)
    waits = record(ledger)
    done = []
    for _ in range(5):
        done.append(record(ledger))
        ledger.finish([done[-1]], True, "")

    kept = [delivery.id for delivery in ledger.recent(100)]
    assert waits in kept
    assert len(kept) == 3
    gone = next(id for id in done if id not in kept)
    ledger.stage(gone, Stage("late", 1.0, 1.0))
    assert not [key for key in client.keys("*") if gone.encode() in key]


def test_the_newest_deliveries_come_first(ledger: Ledger) -> None:
    ids = [record(ledger) for _ in range(5)]
    assert [delivery.id for delivery in ledger.recent(3)] == ids[:1:-1]


def test_every_key_is_under_the_ledgers_prefix(redis_url: str) -> None:
    client = connect(redis_url)
    ledger = Ledger(client)
    id = record(ledger)
    ledger.mark_enqueued(id)
    ledger.begin(id, "worker", 30)
    ledger.finish([id], True, "")
    assert all(key.startswith(b"mooring:ledger:") for key in client.scan_iter())


def test_a_redis_that_is_away_is_store_unavailable() -> None:
    ledger = Ledger(connect("redis://127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailable):
        ledger.record(push(), time.time())
    with pytest.raises(StoreUnavailable):
        ledger.recent(5)


@pytest.mark.parametrize(("setting", "code"), [("maxmemory", "OOM"), ("min-replicas-to-write", "NOREPLICAS")])
def test_a_redis_that_takes_no_writes_is_store_unavailable_however_it_is_asked(
    setting: str, code: str
) -> None:
    with RedisServer() as server:
        client = connect(server.url)
        ledger, turns, views = Ledger(client), Turns(client, time.time), Views(client)
        client.config_set(setting, 1)
        for ask in (
            lambda: client.set("mooring:x", "text"),
            lambda: ledger.record(push(), time.time()),
            lambda: views.put(SHOP),
        ):
            with pytest.raises(StoreUnavailable):
                ask()
        with pytest.raises(StoreUnavailable, match=code):
            turns.want("app:shop", {"look": "1"})


def test_a_url_that_is_not_redis_is_refused_without_repeating_it() -> None:
    with pytest.raises(Refused, match="MOORING_REDIS_URL") as error:
        connect("http://user:s3cret@host")
    assert "s3cret" not in str(error.value)


def test_a_callers_own_mistake_is_not_called_unavailable(redis_url: str) -> None:
    client = connect(redis_url)
    client.set("mooring:x", "text")
    with pytest.raises(StoreGarbled):
        client.lpush("mooring:x", "item")
    with pytest.raises(redis.ResponseError):
        client.execute_command("NONSENSE")
