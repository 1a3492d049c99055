"""The three-way merge as a value: what is removed, what is set, what is left alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.names import LAST_APPLIED
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.merge import last_applied_of, three_way

KIND = Kind("example.com", "v1", "Anchor", "anchors", namespaced=True)


def manifest(spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Anchor",
        "metadata": {"name": "bow", **metadata},
        "spec": spec,
    }


def merged(patch: Any, onto: Any) -> Any:
    """RFC 7396, section 2, as the server carries it out."""
    if not isinstance(patch, dict):
        return patch
    result = dict(onto) if isinstance(onto, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(value, result.get(key))
    return result


specs = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from("abc"), specs, max_size=3)


@given(objects, objects, objects)
def test_what_is_wanted_is_there_afterwards_and_what_was_dropped_is_not(
    before: dict[str, Any], wanted: dict[str, Any], foreign: dict[str, Any]
) -> None:
    first = three_way(manifest(before), None, None)
    live = Live.read(KIND, merged({"spec": foreign}, first))
    result = merged(three_way(manifest(wanted), live, None), live.body)
    holds(wanted, result["spec"])
    for key in before.keys() - wanted.keys():
        assert key not in result["spec"]
    for key in foreign.keys() - before.keys() - wanted.keys():
        assert result["spec"][key] == foreign[key]
    assert last_applied_of(Live.read(KIND, result)) == manifest(wanted)


def holds(wanted: Any, result: Any) -> None:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            holds(value, result[key])
    else:
        assert result == wanted


def test_nothing_to_change_is_an_empty_patch() -> None:
    live = Live.read(KIND, three_way(manifest({"a": 1}), None, None))
    assert three_way(manifest({"a": 1}), live, None) == {}


def test_the_record_of_kubectl_is_never_nested_in_itself() -> None:
    first = three_way(manifest({"a": 1}), None, None)
    again = three_way(first, None, None)
    assert first["metadata"] == again["metadata"]
    assert orjson.loads(first["metadata"]["annotations"][LAST_APPLIED]) == manifest({"a": 1})


@pytest.mark.parametrize("annotation", ["", "{", "[]", "null"])
def test_an_unreadable_record_removes_nothing(annotation: str) -> None:
    live = Live.read(KIND, manifest({"a": 1, "b": 2}, annotations={LAST_APPLIED: annotation}))
    assert merged(three_way(manifest({"a": 1}), live, None), live.body)["spec"] == {"a": 1, "b": 2}


def test_a_merge_without_the_whole_object_is_a_mistake_of_ours() -> None:
    live = Live.read(KIND, manifest({}), metadata_only=True)
    with pytest.raises(ValueError, match="whole object"):
        three_way(manifest({}), live, None)
