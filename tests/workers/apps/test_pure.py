"""What needs no cluster: the annotation's content, conditions, and merge patches."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.status import Condition
from workers.apps.conditions import merge_conditions
from workers.apps.patches import broken_patch
from workers.apps.state import LONGEST, State
from workers.mergepatch import difference, merge, without_nulls

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)
OWN = {field.name for field in fields(State)} - {"others"}
STATES = st.builds(
    State,
    **dict.fromkeys(OWN, TEXT),
    others=st.dictionaries(TEXT.filter(lambda name: name not in OWN), JSON, max_size=3),
)


@given(STATES)
def test_a_state_is_read_back(state: State) -> None:
    assert State.from_json(state.to_json()) == state


@given(st.text() | JSON | JSON.map(lambda value: orjson.dumps(value).decode()))
def test_no_annotation_makes_reading_the_state_fail(value: Any) -> None:
    found = State.from_json(value)
    assert State.from_json(found.to_json()) == found


def test_hostile_annotations_are_an_empty_state() -> None:
    for text in (
        "[" * 100_000,
        "[" * 1000,
        '{"a":NaN}',
        '{"claim": {}}',
        "null",
        '"x"',
        "{" + " " * LONGEST + "}",
    ):
        assert State.from_json(text) == State()
    assert State.from_json(None) == State()


def test_an_empty_state_needs_no_annotation() -> None:
    assert State().to_json() == ""


@given(OBJECTS, OBJECTS)
def test_the_difference_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    before, after = without_nulls(before), without_nulls(after)
    assert merge(before, difference(before, after)) == after
    assert difference(after, after) == {}


def test_a_condition_with_the_same_words_keeps_its_time() -> None:
    before = (
        Condition(type="SyncError", message="no", last_transition_time="2026-01-01T00:00:00Z"),
        Condition(type="ComparisonError", message="over", last_transition_time="2026-01-01T00:00:00Z"),
    )
    now = [("SyncError", "no"), ("InvalidSpecError", "bad"), ("SyncError", "no")]
    assert merge_conditions(before, now, "2026-02-02T00:00:00Z") == (
        Condition(type="InvalidSpecError", message="bad", last_transition_time="2026-02-02T00:00:00Z"),
        Condition(type="SyncError", message="no", last_transition_time="2026-01-01T00:00:00Z"),
    )


def test_an_app_that_cannot_be_read_says_so_once_beside_what_else_it_says() -> None:
    other = {"type": "SyncError", "message": "no", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stale = {"type": "InvalidSpecError", "message": "was wrong"}
    raw: dict[str, Any] = {"status": {"conditions": [other, stale, "garbage"]}}
    patch = broken_patch(raw, "spec.project: is missing", "2026-02-02T00:00:00Z")
    assert patch["status"]["conditions"] == [
        other,
        {
            "type": "InvalidSpecError",
            "message": "spec.project: is missing",
            "lastTransitionTime": "2026-02-02T00:00:00Z",
        },
    ]
    assert broken_patch(merge(raw, patch), "spec.project: is missing", "2026-03-03T00:00:00Z") == {}
    for garbage in ({}, {"status": 1}, {"status": {"conditions": 5}}):
        assert (
            broken_patch(garbage, "bad", "2026-02-02T00:00:00Z")["status"]["conditions"][0]["message"]
            == "bad"
        )
