"""When sync windows allow a sync: their rules, against a clock that is read minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.model.application import Application
from mooring.model.project import AppProject
from workers.clusters.named import cluster_of
from workers.clusters.secret import ClusterSecret
from workers.windows import Allowed, Held, Window, applying, verdict

MINUTE = timedelta(minutes=1)
NIGHT = {"kind": "deny", "schedule": "0 22 * * *", "duration": "8h"}
HOME = "https://10.0.0.1:6443"
PROD = ClusterSecret("prod-eu", "https://prod.example.org", "")
OFFICE = {"kind": "allow", "schedule": "0 9 * * 1-5", "duration": "8h"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def app(**destination: str) -> Application:
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "shop", "namespace": "mooring"},
            "spec": {
                "project": "sea",
                "destination": destination
                or {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "source": {"repoURL": "https://git.example.com/shop", "path": "."},
            },
        }
    )


def windows(*specs: dict[str, Any], of: Application | None = None) -> tuple[Window, ...]:
    """Those of a project that apply to `of`; a spec that selects nothing selects every app."""
    named = [{"applications": ["*"], **spec} if _selects(spec) is None else spec for spec in specs]
    project = AppProject.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "sea"},
            "spec": {"syncWindows": named},
        }
    )
    of = of or app()
    return applying(project, of, cluster_of(of.spec.destination, HOME, lambda: (PROD,)))


def _selects(spec: dict[str, Any]) -> str | None:
    return next((name for name in ("applications", "namespaces", "clusters") if name in spec), None)


# --- the rules ------------------------------------------------------------------------------------


def test_without_windows_every_sync_is_allowed() -> None:
    assert verdict((), at("2026-11-25T23:00")) == Allowed()


def test_a_deny_window_holds_syncs_while_it_is_active() -> None:
    night = windows({**NIGHT, "description": "backups"})
    assert verdict(night, at("2026-11-25T21:59:59")) == Allowed()
    held = verdict(night, at("2026-11-25T22:00"))
    assert held == Held(night, at("2026-11-26T06:00"), by_hand=False)
    assert str(held) == (
        "held until 2026-11-26T06:00:00Z by the deny window '0 22 * * *' of 8h (UTC): backups"
    )
    assert verdict(night, at("2026-11-26T05:59:59")) == held
    assert verdict(night, at("2026-11-26T06:00")) == Allowed()


def test_where_there_are_allow_windows_one_of_them_must_be_active() -> None:
    found = windows(OFFICE, {**OFFICE, "schedule": "0 20 * * 6", "duration": "1h"})
    allowed = verdict(found, at("2026-11-25T12:00"))
    assert allowed == Allowed(found[:1])
    assert str(allowed) == "allowed by the allow window '0 9 * * 1-5' of 8h (UTC)"
    held = verdict(found, at("2026-11-27T17:00"))  # a Friday
    assert held == Held(found, at("2026-11-28T20:00"), by_hand=False)
    assert str(held) == (
        "held until 2026-11-28T20:00:00Z outside of the allow window '0 9 * * 1-5' of 8h (UTC) and 1 more"
    )


def test_a_deny_window_wins_over_an_allow_window() -> None:
    found = windows(OFFICE, {"kind": "deny", "schedule": "0 8 25 11 *", "duration": "48h"})
    held = verdict(found, at("2026-11-25T12:00"))
    assert held == Held(found[1:], at("2026-11-27T09:00"), by_hand=False), "not before one allows it"


def test_a_sync_by_hand_needs_all_that_deny_it_to_let_it_pass() -> None:
    lenient, strict = {**NIGHT, "manualSync": True}, {**NIGHT, "schedule": "0 23 * * *", "duration": "1h"}
    found = windows(lenient, strict)
    now = at("2026-11-25T22:30")
    held = verdict(found, now)
    assert isinstance(held, Held)
    assert held.by_hand
    assert str(held).endswith("; a sync by hand is allowed")
    assert verdict(found, now, by_hand=True) == Allowed()
    assert verdict(found, at("2026-11-25T23:30")) == Held(found, at("2026-11-26T06:00"), by_hand=False)
    # Whoever syncs by hand waits for the strict one only.
    by_hand = verdict(found, at("2026-11-25T23:30"), by_hand=True)
    assert by_hand == Held(found, at("2026-11-26T00:00"), by_hand=False)


def test_outside_of_allow_windows_a_sync_by_hand_needs_all_of_them_to_let_it_pass() -> None:
    now = at("2026-11-25T20:00")
    assert verdict(windows({**OFFICE, "manualSync": True}), now, by_hand=True) == Allowed()
    assert isinstance(verdict(windows({**OFFICE, "manualSync": True}, OFFICE), now, by_hand=True), Held)
    # As in Argo CD: a deny window that lets it pass is enough, whatever allows.
    both = windows(OFFICE, {**NIGHT, "manualSync": True})
    assert verdict(both, at("2026-11-25T23:00"), by_hand=True) == Allowed()
    assert verdict(both, now, by_hand=True) == Held(both[:1], at("2026-11-25T22:00"), by_hand=False)


def test_a_sync_under_way_goes_on_only_where_all_that_hold_it_have_overrun() -> None:
    now, before, within = at("2026-11-25T22:10"), at("2026-11-25T21:50"), at("2026-11-25T22:05")
    overrun = windows({**NIGHT, "syncOverrun": True})
    assert verdict(overrun, now, begun=before) == Allowed()
    assert isinstance(verdict(overrun, now), Held), "no other one begins"
    assert isinstance(verdict(overrun, now, begun=within), Held), "it should not have begun"
    assert isinstance(verdict(windows(NIGHT), now, begun=before), Held)
    assert isinstance(verdict(windows({**NIGHT, "syncOverrun": True}, NIGHT), now, begun=before), Held)

    allow = windows({**OFFICE, "syncOverrun": True})
    assert verdict(allow, at("2026-11-25T17:10"), begun=at("2026-11-25T16:50")) == Allowed()
    assert isinstance(verdict(allow, at("2026-11-25T17:10")), Held)
    mixed = windows({**OFFICE, "syncOverrun": True}, OFFICE)
    assert isinstance(verdict(mixed, at("2026-11-25T17:10"), begun=at("2026-11-25T16:50")), Held)


def test_what_is_held_for_ever_has_no_end() -> None:
    always = windows({"kind": "deny", "schedule": "* * * * *", "duration": "1m"})
    held = verdict(always, at("2026-11-25T12:00:30"))
    assert held == Held(always, None, by_hand=False)
    assert str(held).startswith("held with no end in sight by the deny window")
    # One that allows and one that denies, at the same minutes.
    turns = {"schedule": "*/2 * * * *", "duration": "1m"}
    never = windows({"kind": "allow", **turns}, {"kind": "deny", **turns})
    assert verdict(never, at("2026-11-25T12:01")) == Held(never[:1], None, by_hand=False)


def test_a_window_may_be_years_away_or_last_for_years() -> None:
    leap = windows({"kind": "allow", "schedule": "0 0 29 2 *", "duration": "24h"})
    assert verdict(leap, at("2026-11-25T12:00")) == Held(leap, at("2028-02-29T00:00"), by_hand=False)
    century = windows({"kind": "deny", "schedule": "0 0 1 1 *", "duration": "876000h"})
    assert verdict(century, at("2026-11-25T12:00")) == Held(century, None, by_hand=False)
    weeks = windows({"kind": "deny", "schedule": "0 0 1 1 *", "duration": "504h"})
    assert verdict(weeks, at("2026-01-20T12:00")) == Held(weeks, at("2026-01-22T00:00"), by_hand=False)


# --- the clock on the wall ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("night", "begins", "ends"),
    [
        ("2026-06-01", "2026-06-01T20:00", "2026-06-02T04:00"),
        ("2026-12-01", "2026-12-01T21:00", "2026-12-02T05:00"),
        ("2026-03-28", "2026-03-28T21:00", "2026-03-29T04:00"),  # an hour less
        ("2026-10-24", "2026-10-24T20:00", "2026-10-25T05:00"),  # an hour more
    ],
)
def test_a_window_ends_when_the_clock_says_so(night: str, begins: str, ends: str) -> None:
    found = windows({**NIGHT, "timeZone": "Europe/Amsterdam"})
    assert verdict(found, at(begins) - MINUTE) == Allowed()
    assert verdict(found, at(begins)) == Held(found, at(ends), by_hand=False)
    assert verdict(found, at(ends)) == Allowed()


def test_an_hour_that_is_left_out_opens_no_window_and_one_that_comes_twice_opens_it_twice() -> None:
    found = windows(
        {"kind": "allow", "schedule": "10 2 * * *", "duration": "20m", "timeZone": "Europe/Berlin"}
    )
    spring = verdict(found, at("2026-03-28T12:00"))
    assert spring == Held(found, at("2026-03-30T00:10"), by_hand=False)
    autumn = verdict(found, at("2026-10-24T12:00"))
    assert autumn == Held(found, at("2026-10-25T00:10"), by_hand=False)
    assert verdict(found, at("2026-10-25T00:30")) == Held(found, at("2026-10-25T01:10"), by_hand=False)


def test_a_schedule_may_name_its_time_zone() -> None:
    for prefix in ("CRON_TZ=Asia/Tokyo ", "TZ=Asia/Tokyo "):
        found = windows({**NIGHT, "schedule": prefix + NIGHT["schedule"]})
        assert verdict(found, at("2026-11-25T12:59")) == Allowed()
        assert verdict(found, at("2026-11-25T13:00")) == Held(found, at("2026-11-25T21:00"), by_hand=False)
        assert windows({**NIGHT, "schedule": prefix + NIGHT["schedule"], "timeZone": "Asia/Tokyo"})


# --- whose windows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "applies"),
    [
        ({"applications": ["shop"]}, True),
        ({"applications": ["bakery", "sh*"]}, True),
        ({"applications": ["bakery"]}, False),
        ({"applications": ["!bakery"]}, False),  # here, `!` forbids nothing
        ({"namespaces": ["team-*"]}, True),
        ({"namespaces": ["shop"]}, False),
        ({"clusters": ["in-cluster"]}, True),
        ({"clusters": ["https://*"]}, True),  # though the app only names its cluster
        ({"applications": ["bakery"], "namespaces": ["team-a"]}, True),
        ({"applications": ["bakery"], "namespaces": ["team-a"], "andOperator": True}, False),
        ({"applications": ["shop"], "clusters": ["*"], "andOperator": True}, True),
        ({"applications": ["shop"], "clusters": ["*"], "namespaces": ["b"], "andOperator": True}, False),
        ({"applications": []}, False),
        ({"applications": [], "andOperator": True}, False),
    ],
)
def test_a_window_is_that_of_the_apps_it_selects(spec: dict[str, Any], applies: bool) -> None:
    of = app(name="in-cluster", namespace="team-a")
    assert bool(windows({**NIGHT, **spec}, of=of)) is applies


@pytest.mark.parametrize(
    ("destinations", "meant", "others"),
    [
        (
            ({"server": "https://kubernetes.default.svc"}, {"server": HOME}, {"name": "in-cluster"}),
            ("https://*.svc", HOME, "in-cluster"),
            ("prod-*", PROD.server),
        ),
        (
            ({"server": "https://PROD.example.org:443/"}, {"name": "prod-eu"}),
            ("https://prod.*", "https://PROD.example.org:443", "prod-eu"),
            ("https://*.svc", HOME, "in-cluster"),
        ),
    ],
)
def test_no_other_name_of_a_cluster_gets_an_app_round_a_window(
    destinations: Sequence[dict[str, str]], meant: Sequence[str], others: Sequence[str]
) -> None:
    for destination in destinations:
        of = app(**destination, namespace="a")
        assert all(windows({**NIGHT, "clusters": [pattern]}, of=of) for pattern in meant)
        assert not any(windows({**NIGHT, "clusters": [pattern]}, of=of) for pattern in others)


# --- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"kind": "Deny"}, "kind: 'Deny' is neither allow nor deny"),
        ({"schedule": "0 22 * *"}, "schedule: '0 22 * *' has 4 fields"),
        ({"duration": "8"}, "duration: '8' is no duration"),
        ({"duration": ""}, "duration: '' is no duration"),
        ({"duration": "0s"}, "duration: '0s' is no duration above zero"),
        ({"duration": "-1h"}, "duration: '-1h' is no duration"),
        ({"timeZone": "Mars/Olympus"}, "timeZone: 'Mars/Olympus' is not known"),
        ({"timeZone": "../../etc/passwd"}, "is not known"),
        ({"timeZone": "/etc/localtime"}, "is not known"),
        ({"timeZone": "Europe"}, "is not known"),
        ({"timeZone": "Local"}, "is not known"),
        ({"schedule": "TZ=Asia/Tokyo 0 22 * * *", "timeZone": "UTC"}, "the schedule names 'Asia/Tokyo'"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_even_where_it_applies_to_others(
    spec: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refused) as told:
        windows(OFFICE, {**NIGHT, "applications": ["another"], **spec})
    assert str(told.value).startswith("AppProject sea: spec.syncWindows[1]: ")
    assert why in str(told.value)
    assert told.value.condition == "InvalidSpecError"


# --- minute by minute -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """A field of a schedule as text, and what it means; `open`: it leaves its values open."""

    text: str
    values: frozenset[int]
    open: bool = False


def fields(least: int, most: int, names: Sequence[str] = ()) -> st.SearchStrategy[Field]:
    every = frozenset(range(least, most + 1))
    numbers = st.integers(least, most)

    def word(number: int) -> str:
        return names[number - least] if names else str(number)

    def spans(ends: tuple[int, int], step: int) -> Field:
        low, high = sorted(ends)
        text = f"{word(low)}-{word(high)}" + (f"/{step}" if step > 1 else "")
        return Field(text, frozenset(range(low, high + 1, step)))

    part = st.one_of(
        st.sampled_from([Field("*", every, open=True), Field("?", every, open=True)]),
        st.integers(2, 20).map(lambda step: Field(f"*/{step}", frozenset(range(least, most + 1, step)))),
        numbers.map(lambda one: Field(word(one), frozenset({one}))),
        st.builds(spans, st.tuples(numbers, numbers), st.integers(1, 7)),
        st.builds(
            lambda one, step: Field(f"{one}/{step}", frozenset(range(one, most + 1, step))),
            numbers,
            st.integers(1, 9),
        ),
    )
    return st.lists(part, min_size=1, max_size=3).map(
        lambda parts: Field(
            ",".join(each.text for each in parts),
            frozenset().union(*(each.values for each in parts)),
            any(each.open for each in parts),
        )
    )


MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# Before a clock is turned: by one hour, by half an hour, at midnight, by a whole day, or not at all; forwards
# and backwards.
TURNS = [
    ("Europe/Berlin", "2026-03-27T02:00"),
    ("Europe/Berlin", "2026-10-23T02:00"),
    ("America/New_York", "2026-10-30T09:00"),
    ("Australia/Lord_Howe", "2026-04-03T12:00"),
    ("Australia/Lord_Howe", "2026-10-02T12:00"),
    ("America/Santiago", "2026-04-03T12:00"),
    ("America/Santiago", "2026-09-04T12:00"),
    ("Africa/Casablanca", "2026-02-13T12:00"),
    ("Pacific/Apia", "2011-12-28T10:00"),
    ("Asia/Kathmandu", "2026-11-24T12:00"),
    ("UTC", "2028-02-27T12:00"),
]
SPAN = 3 * 24 * 60


@dataclass(frozen=True)
class Case:
    """A window, and at which minutes of the clock on the wall it begins."""

    spec: dict[str, Any]
    begins: Callable[[datetime], bool]
    minutes: int


@st.composite
def cases(draw: st.DrawFn, zone: str) -> Case:
    minute, hour = draw(fields(0, 59)), draw(fields(0, 23))
    day = draw(st.one_of(st.just(Field("*", frozenset(range(1, 32)), open=True)), fields(1, 31)))
    # Few months, or hardly a window would begin in the days that are looked at.
    month = draw(st.sampled_from([Field("*", frozenset(range(1, 13)), open=True)] * 3 + [None]))
    month = month or draw(fields(1, 12, MONTHS))
    weekday = draw(st.one_of(st.just(Field("*", frozenset(range(7)), open=True)), fields(0, 6, WEEKDAYS)))
    lasts = draw(st.one_of(st.integers(1, 90), st.integers(1, 3000)))

    def begins(wall: datetime) -> bool:
        on_day, on_weekday = wall.day in day.values, (wall.weekday() + 1) % 7 in weekday.values
        fits = on_day and on_weekday if day.open or weekday.open else on_day or on_weekday
        return (
            fits and wall.month in month.values and wall.hour in hour.values and wall.minute in minute.values
        )

    spec = {
        "kind": draw(st.sampled_from(["allow", "deny"])),
        "schedule": " ".join(field.text for field in (minute, hour, day, month, weekday)),
        "duration": f"{lasts // 60}h{lasts % 60}m",
        "timeZone": zone,
        "manualSync": draw(st.booleans()),
    }
    return Case(spec, begins, lasts)


def activity(case: Case, zone: str, start: datetime) -> list[bool]:
    """For each minute from `start` on, whether the window is active then."""
    walls = [(start + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for n in range(SPAN)]
    first = min(walls) - case.minutes * MINUTE
    total, counts = 0, [0]
    for number in range((max(walls) - first) // MINUTE + 1):
        total += case.begins(first + number * MINUTE)
        counts.append(total)
    # Active: it began within its duration, up to this very minute.
    ends = [(wall - first) // MINUTE + 1 for wall in walls]
    return [counts[end] > counts[end - case.minutes] for end in ends]


def one_that_comes(spec: dict[str, Any]) -> tuple[Window, ...]:
    try:
        return windows(spec)
    except Refused as error:
        assert "never comes" in str(error)  # the 31st of a short month
        return ()


@given(st.data(), st.sampled_from(TURNS))
def test_a_window_is_active_in_just_the_minutes_that_a_clock_would_tell(
    data: st.DataObject, turn: tuple[str, str]
) -> None:
    zone, start = turn[0], at(turn[1])
    case = data.draw(cases(zone))
    told = activity(case, zone, start)
    for window in one_that_comes(case.spec):
        flips = [n for n in range(1, SPAN) if told[n] != told[n - 1]]
        now = start
        found: list[int] = []
        assert window.times.active(now) is told[0]
        while len(found) < 40:
            then = window.times.change(now)
            if then is None or then >= start + SPAN * MINUTE:
                break
            assert then > now
            assert window.times.active(then) is not window.times.active(now)
            found.append((then - start) // MINUTE)
            now = then
        assert found == flips[:40]


@given(st.data(), st.sampled_from(TURNS), st.booleans())
def test_a_sync_is_held_until_the_first_minute_in_which_the_rules_allow_it(
    data: st.DataObject, turn: tuple[str, str], by_hand: bool
) -> None:
    zone, start = turn[0], at(turn[1])
    several = data.draw(st.lists(cases(zone), min_size=1, max_size=3))
    found = [(case, window) for case in several for window in one_that_comes(case.spec)]
    told = [activity(case, zone, start) for case, _ in found]

    def may(minute: int) -> bool:
        active = [case.spec for (case, _), when in zip(found, told, strict=True) if when[minute]]
        denying = [spec for spec in active if spec["kind"] == "deny"]
        if denying:
            return by_hand and all(spec["manualSync"] for spec in denying)
        allowing = [case.spec for case, _ in found if case.spec["kind"] == "allow"]
        if not allowing or any(spec["kind"] == "allow" for spec in active):
            return True
        return by_hand and all(spec["manualSync"] for spec in allowing)

    said = verdict([window for _, window in found], start, by_hand=by_hand)
    assert isinstance(said, Allowed) is may(0)
    if isinstance(said, Held):
        opens = next((start + n * MINUTE for n in range(SPAN) if may(n)), None)
        if opens is not None:
            assert said.until == opens
        else:
            assert said.until is None or said.until >= start + SPAN * MINUTE
