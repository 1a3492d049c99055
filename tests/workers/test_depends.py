"""Which apps are waited for, and that nobody waits for itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.depends import depends_on, not_names
from mooring.model.support import unsupported_spec
from workers.depends import circle, unready

DATABASE = AppKey("mooring", "database")


def shop(text: str = "", status: Mapping[str, Any] | None = None, **more: Any) -> Application:
    spec = {"project": "default", "source": {"repoURL": "https://git.example.org/a.git", "path": "."}}
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {
                "name": "shop",
                "namespace": "mooring",
                "annotations": {"mooring.dev/depends-on": text},
                **more,
            },
            "spec": {**spec, "destination": {"name": "in-cluster"}},
            "status": dict(status or {}),
        }
    )


def test_apps_are_named_with_or_without_their_namespace() -> None:
    app = shop(" database,\n elsewhere/queue , database,,mooring/v1.2-b")
    assert depends_on(app) == (DATABASE, AppKey("elsewhere", "queue"), AppKey("mooring", "v1.2-b"))
    assert not_names(app) == ()
    assert depends_on(shop()) == ()


@pytest.mark.parametrize("text", ["Database", "a b", "a/b/c", "/a", "a/", "../x", "a.b/c", "x" * 400])
def test_what_is_no_name_stops_the_app_and_is_told(text: str) -> None:
    app = shop(f"database, {text}")
    assert depends_on(app) == (DATABASE,)
    (told,) = [one for one in unsupported_spec(app) if "depends-on" in one.path]
    assert told.blocks
    assert repr(text) in str(told)


SYNCED = {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}


@pytest.mark.parametrize(
    ("status", "current", "why"),
    [
        (SYNCED, True, ""),
        (SYNCED, False, "is about to be looked at"),
        ({}, True, "was not compared yet"),
        ({**SYNCED, "sync": {"status": "OutOfSync"}}, True, "is OutOfSync"),
        ({**SYNCED, "sync": {"status": "Unknown"}}, True, "is Unknown"),
        ({**SYNCED, "health": {"status": "Degraded"}}, True, "is Degraded"),
        ({**SYNCED, "health": {}}, True, "is of unknown health"),
        (
            {**SYNCED, "operationState": {"phase": "Running", "startedAt": "t", "operation": {"sync": {}}}},
            True,
            "is being synced",
        ),
    ],
)
def test_ready_is_who_is_synced_and_healthy_and_wanted_nothing_newer_of(
    status: Mapping[str, Any], current: bool, why: str
) -> None:
    assert unready(shop(status=status), current=current) == why


def test_who_is_being_deleted_is_not_ready() -> None:
    going = shop(status=SYNCED, deletionTimestamp="2026-01-01T00:00:00Z")
    assert unready(going, current=True) == "is being deleted"


def keys(*names: str) -> tuple[AppKey, ...]:
    return tuple(AppKey("mooring", name) for name in names)


@pytest.mark.parametrize(
    ("needs", "way"),
    [
        ({"a": "b", "b": "c"}, ""),
        ({"a": "a"}, "aa"),
        ({"a": "b", "b": "a"}, "aba"),
        ({"a": "bc", "b": "d", "c": "a", "d": "a"}, "aca"),
        ({"a": "b", "b": "b"}, ""),  # it waits for one that waits for itself
    ],
)
def test_a_circle_is_told_by_its_shortest_way(needs: Mapping[str, str], way: str) -> None:
    found = circle(AppKey("mooring", "a"), lambda key: keys(*needs.get(key.name, "")))
    assert found == keys(*way)


graphs = st.dictionaries(st.sampled_from("abcdef"), st.text("abcdef", max_size=4), max_size=6)


@given(graphs)
def test_a_circle_is_found_exactly_where_somebody_comes_back_to_itself(needs: dict[str, str]) -> None:
    reach = {name: set(needs.get(name, "")) for name in "abcdef"}
    for _ in range(6):
        reach = {name: direct.union(*(reach[other] for other in direct)) for name, direct in reach.items()}
    for name in "abcdef":
        way = circle(AppKey("mooring", name), lambda key: keys(*needs.get(key.name, "")))
        assert bool(way) is (name in reach[name])
        if way:
            assert way[0] == way[-1] == AppKey("mooring", name)
            assert len(set(way)) == len(way) - 1
            assert all(after.name in needs[before.name] for before, after in pairwise(way))
