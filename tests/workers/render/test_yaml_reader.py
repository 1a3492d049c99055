"""Reading documents: lines, warnings, and input made to hurt."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import RenderFailed
from workers.render import scalars
from workers.render.yaml_reader import Document, read_documents

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: "Infinity" not in json.dumps(value))
ANY_OBJECT = st.dictionaries(st.text(), ANY_JSON, max_size=4)


def normal(value: object) -> object:
    if isinstance(value, dict):
        return {key: normal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [normal(child) for child in value]
    return scalars.on_the_wire(value) if type(value) is int or type(value) is float else value


def where(data: bytes) -> str:
    with pytest.raises(RenderFailed) as caught:
        read_documents(data, "f.yaml")
    return caught.value.where


def test_each_document_knows_its_line() -> None:
    text = b"# head\n---\n\n# more\na: 1\n--- # next\n\nb: 2\n---\n{c: 3}\n"
    assert read_documents(text, "f")[0] == [
        Document({"a": 1}, 5),
        Document({"b": 2}, 8),
        Document({"c": 3}, 10),
    ]


def test_json_objects_in_a_row_know_their_lines() -> None:
    assert read_documents(b'{"a": 1}\n\n{"b":\n 2} {"c": 3}', "f")[0] == [
        Document({"a": 1}, 1),
        Document({"b": 2}, 3),
        Document({"c": 3}, 4),
    ]


def test_a_repeated_key_is_a_warning_with_file_and_line_and_the_last_one_counts() -> None:
    documents, warnings = read_documents(b"x: 1\n---\na: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "dir/f.yaml")
    assert documents[1].body == {"a": 3, "b": {"c": 2}}
    assert warnings == [
        "dir/f.yaml:6: the key 'c' is given twice, the last one counts",
        "dir/f.yaml:7: the key 'a' is given twice, the last one counts",
    ]


def test_a_repeated_key_in_json_is_found_too() -> None:
    assert read_documents(b'{"a": 1,\n"a": 2}', "f.json")[1] == [
        "f.json:2: the key 'a' is given twice, the last one counts"
    ]


def test_a_key_that_overrides_a_merged_one_is_no_repeated_key() -> None:
    assert read_documents(b"x: &x {a: 1}\ny: {<<: *x, a: 2}\n", "f")[1] == []


def test_repeated_keys_are_refused_by_setting() -> None:
    with pytest.raises(RenderFailed) as caught:
        read_documents(b"a: 1\na: 2\n", "f.yaml", "error")
    assert caught.value.where == "f.yaml:2"


def test_changing_what_an_alias_gave_changes_nothing_else() -> None:
    body = read_documents(b"a: &a {b: [1]}\nc: *a\nd: {<<: *a}\n", "f")[0][0].body
    body["c"]["b"].append(2)
    body["d"]["b"].append(3)
    assert body["a"] == {"b": [1]}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: 1\nb: [\n", 3),
        (b"a: 1\n---\nb: 'x\n---\nc: 1\n", 4),
        (b"a: 1\n\nb: \x00\n", 3),
        (b"a: 1\nb: \xff\n", 2),
        (b"a: 1\n--- b\n", 2),
        (b"a: 1\n...\nb: 2\n", 3),
        (b"{a: 1}\nb: 2\n", 2),
        (b"a: 1\nb: *c\n", 2),
        (b"a: 1\n---\n- b\n", 3),
        (b"\xff\xfea", 1),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is(data: bytes, line: int) -> None:
    assert where(data) == f"f.yaml:{line}"


def test_errors_tell_no_values() -> None:
    for text in (b"a: !!int hunter2", b"a: !!binary hunter2", b'{"a": "hunter2" x}', b"a: 'hunter2' b"):
        with pytest.raises(RenderFailed, check=lambda error: "hunter2" not in str(error)):
            read_documents(text, "f")


@pytest.mark.parametrize(
    "data",
    [
        b"a: " + b"[" * 100_000,
        b"".join(b" " * depth + b"a:\n" for depth in range(1000)),
        b'{"a":' * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"- " * 100_000,
        b"? " * 100_000,
        b"{" * 100_000,
        b"a0: &a0 {}\n" + b"".join(b"a%d: &a%d {b: *a%d}\n" % (i, i, i - 1) for i in range(1, 300)),
        b"a0: &a0 [1,1]\n"
        + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 30)),
    ],
    ids=["flow", "block", "json", "whole json", "dashes", "questions", "braces", "alias depth", "laughter"],
)
def test_nesting_and_aliases_without_end_are_refused(data: bytes) -> None:
    with pytest.raises(RenderFailed, match=r"deeper than|aliases expand"):
        read_documents(data, "f")


def test_numbers_of_a_million_digits_are_no_burden() -> None:
    digits = b"9" * 1_000_000
    assert read_documents(b"a: " + digits, "f")[0][0].body == {"a": digits.decode()}
    with pytest.raises(RenderFailed):
        read_documents(b'{"a": ' + digits + b"}", "f")


@given(
    st.binary(max_size=200)
    | st.text(alphabet="ab1:-{}[],&*!|>'\"%#~. \n\t\r?<=\\", max_size=60).map(str.encode)
)
def test_no_bytes_raise_anything_but_render_failed(data: bytes) -> None:
    try:
        documents, _ = read_documents(data, "f.yaml")
    except RenderFailed as error:
        assert re.match(r"f\.yaml:\d+: ", str(error))
    else:
        assert all(isinstance(document.body, dict) for document in documents)


@given(ANY_OBJECT)
def test_any_json_object_is_read_as_it_was_written(body: dict[str, object]) -> None:
    for text in (json.dumps(body), json.dumps(body, ensure_ascii=False, indent="\t")):
        assert normal(read_documents(text.encode(), "f.json")[0][0].body) == normal(body)


@given(st.text(max_size=20) | st.from_regex(r"[-+]?[0-9._xobeE]{1,8}", fullmatch=True))
def test_every_plain_scalar_becomes_something_json_can_hold(text: str) -> None:
    value = scalars.plain(text)
    if (type(value) is int or type(value) is float) and abs(value) != float("inf") and value == value:
        assert json.loads(json.dumps(scalars.on_the_wire(value))) == scalars.on_the_wire(value)
    assert isinstance(scalars.key(value), str) if type(value) is not int and value is not None else True
