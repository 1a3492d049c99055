"""When a failed sync is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.spec import Backoff, Operation, Retry
from mooring.model.status import OperationState
from workers.retry import next_try, seconds, still_waits

NEVER = Retry()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5s", 5),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("7", 7),
        (" 3s ", 3),
        ("250us", 0.00025),
        ("", 42),
        ("soon", 42),
        ("-5s", 42),
        ("5 s", 42),
        ("5x", 42),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, expected: float) -> None:
    assert seconds(text, 42) == pytest.approx(expected)


def test_waits_grow_up_to_the_longest() -> None:
    retry = Retry(limit=5, backoff=Backoff(duration="2s", factor=3, max_duration="1m"))
    assert [next_try(retry, tried, False) for tried in range(6)] == [2, 6, 18, 54, 60, None]


def test_the_defaults_are_argos() -> None:
    assert [next_try(Retry(limit=-1), tried, False) for tried in (0, 1, 2, 9, 10_000)] == [
        5,
        10,
        20,
        180,
        180,
    ]


def test_what_is_the_users_to_fix_is_not_tried_again_unless_asked() -> None:
    assert next_try(NEVER, 0, passing=False) is None


def test_what_may_pass_is_tried_again_though_not_for_ever() -> None:
    waits = [next_try(NEVER, tried, passing=True) for tried in range(11)]
    assert waits[:3] == [1, 2, 4]
    assert None not in waits[:10]
    assert waits[10] is None


def in_back_off(retry: Retry, count: int, **more: str) -> OperationState:
    known: dict[str, Any] = {
        "phase": "Running",
        "started_at": "2026-11-23T12:00:00Z",
        "finished_at": "2026-11-23T12:10:00Z",
    }
    return OperationState(operation=Operation(retry=retry), retry_count=count, **(known | more))


def test_who_is_in_back_off_waits_for_the_rest_of_it() -> None:
    retry = Retry(limit=5, backoff=Backoff(duration="1m", factor=2, max_duration="1h"))
    at = datetime(2026, 11, 23, 12, 10, 30, tzinfo=UTC)
    assert [still_waits(in_back_off(retry, count), at) for count in (1, 2, 3)] == [30, 90, 210]
    assert still_waits(in_back_off(retry, 1), at + timedelta(seconds=30)) == 0
    assert still_waits(in_back_off(NEVER, 4), at) == 0, "what may pass is tried sooner"
    assert still_waits(in_back_off(retry, 1, finished_at=""), at) == 0, "it is at work, or waits for health"
    assert still_waits(in_back_off(retry, 0), at) == 0
    assert still_waits(in_back_off(retry, 1, phase="Failed"), at) == 0
    assert still_waits(in_back_off(retry, 9), at) == 0, "its limit has been lowered: it is told so at once"


@given(
    st.builds(
        Retry,
        limit=st.integers(),
        backoff=st.none()
        | st.builds(
            Backoff,
            duration=st.sampled_from(["", "0s", "1ms", "5s", "9999999h", "x"]) | st.text(max_size=5),
            factor=st.none() | st.integers(),
            max_duration=st.sampled_from(["", "0s", "3m", "9999999h"]),
        ),
    ),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_whatever_is_asked_for_the_wait_is_a_sane_number(retry: Retry, tried: int, passing: bool) -> None:
    wait = next_try(retry, tried, passing)
    if wait is None:
        assert retry.limit >= 0
        return
    most = seconds(retry.backoff.max_duration, 180.0) if retry.backoff else 180.0
    assert 0 <= wait <= most
