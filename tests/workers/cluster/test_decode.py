"""What one object is nested too deep for does not hide the others that are listed with it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cluster.decode import apart, decode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='ab[]{}"\\ é\n'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k[{"\\'), inner, max_size=3)
    ),
)


def nested(levels: int) -> bytes:
    return b'{"a":[' * (levels // 2) + b'"]}"' + b"]}" * (levels // 2)


def depth(value: Any) -> int:
    levels = 0
    while value:
        value, levels = (value["a"] if isinstance(value, dict) else value[0]), levels + 1
        if not isinstance(value, dict | list):
            break
    return levels


@given(VALUES, VALUES)
def test_what_stands_beside_is_as_it_is(before: Any, after: Any) -> None:
    listed = [json.dumps(before).encode(), nested(5000), json.dumps(after).encode()]
    found = decode(b'{"items": [' + b", ".join(listed) + b"]}")["items"]
    assert [found[0], found[2]] == [before, after]
    assert 400 < depth(found[1]) <= 500


def test_what_can_be_read_is_read_whole() -> None:
    assert depth(decode(nested(900))) == 900


@pytest.mark.parametrize("said", [b"<html>", b"", b'{"a": ', nested(5000)[:-1], b'{"a": [' * 2000])
def test_what_is_no_json_is_refused(said: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        decode(said)


BEGINS = b'{"apiVersion":"example.com/v1","kind":"Thing",'
THING = {"apiVersion": "example.com/v1", "kind": "Thing"}
# Among them such as look like the place between two items, and like the end of a list.
INSIDE = st.sampled_from(
    [
        [{**THING, "a": 1}, {**THING, "a": 2}],
        [{**THING, "z": 1}, {**THING, "z": 2}],
        [{}],
        "},{",
        '}],"',
        {"items": [{**THING, "b": 1}]},
    ]
)


def written(items: list[Any], **more: Any) -> bytes:
    """As a server does: without blanks, by the alphabet."""
    whole = {
        "apiVersion": "example.com/v1",
        "kind": "ThingList",
        "metadata": {"resourceVersion": "7"},
        **more,
    }
    return orjson.dumps(whole | {"items": items}, option=orjson.OPT_SORT_KEYS)


@given(st.lists(st.one_of(VALUES, INSIDE), max_size=5))
def test_a_list_is_taken_apart_into_just_its_items(inside: list[Any]) -> None:
    data = written([{**THING, "spec": one} for one in inside])
    about, items = apart(data, BEGINS)
    assert list(items) == decode(data)["items"]
    assert about["metadata"] == {"resourceVersion": "7"}


def test_each_is_decoded_when_its_turn_comes() -> None:
    data = written([{**THING, "spec": "one"}, {**THING, "spec": "two"}])
    _, items = apart(data.replace(b'"two"', b"two"), BEGINS)
    assert next(items)["spec"] == "one"
    with pytest.raises(orjson.JSONDecodeError):
        next(items)


@pytest.mark.parametrize("items", [[], [{"kind": "Thing"}], [THING, None, 7]])
def test_what_is_written_otherwise_is_read_all_the_same(items: list[Any]) -> None:
    data = json.dumps({"items": items, "metadata": {}}).encode()
    about, found = apart(data, BEGINS)
    assert (about["metadata"], list(found)) == ({}, items)


def test_one_that_is_nested_too_deep_hides_none_beside_it() -> None:
    data = written([{**THING, "spec": 1}, {**THING, "spec": "deep"}, {**THING, "spec": 3}])
    _, items = apart(data.replace(b'"deep"', nested(5000)), BEGINS)
    assert [one["spec"] for one in items][::2] == [1, 3]
