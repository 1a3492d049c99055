"""What people see of a Secret."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.names import LAST_APPLIED
from workers.redact import MASK, masked, masked_together


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def secret(data: Any = None, string_data: Any = None, last_applied: Any = None) -> dict[str, Any]:
    annotations = {} if last_applied is None else {LAST_APPLIED: last_applied}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "annotations": annotations}}
    return (
        body
        | ({} if data is None else {"data": data})
        | ({} if string_data is None else {"stringData": string_data})
    )


def test_a_secrets_values_are_masked_and_its_keys_are_not() -> None:
    shown = masked(secret({"user": encoded("root"), "password": encoded("a" * 99)}, {"token": "t"}))
    assert shown["data"] == {"user": MASK, "password": MASK}
    assert shown["stringData"] == {"token": MASK}
    assert shown["metadata"]["name"] == "db"


def test_masking_changes_nothing_in_place() -> None:
    body = secret({"a": encoded("x")}, {"b": "y"}, json.dumps(secret({"a": encoded("z")})))
    before = copy.deepcopy(body)
    masked(body)
    assert body == before


def test_what_is_no_secret_comes_back_as_it_is() -> None:
    for body in (
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
        {"apiVersion": "example.com/v1", "kind": "Secret", "data": {"a": "b"}},
    ):
        assert masked(body) is body


def test_a_changed_value_shows_as_changed_and_an_equal_one_as_equal() -> None:
    wanted, live = masked_together(
        secret({"same": encoded("x"), "changed": encoded("long" * 20)}),
        secret({"same": encoded("x"), "changed": encoded("s")}),
    )
    assert wanted["data"] == {"same": MASK, "changed": MASK}
    assert live["data"] == {"same": MASK, "changed": MASK + "++++"}


def test_the_last_applied_annotation_is_masked_and_compared() -> None:
    applied = secret({"old": encoded("1"), "same": encoded("x")})
    shown = masked(secret({"old": encoded("2"), "same": encoded("x")}, last_applied=json.dumps(applied)))
    annotation = json.loads(shown["metadata"]["annotations"][LAST_APPLIED])
    assert shown["data"] == {"old": MASK, "same": MASK}
    assert annotation["data"] == {"old": MASK + "++++", "same": MASK}


def test_a_value_in_string_data_equals_the_same_value_in_data() -> None:
    wanted, live = masked_together(secret(string_data={"a": "x"}), secret({"a": encoded("x")}))
    assert wanted["stringData"] == live["data"]


def test_odd_secrets_are_masked_whole() -> None:
    assert masked(secret("hunter2"))["data"] == MASK
    assert masked(secret(["hunter2"]))["data"] == MASK
    assert masked(secret({"a": None, "b": 3, "c": {"d": "hunter2"}}))["data"] == dict.fromkeys("abc", MASK)
    for annotation in ("{hunter2", '"hunter2"', "[" * 100_000, "\ud800hunter2", 7):
        shown = masked(secret(last_applied=annotation))
        assert shown["metadata"]["annotations"][LAST_APPLIED] == MASK
    assert masked({"kind": "Secret", "metadata": "?", "data": {"a": "hunter2"}})["data"] == {"a": MASK}


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_masks_tell_equality_of_values_and_nothing_else(values: list[str]) -> None:
    shown = [body["data"]["k"] for body in masked_together(*(secret({"k": encoded(v)}) for v in values))]
    first_seen = list(dict.fromkeys(values))
    assert shown == [MASK + "++++" * first_seen.index(value) for value in values]
