"""What an observer has seen is gone by where it is what was applied; elsewhere the objects are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from tests.workers.objects import key, ours
from workers.health import Health, HealthStatus
from workers.observer.awaits import seen
from workers.proof import record
from workers.sighted import Sight, Sighted

WEB, API = key("web", "Deployment", "apps"), key("api", "Deployment", "apps")
AVAILABLE = {
    "metadata": {"generation": 3},
    "spec": {"replicas": 1},
    "status": {
        "observedGeneration": 3,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
        "conditions": [{"type": "Available", "status": "True"}],
    },
}
LIVES = {one: ours(one, body=AVAILABLE) for one in (WEB, API)}
RECORDS = {one: record("body", "v1", live) for one, live in LIVES.items()}
SIGHTED = Sighted("7", {one: seen(live).sight for one, live in LIVES.items()})
HEALTHY = Health(HealthStatus.HEALTHY)


def test_what_was_seen_as_it_was_applied_need_not_be_asked_for() -> None:
    heard = Sighted.from_wish(SIGHTED.to_wish())
    assert heard == SIGHTED
    assert heard.health("7", [WEB, API], RECORDS) == {WEB: HEALTHY, API: HEALTHY}


def test_a_status_that_has_moved_since_it_was_applied_changes_nothing_of_that() -> None:
    moved = Sighted("7", {WEB: seen(replace(LIVES[WEB], resource_version="99")).sight})
    assert moved.health("7", [WEB], RECORDS) == {WEB: HEALTHY}


@pytest.mark.parametrize(
    "other",
    [
        replace(LIVES[WEB], generation=4),
        replace(LIVES[WEB], uid="another"),
        replace(LIVES[WEB], labels={**LIVES[WEB].labels, "more": "x"}),
    ],
    ids=["edited", "made anew", "with a label more"],
)
def test_what_somebody_else_has_changed_is_asked_for(other: object) -> None:
    changed = Sighted("7", {**SIGHTED.objects, WEB: seen(other).sight})  # type: ignore[arg-type]
    assert changed.health("7", [WEB, API], RECORDS) is None
    assert changed.health("7", [API], RECORDS) == {API: HEALTHY}


def test_what_was_not_seen_or_has_no_record_is_asked_for() -> None:
    assert SIGHTED.health("7", [WEB, key("new", "Deployment", "apps")], RECORDS) is None
    assert SIGHTED.health("7", [WEB, API], {WEB: RECORDS[WEB]}) is None
    assert Sighted("7").health("7", [WEB], RECORDS) is None


def test_of_an_app_of_which_something_newer_was_said_they_are_asked_for() -> None:
    assert SIGHTED.health("8", [WEB, API], RECORDS) is None


def test_of_many_nothing_is_told() -> None:
    many = {key(f"web-{n}", "Deployment", "apps"): seen(LIVES[WEB]).sight for n in range(21)}
    assert Sighted("7", many).to_wish() == "7"


_KEYS = st.builds(
    ObjectKey,
    st.sampled_from(["", "apps"]),
    st.sampled_from(["Deployment", "Pod"]),
    st.sampled_from(["shop", ""]),
    st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
)
_SIGHTS = st.builds(
    Sight,
    st.builds(Health, st.sampled_from(list(HealthStatus)), st.text(max_size=50)),
    st.binary(min_size=16, max_size=16),
    st.booleans(),
)


@given(
    st.builds(
        Sighted, st.from_regex(r"[0-9]{1,19}", fullmatch=True), st.dictionaries(_KEYS, _SIGHTS, max_size=20)
    )
)
def test_a_wish_says_all_of_it(sighted: Sighted) -> None:
    assert Sighted.from_wish(sighted.to_wish()) == sighted


@given(st.text() | st.from_regex(r"7 \[\[.*\]\]") | st.from_regex(r"7 [\[{0-9n].*"))
def test_a_wish_that_makes_no_sense_tells_of_no_object(text: str) -> None:
    heard = Sighted.from_wish(text)
    assert text.startswith(heard.version)
    assert heard.health("7", [WEB], RECORDS) is None
