"""What one object is nested too deep for does not hide the others that are listed with it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cluster.decode import decode

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
