"""Hosts are asked whether something has changed, where their answer will tell."""

from __future__ import annotations

import pytest

from workers.validators import unless_changed

MODIFIED, LATER = "Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:09 GMT"


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        ({"etag": '"a"', "last-modified": MODIFIED, "date": LATER}, {"If-None-Match": '"a"'}),
        ({"etag": 'W/"a"'}, {"If-None-Match": 'W/"a"'}),
        ({"last-modified": MODIFIED, "date": LATER}, {"If-Modified-Since": MODIFIED}),
        ({"last-modified": MODIFIED, "date": MODIFIED}, {}),
        ({"last-modified": MODIFIED, "date": MODIFIED.replace(":00 GMT", ":01 GMT")}, {}),
        ({"last-modified": LATER, "date": MODIFIED}, {}),
        ({"last-modified": MODIFIED}, {}),
        (
            {"last-modified": "Wed, 25 Nov 2026 09:59:50 GMT"},
            {"If-Modified-Since": "Wed, 25 Nov 2026 09:59:50 GMT"},
        ),
        ({"last-modified": "yesterday", "date": LATER}, {}),
        ({"last-modified": MODIFIED.replace("GMT", "-0000"), "date": LATER}, {}),
        ({}, {}),
    ],
)
def test_what_changed_within_the_second_of_the_answer_is_asked_for_as_a_whole(
    answer: dict[str, str], asked: dict[str, str]
) -> None:
    assert unless_changed(answer, 1_795_600_800.0) == asked
