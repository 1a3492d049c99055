"""Stories of steps that wait for their time."""

from __future__ import annotations

import pytest
import redis

from mooring.store.connection import connect
from mooring.store.due import DUE, DueSteps, Step

SYNC = Step("mooring.sync", ("mooring_shop",), "deploy")
LOOK = Step("mooring.reconcile", ("mooring_shop", "health"), "reconcile")


@pytest.fixture
def due(redis_client: redis.Redis) -> DueSteps:
    return DueSteps(redis_client)


def test_a_step_is_given_out_at_its_time_and_once(due: DueSteps) -> None:
    due.put(SYNC, 100.5)
    assert due.take(100.4) == ()
    assert due.take(100.5) == (SYNC,)
    assert due.take(1000) == ()


def test_the_earliest_come_first_and_the_rest_stays(due: DueSteps) -> None:
    steps = [Step("t", (str(number),), "q") for number in range(5)]
    for number, step in enumerate(reversed(steps)):
        due.put(step, 10 - number)
    assert due.take(100, limit=2) == tuple(steps[:2])
    assert due.take(100) == tuple(steps[2:])


def test_an_equal_step_moves_to_its_new_time(due: DueSteps) -> None:
    due.put(SYNC, 10)
    due.put(SYNC, 20)
    due.put(LOOK, 10)
    assert due.take(10) == (LOOK,)
    assert due.take(20) == (SYNC,)


def test_a_step_that_is_put_off_again_and_again_comes_at_its_first_time(due: DueSteps) -> None:
    for at in (10, 20, 30):
        due.put(SYNC, at, or_sooner=True)
    assert due.take(10) == (SYNC,)
    due.put(SYNC, 30, or_sooner=True)
    due.put(SYNC, 25, or_sooner=True)
    assert due.take(24) == ()
    assert due.take(25) == (SYNC,)


def test_a_dropped_step_never_comes(due: DueSteps) -> None:
    due.put(SYNC, 10)
    due.drop(SYNC)
    due.drop(SYNC)
    assert due.take(100) == ()


def test_what_takes_the_place_of_others_comes_alone(due: DueSteps) -> None:
    for step in (SYNC, LOOK):
        due.put(step, 10)
    due.put_instead(LOOK, 20, of=[SYNC, LOOK])
    assert due.take(19) == ()
    assert due.take(20) == (LOOK,)


def test_what_is_no_set_of_steps_is_begun_anew(redis_url: str, redis_client: redis.Redis) -> None:
    due = DueSteps(connect(redis_url))
    redis_client.set(DUE, "garbage")
    due.put_instead(LOOK, 20, of=[SYNC])
    assert due.take(20) == (LOOK,)


def test_two_takers_share_the_steps(due: DueSteps, redis_client: redis.Redis) -> None:
    steps = {Step("t", (f"ä {number}",), "q") for number in range(20)}
    for step in steps:
        due.put(step, 1)
    one, other = due.take(2, limit=12), DueSteps(redis_client).take(2, limit=12)
    assert (len(one), len(other)) == (12, 8)
    assert {*one, *other} == steps
