"""What strangers wrote is shown, and obeyed by no terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.text import printable


@given(st.text())
def test_whatever_it_is_what_is_shown_can_be_printed_and_utf8(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()


@given(st.text())
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ["plain", "Grüße 你好 🚢", "a/b c.yaml:3", ""])
def test_words_of_people_stay_as_they_are(text: str) -> None:
    assert printable(text) == text


def test_an_error_is_one_line_whatever_a_file_is_called() -> None:
    error = Refused("is not YAML", where="\x1b[2J\x1b]0;x\x07\nok: \u202elmay.yaml:1")
    assert str(error) == r"\x1b[2J\x1b]0;x\x07\nok: \u202elmay.yaml:1: is not YAML"
