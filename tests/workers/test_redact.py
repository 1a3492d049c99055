"""What people see of a Secret."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from mooring.names import LAST_APPLIED
from workers.redact import ANNOTATIONS, MASK, masked, masked_together, sensitive


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


def test_what_no_secret_has_is_masked_too() -> None:
    """Values under a misspelled name, or not indented as they should be, are shown as Git has them."""
    misspelled = {**secret(), "stringdata": {"password": "hunter2"}, "binaryData": "hunter2"}
    assert masked(misspelled) == {**secret(), "stringdata": MASK, "binaryData": MASK}
    shown = masked({**secret(), "metadata": {"name": "db", "stringData": {"password": "hunter2"}}})
    assert shown["metadata"] == {"name": "db", "stringData": MASK}
    assert misspelled["stringdata"] == {"password": "hunter2"}
    labels = {"app": "db", "stringData": {"password": "hunter2"}}
    shown = masked({**secret(), "type": {"password": "hunter2"}, "metadata": {"labels": labels}})
    assert shown["type"] == MASK
    assert shown["metadata"]["labels"] == {"app": "db", "stringData": MASK}
    for kind in ("secret", "Secrets"):  # the API server knows neither; Git's manifests are shown all the same
        assert masked({**secret({"a": encoded("hunter2")}), "kind": kind})["data"] == {"a": MASK}


def test_base64_is_read_as_the_api_server_reads_it() -> None:
    """A block of YAML ends with a line feed, and `base64` breaks long lines."""
    value = "hunter2 " * 12
    broken = "".join(f"{encoded(value)[at : at + 76]}\r\n" for at in range(0, 128, 76))
    wanted, live = masked_together(secret({"a": broken}), secret({"a": encoded(value)}))
    assert wanted["data"] == live["data"] == {"a": MASK}
    assert shown_annotations(annotated(secret({"a": broken}), copy=value)) == [{"copy": MASK}]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_masks_tell_equality_of_values_and_nothing_else(values: list[str]) -> None:
    shown = [body["data"]["k"] for body in masked_together(*(secret({"k": encoded(v)}) for v in values))]
    first_seen = list(dict.fromkeys(values))
    assert shown == [MASK + "++++" * first_seen.index(value) for value in values]


def annotated(body: dict[str, Any], **annotations: Any) -> dict[str, Any]:
    return {**body, "metadata": {"name": "db", "annotations": annotations}}


def shown_annotations(*bodies: dict[str, Any], named: str = "") -> list[dict[str, Any]]:
    seen = masked_together(*bodies, annotations=sensitive({ANNOTATIONS: named}))
    return [body["metadata"]["annotations"] for body in seen]


def test_annotations_that_argocd_cm_names_are_masked_and_compared() -> None:
    one, other = shown_annotations(
        annotated(secret({}), **{"api-key": "a", "token.example.com/value": "x", "note": "n"}),
        annotated(secret({}), **{"api-key": "b", "token.example.com/value": "x", "note": "n"}),
        named="api-key, token.example.com/value,",
    )
    assert one == {"api-key": MASK, "token.example.com/value": MASK, "note": "n"}
    assert other == {"api-key": MASK + "++++", "token.example.com/value": MASK, "note": "n"}


def test_the_last_applied_annotation_hides_what_is_named_in_it_too() -> None:
    applied = annotated(secret(string_data={"a": "x"}), **{"api-key": "hunter2"})
    body = annotated(secret(), **{LAST_APPLIED: json.dumps(applied), "api-key": "hunter2"})
    assert "hunter2" not in repr(shown_annotations(body, named="api-key"))


def test_an_annotation_that_repeats_a_value_is_masked_whatever_it_is_called() -> None:
    value = 'hunter2/\n"and the second line of it"'
    copies = {
        "plain": value,
        "within": f"password={value};",
        "base64": encoded(value),
        "json": json.dumps({"password": value}),
        "url": quote(value, safe=""),
        "line": '"and the second line of it"',
    }
    for body in (secret({"a": encoded(value)}), secret(string_data={"a": value})):
        assert shown_annotations(annotated(body, **copies, note="fine")) == [
            {**dict.fromkeys(copies, MASK), "note": "fine"}
        ]


def test_an_annotation_that_repeats_what_a_value_was_is_masked_too() -> None:
    wanted = secret({"a": encoded("new password")})
    live = annotated(secret({"a": encoded("old password")}), copy="old password")
    then = annotated(wanted, copy="old password")
    assert shown_annotations(live, then) == [{"copy": MASK}, {"copy": MASK}]
    applied = json.dumps(secret(string_data={"a": "older password"}))
    body = annotated(wanted, copy="older password", **{LAST_APPLIED: applied})
    assert shown_annotations(body)[0]["copy"] == MASK


def test_short_values_and_marks_of_whose_it_is_hide_nothing_else() -> None:
    marks = {"mooring.dev/id": "x/mooring_shop//Secret/shop/db", "argocd.argoproj.io/sync-wave": "1"}
    body = annotated(secret({"user": encoded("shop"), "n": encoded("1")}), **marks, note="1 shot", one="1")
    assert shown_annotations(body) == [{**marks, "note": "1 shot", "one": MASK}]
    assert masked({"kind": "Secret", "metadata": {"annotations": "hunter2"}})["metadata"] == {
        "annotations": MASK
    }
