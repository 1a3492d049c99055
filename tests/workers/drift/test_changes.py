"""Which fields have changed, from what to what, and who owns them by managedFields."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.drift import Change
from workers.drift.changes import changes

GIT: Final[dict[str, Any]] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "annotations": {"team.example/on-call": "sea"}},
    "spec": {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "main", "image": "x:1"}, {"name": "log"}]}},
    },
}


def edited() -> dict[str, Any]:
    return copy.deepcopy(GIT)


def entry(manager: str, fields: dict[str, Any], time: str = "2026-01-01T00:00:00Z", **more: str) -> Any:
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields, **more}


def test_each_changed_field_is_told_with_both_values_and_who_set_it_when() -> None:
    live = edited()
    live["spec"]["replicas"] = 5
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
    image: dict[str, Any] = {
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"main"}': {"f:image": {}}}}}
    }
    managed = [
        entry("mooring", {"f:spec": {"f:replicas": {}}}, "2026-01-09T00:00:00Z"),
        entry("kubectl", {"f:spec": {"f:replicas": {}}}, "2026-01-02T00:00:00Z", subresource="scale"),
        entry("kubectl-edit", {"f:spec": image}, "2026-01-03T00:00:00Z"),
    ]
    replicas, changed = changes(live, GIT, managed)
    assert replicas == Change("spec.replicas", "2", "5", "kubectl", "Update", "scale", "2026-01-02T00:00:00Z")
    assert replicas.by == "kubectl (scale)"
    assert changed == Change(
        "spec.template.spec.containers[name=main].image",
        '"x:1"',
        '"x:2"',
        "kubectl-edit",
        "Update",
        "",
        "2026-01-03T00:00:00Z",
    )


def test_of_several_owners_it_is_the_one_that_wrote_last() -> None:
    live = edited() | {"spec": {**GIT["spec"], "replicas": 3}}
    owns: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    managed = [entry("late", owns, "2026-02-02T00:00:00Z"), entry("early", owns, "2026-01-01T00:00:00Z")]
    (change,) = changes(live, GIT, managed)
    assert change.manager == "late"


def test_what_was_removed_has_no_owner_and_no_time() -> None:
    live = edited()
    del live["metadata"]["annotations"]
    managed = [entry("kubectl-edit", {"f:spec": {"f:replicas": {}}})]
    assert changes(live, GIT, managed) == (
        Change("metadata.annotations", '{"team.example/on-call":"sea"}', None),
    )


def test_names_that_are_no_plain_words_are_quoted_and_nobody_writes_on_a_terminal() -> None:
    live = edited()
    live["metadata"]["annotations"] = {"team.example/on-call": "\x1b[2Jsea"}
    owns: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:team.example/on-call": {}}}}
    (change,) = changes(live, GIT, [entry("ed\x1b[31m", owns)])
    assert change.field == 'metadata.annotations["team.example/on-call"]'
    assert change.found == r'"\u001b[2Jsea"'
    assert change.manager == r"ed\x1b[31m"


def test_an_item_of_a_list_that_is_gone_or_too_many_is_one_change() -> None:
    live = edited()
    containers = live["spec"]["template"]["spec"]["containers"]
    containers[1] = {"name": "spy"}
    owns: dict[str, Any] = {
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"spy"}': {".": {}, "f:name": {}}}}}
    }
    found = {one.field: one for one in changes(live, GIT, [entry("sidecar", {"f:spec": owns})])}
    at = "spec.template.spec.containers"
    assert found.keys() == {f"{at}[name=log]", f"{at}[name=spy]"}
    assert (found[f"{at}[name=log]"].found, found[f"{at}[name=log]"].manager) == (None, "")
    assert (found[f"{at}[name=spy]"].wanted, found[f"{at}[name=spy]"].manager) == (None, "sidecar")


def test_items_in_another_order_are_a_change_of_the_list() -> None:
    live = edited()
    live["spec"]["template"]["spec"]["containers"].reverse()
    (change,) = changes(live, GIT, [])
    assert change.field == "spec.template.spec.containers"


def test_a_list_without_names_is_compared_by_place_where_it_is_as_long_and_as_a_whole_where_not() -> None:
    git = {"spec": {"args": ["a", "b"]}}
    (one,) = changes({"spec": {"args": ["a", "c"]}}, git, [entry("ed", {"f:spec": {"f:args": {}}})])
    assert (one.field, one.wanted, one.found, one.manager) == ("spec.args[1]", '"b"', '"c"', "ed")
    (whole,) = changes({"spec": {"args": ["a"]}}, git, [])
    assert (whole.field, whole.wanted, whole.found) == ("spec.args", '["a","b"]', '["a"]')


@pytest.mark.parametrize("login", ["me:hunter2", "hunter2", "me:hun@ter2", "me:hun/ter2", ":hunter2" * 40])
def test_of_a_url_user_and_password_are_shown_nowhere(login: str) -> None:
    url = f"https://{login}@git.example.com/shop"
    git = {"spec": {"repoURL": "https://git.example.com/shop", "image": "a"}}
    for value in (url, [f"--from={url}"], {"urls": url}):
        (change,) = changes({"spec": {**git["spec"], "repoURL": value}}, git, [])
        assert change.found is not None
        assert "https://***@git.example.com/shop" in change.found
        assert (change.wanted, "ter2" in change.found) == ('"https://git.example.com/shop"', False)


def test_long_values_are_cut_and_deep_ones_come_to_an_end() -> None:
    (long,) = changes({"data": {"a": "x" * 1000}}, {"data": {"a": "y"}}, [])
    assert long.found is not None
    assert len(long.found) == 100
    assert long.found.endswith("…")
    deep: dict[str, Any] = {"a": 1}
    other: dict[str, Any] = {"a": 2}
    for _ in range(200):
        deep, other = {"a": deep}, {"a": other}
    (one,) = changes(deep, other, [])
    assert one.field.count("a") == 60


# --- whatever there is -------------------------------------------------------------------------------
names = st.sampled_from(["a", "b", "name", "c.d/e"])
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
bodies = st.dictionaries(names, values, max_size=3)


def fields_of(value: Any) -> dict[str, Any]:
    """FieldsV1 that own all of `value`; lists as a whole."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": fields_of(below) for key, below in value.items()}


