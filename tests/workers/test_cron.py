"""Schedules, as Argo CD reads them."""

from __future__ import annotations

from datetime import date

import pytest

from workers.cron import Cron

ALL_DAYS = frozenset(range(1, 32))


@pytest.mark.parametrize(
    ("text", "minutes", "hours"),
    [
        ("0 22 * * *", {0}, {22}),
        ("*/20 9-11 * * *", {0, 20, 40}, {9, 10, 11}),
        ("50/4 1-9/4 * * *", {50, 54, 58}, {1, 5, 9}),
        ("5,1-3,,59 ? * * *", {1, 2, 3, 5, 59}, set(range(24))),
        ("\t00   007 * * *", {0}, {7}),
    ],
)
def test_a_schedule_says_at_which_minutes(text: str, minutes: set[int], hours: set[int]) -> None:
    found = Cron.parse(text)
    assert (set(found.minutes), set(found.hours)) == (minutes, hours)
    assert found.on(date(2026, 11, 25))


def test_months_and_weekdays_have_names() -> None:
    found = Cron.parse("0 0 * jan,MAR-apr Mon-fri/2")
    assert found.months == {1, 3, 4}
    assert found.weekdays == {1, 3, 5}
    assert found.days == ALL_DAYS
    assert found.on(date(2026, 1, 2))  # a Friday
    assert not found.on(date(2026, 1, 3))
    assert not found.on(date(2026, 2, 2))
    assert Cron.parse("0 0 * * sun").on(date(2026, 11, 29))


def test_of_day_and_weekday_either_will_do_unless_one_is_left_open() -> None:
    monday, thirteenth, neither = date(2026, 11, 9), date(2026, 11, 13), date(2026, 11, 10)
    either = Cron.parse("0 0 13 * 1")
    assert [either.on(day) for day in (monday, thirteenth, neither)] == [True, True, False]
    for open_ in ("*", "?", "*/1", "13,*"):
        assert [Cron.parse(f"0 0 {open_} * 1").on(day) for day in (monday, thirteenth)] == [True, False]
        assert not Cron.parse(f"0 0 13 * {open_.replace('13', '1')}").on(neither)
    # A star with a step restricts: each second day, and each Monday.
    stepped = Cron.parse("0 0 */2 * 1")
    assert [stepped.on(date(2026, 11, day)) for day in (2, 3, 4)] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 fields"),
        ("0 22 * *", "4 fields"),
        ("0 0 22 * * *", "6 fields"),
        ("@hourly", "write 0 * * * *"),
        ("60 * * * *", "the minute: no range that goes upwards from 0 to 59"),
        ("* 24 * * *", "the hour"),
        ("* * 0 * *", "the day of the month"),
        ("* * * 13 *", "the month"),
        ("* * * * 7", "the weekday: no range that goes upwards from 0 to 6"),
        ("* * * * fri-mon", "goes upwards"),
        ("*/0 * * * *", "a step of 0"),
        ("1/2/3 * * * *", "'2/3' is no value"),
        ("1-2-3 * * * *", "'2-3' is no value"),
        ("*-5 * * * *", "'*' is no value"),
        ("-5 * * * *", "'' is no value"),
        (", * * * *", "names no value"),
        ("mon * * * *", "'mon' is no value"),
        ("* * L * *", "'L' is no value"),
        ("* * * * 5#2", "'5#2' is no value"),
        ("\u0661 * * * *", "is no value"),  # the Arabic digit one
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 2,4,6 *", "never comes"),
    ],
)
def test_what_is_no_schedule_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as told:
        Cron.parse(text)
    assert why in str(told.value)
    assert "\n" not in str(told.value)


def test_a_leap_day_is_one_that_comes() -> None:
    assert Cron.parse("0 0 29 2 *").on(date(2028, 2, 29))
    assert Cron.parse("0 0 30 2 1").on(date(2026, 2, 2))  # a Monday will do
