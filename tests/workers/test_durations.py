"""Durations as Go writes them."""

from __future__ import annotations

import pytest

from workers.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_so_many_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "7", "soon", "-5s", "5 s", "5x", "1h 30m", "s", "٣s", "9999999h"])
def test_what_is_none_is_not_guessed(text: str) -> None:
    assert seconds(text) is None