@given(bodies, bodies)
@settings(max_examples=200, derandomize=True)
def test_there_is_a_change_where_and_only_where_they_differ(
    live: dict[str, Any], git: dict[str, Any]
) -> None:
    assert bool(changes(live, git, [])) == (live != git)
    assert changes(live, copy.deepcopy(live), []) == ()


@given(bodies, bodies)
@settings(max_examples=200, derandomize=True)
def test_what_is_there_is_owned_by_who_owns_all_and_what_is_not_by_nobody(
    live: dict[str, Any], git: dict[str, Any]
) -> None:
    for change in changes(live, git, [entry("ed", fields_of(live))]):
        assert change.manager == ("ed" if change.found is not None else "")


@given(bodies, bodies)
@settings(max_examples=200, derandomize=True)
def test_seen_from_the_other_side_it_is_the_other_way_round(
    live: dict[str, Any], git: dict[str, Any]
) -> None:
    there = {(one.field, one.wanted, one.found) for one in changes(live, git, [])}
    back = {(one.field, one.found, one.wanted) for one in changes(git, live, [])}
    assert there == back


@given(bodies, names, scalars)
@settings(max_examples=200, derandomize=True)
def test_one_field_that_is_set_is_one_change(git: dict[str, Any], name: str, value: Any) -> None:
    found = changes({**git, name: value}, git, [])
    if name in git and git[name] == value:
        assert found == ()
    elif not isinstance(git.get(name), dict | list):
        (change,) = found
        assert (change.wanted is None) == (name not in git)
    assert len(found) <= 1 or isinstance(git[name], dict | list)
