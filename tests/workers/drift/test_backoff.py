"""How often an object is put back that somebody sets again and again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from workers.drift.backoff import AT_ONCE, Tries, in_a_row, once_more, quiet_s

A = ObjectKey("", "ConfigMap", "shop", "a")
QUIET = quiet_s(180.0)


def fought(rounds: int) -> list[float]:
    """How long the object was left each time, where whoever fights sets it again at once."""
    tries: dict[ObjectKey, Tries] = {}
    now, waited = 1000.0, list[float]()
    for _ in range(rounds):
        before = in_a_row(tries.get(A), now, QUIET)
        wait = max(before.until - now, 0.0) if before else 0.0
        waited.append(wait)
        now += wait
        tries = once_more(tries, [A], now)
    return waited


def test_at_once_a_few_times_and_then_ever_more_seldom_up_to_five_minutes() -> None:
    assert fought(AT_ONCE + 9) == [0.0] * AT_ONCE + [2, 4, 8, 16, 32, 64, 128, 256, 300]


def test_after_a_quiet_time_all_begins_anew() -> None:
    last = Tries(12, 1000.0)
    assert in_a_row(last, 1000.0 + QUIET, QUIET) is last
    assert in_a_row(last, 1001.0 + QUIET, QUIET) is None
    assert once_more({A: last}, [A], 1300.0) == {A: Tries(13, 1300.0)}
    assert once_more({}, [A], 2000.0) == {A: Tries(1, 2000.0)}


def test_whoever_is_left_for_as_long_as_can_be_is_still_known_then() -> None:
    longest = Tries(99, 1000.0)
    assert in_a_row(longest, longest.until + 60.0, QUIET) is longest


def test_quiet_is_longer_than_it_takes_to_see_a_drift() -> None:
    assert quiet_s(3600.0) == pytest.approx(7200.0)


@given(st.integers(0, 10**6), st.floats(0, 1e10))
def test_nobody_ever_waits_longer_than_five_minutes(count: int, last: float) -> None:
    assert last <= Tries(count, last).until <= last + 300.0
