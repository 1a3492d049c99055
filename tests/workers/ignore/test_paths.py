"""Which places rules name in a body, and what is left without them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from workers.ignore.keep import NOBODY, kept
from workers.ignore.paths import Paths, put, put_owned, without
from workers.ignore.rules import rules_of

POD = {
    "spec": {
        "replicas": 2,
        "containers": [
            {"name": "web", "image": "web:1", "args": ["a", "b", "c"]},
            {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
        ],
    }
}


def tree(body: Any, *places: list[Any]) -> Paths:
    paths: Paths = {}
    for place in places:
        put(paths, body, place)
    return paths


def rest(body: Any, *places: list[Any]) -> Any:
    return without(body, tree(body, *places))


def owned(body: Any, fields: dict[str, Any]) -> Any:
    paths: Paths = {}
    put_owned(paths, body, fields)
    return without(body, paths)


@pytest.mark.parametrize(
    ("place", "gone"),
    [
        (["spec", "containers", 0, "image"], "web:1"),
        (["spec", "containers", -1, "image"], "proxy:1"),
        (["spec", "containers", "1", "image"], "proxy:1"),  # of a JSON pointer
        (["spec", "containers", 1.0, "image"], "proxy:1"),  # of jq, which has one kind of numbers
        (["spec", "containers", {"start": 1, "end": None}, "image"], "proxy:1"),
        (["spec", "containers", {"start": None, "end": 1}, "image"], "web:1"),
    ],
)
def test_a_place_is_named_by_keys_and_indexes(place: list[Any], gone: str) -> None:
    before = copy.deepcopy(POD)
    left = rest(POD, place)
    images = [container.get("image") for container in left["spec"]["containers"]]
    assert None in images and gone not in images and len(images) == 2
    assert before == POD  # a body is not changed


@pytest.mark.parametrize(
    "place",
    [
        ["spec", "containers", 7, "image"],
        ["spec", "containers", "-", "image"],
        ["spec", "containers", "²", "image"],
        ["spec", "replicas", "deeper"],
        ["spec", "containers", {"start": 5, "end": 9}],
        ["spec", None],
    ],
)
def test_a_place_that_is_not_there_is_nothing(place: list[Any]) -> None:
    assert rest(POD, place) == POD


def test_all_of_it_is_every_field() -> None:
    assert rest(POD, []) == {}


def test_a_place_inside_of_one_that_is_ignored_already_adds_nothing() -> None:
    outer, inner = ["spec", "containers"], ["spec", "containers", 0, "image"]
    assert rest(POD, outer, inner) == rest(POD, inner, outer) == {"spec": {"replicas": 2}}


def test_what_is_emptied_is_as_if_it_had_never_been() -> None:
    """One side has the annotation, the other no annotations at all: nothing else differs."""
    place = ["metadata", "annotations", "touched"]
    assert rest({"metadata": {"annotations": {"touched": "1"}}, "spec": {}}, place) == {"spec": {}}
    assert rest({"metadata": {"annotations": {}}, "spec": {}}, place) == {"spec": {}}
    assert rest({"spec": {}}, place) == {"spec": {}}


def test_what_a_manager_owns_is_named_by_its_entry() -> None:
    fields: dict[str, Any] = {
        "f:spec": {
            "f:replicas": {},
            "f:containers": {
                'k:{"name":"proxy"}': {".": {}, "f:image": {}},
                'k:{"name":"gone"}': {"f:image": {}},
            },
        }
    }
    left = owned(POD, fields)
    assert "replicas" not in left["spec"]
    assert [container.get("image") for container in left["spec"]["containers"]] == ["web:1", None]


def test_a_merge_key_with_a_default_may_be_left_out_in_git() -> None:
    body = {"ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81}]}
    fields: dict[str, Any] = {"f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {"f:name": {}}}}
    assert owned(body, fields) == {"ports": [{"containerPort": 80}, {"containerPort": 81}]}


def test_values_of_a_set_and_indexes_are_owned_too() -> None:
    assert owned({"finalizers": ["a", "b"]}, {"f:finalizers": {'v:"a"': {}}}) == {"finalizers": ["b"]}
    assert owned({"args": ["a", "b"]}, {"f:args": {"i:1": {}}}) == {"args": ["a"]}


# --- rules -----------------------------------------------------------------------------------------
WEB = ObjectKey("apps", "Deployment", "shop", "web")


@pytest.mark.parametrize(
    ("rule", "concerned"),
    [
        ({"group": "apps", "kind": "Deployment"}, True),
        ({"kind": "Deployment"}, False),  # of the core group
        ({"group": "*", "kind": "*"}, True),
        ({"group": "*.example.org", "kind": "*"}, False),
        ({"group": "apps", "kind": "Deployment", "name": "web"}, True),
        ({"group": "apps", "kind": "Deployment", "name": "w*"}, True),
        ({"group": "apps", "kind": "Deployment", "name": "api"}, False),
        ({"group": "apps", "kind": "Deployment", "namespace": "shop"}, True),
        ({"group": "apps", "kind": "Deployment", "namespace": "other"}, False),
    ],
)
def test_a_rule_speaks_of_the_objects_that_it_names(rule: dict[str, str], concerned: bool) -> None:
    (found,) = rules_of([IgnoreDifference.read(rule, "rule")])
    assert found.concerns(WEB) is concerned


def test_a_pointer_is_taken_apart_as_the_rfc_says() -> None:
    written = {"kind": "X", "jsonPointers": ["/metadata/annotations/example.org~1a~0b", "/"]}
    (found,) = rules_of([IgnoreDifference.read(written, "rule")])
    assert found.pointers == (("metadata", "annotations", "example.org/a~b"), ("",))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"kind": "X", "jsonPointers": ["/ok", "spec/replicas"]},
            "spec.ignoreDifferences[1].jsonPointers[1]: 'spec/replicas' is no JSON pointer: it must",
        ),
        (
            {"kind": "X", "jsonPointers": ["/a~2"]},
            "spec.ignoreDifferences[1].jsonPointers[0]: '/a~2' is no JSON pointer: write ~0 for '~'",
        ),
        ({"kind": "X", "name": "{a"}, "spec.ignoreDifferences[1].name: '{a' "),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        rules_of([IgnoreDifference.read(one, "rule") for one in ({"kind": "Y"}, rule)])
    assert str(refused.value).startswith(message)
    assert refused.value.condition == "InvalidSpecError"


# --- whatever the objects are ------------------------------------------------------------------------
_names = st.sampled_from(["a", "b", "c", "d"])
_scalars = st.one_of(st.integers(0, 3), st.booleans(), _names)
_bodies = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.dictionaries(_names, inner, min_size=1, max_size=3), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return found + [place for key, value in inner for place in places(value, (*at, key))]


def changed(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(body)
    holder = result
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    return result


def at(body: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        body = body[step]
    return body


@given(st.data())
def test_what_is_sent_of_an_object_that_differs_only_in_what_is_ignored_is_that_object(
    data: st.DataObject,
) -> None:
    git = data.draw(st.dictionaries(_names, _bodies, min_size=1, max_size=4))
    ignored = [
        [*place] for place in data.draw(st.lists(st.sampled_from(places(git)), min_size=1, max_size=3))
    ]
    live = git
    for place in sorted(ignored, key=len, reverse=True):
        live = changed(live, tuple(place), data.draw(_bodies))
    assert kept(git, live, tree(git, *ignored), tree(live, *ignored), NOBODY) == live
    assert kept(git, git, tree(git, *ignored), tree(git, *ignored), NOBODY) == git


@given(st.data())
def test_what_is_ignored_may_become_anything_and_what_is_not_may_not(data: st.DataObject) -> None:
    body = data.draw(st.dictionaries(_names, _bodies, min_size=1, max_size=4))
    ignored = data.draw(st.lists(st.sampled_from(places(body)), min_size=1, max_size=3))
    moved = body
    for place in sorted(ignored, key=len, reverse=True):
        moved = changed(moved, place, data.draw(_bodies))
    # Indexes and keys of what is ignored are the same in both: nothing was added or removed above it.
    assert rest(moved, *map(list, ignored)) == rest(body, *map(list, ignored))

    others = [
        place
        for place in places(body)
        if not isinstance(at(body, place), dict | list)
        and not any(place[: len(one)] == one for one in ignored)
    ]
    if others:
        place = data.draw(st.sampled_from(others))
        drifted = changed(moved, place, "something else")
        assert rest(drifted, *map(list, ignored)) != rest(body, *map(list, ignored))
