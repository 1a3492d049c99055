"""What people are notified of, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.drift import Change, Done, Drift, What
from mooring.keys import ObjectKey
from workers.drift.announce import Announcement, announcements


def drift(name: str, done: Done, why: str = "") -> Drift:
    changes = (Change("data.v", '"as Git has it"', '"as found"', "meddler"),)
    key = ObjectKey("", "ConfigMap", "there", name)
    return Drift(key, What.CHANGED, changes, 0, 10.0, 20.0, 30.0, done, why)


def test_what_was_done_with_all_objects_is_one_event_and_says_no_value() -> None:
    news = [drift("a", Done.LEFT, "selfHeal is off"), drift("b", Done.HEALED), drift("c", Done.HEALED)]
    left, healed = announcements(news)
    by = "data.v, set by meddler (as it calls itself)"
    why = "left: selfHeal is off"
    assert left == Announcement("Warning", "Drifted", f"ConfigMap there/a: {by}; {why}")
    assert (healed.type, healed.reason) == ("Normal", "DriftHealed")
    assert healed.message == f"ConfigMap there/b: {by}; put back; ConfigMap there/c: {by}; put back"


def test_a_fight_is_a_warning() -> None:
    (one,) = announcements([drift("a", Done.CONTESTED, "put back 3 times in a row, and not again before …")])
    assert (one.type, one.reason) == ("Warning", "DriftContested")
    assert "changed again each time that it was put back" in one.message


@pytest.mark.parametrize("done", [Done.HEALING, Done.IGNORED, Done.SETTLED])
def test_what_asks_nobody_to_do_anything_is_no_event(done: Done) -> None:
    assert not list(announcements([drift("a", done)]))


def test_the_same_again_is_told_in_the_same_words() -> None:
    """So that the API server counts it, and has not one Event for each time."""
    first = drift("a", Done.HEALED, "put back by the sync that began at 2026-01-01T00:00:00Z")
    again = replace(
        first, why="put back by the sync that began at 2026-01-01T00:01:00Z", seen=90.0, last=91.0
    )
    assert list(announcements([first])) == list(announcements([again]))


def test_of_many_objects_some_are_named() -> None:
    (one,) = announcements([drift(f"c{number}", Done.LEFT) for number in range(9)])
    assert "there/c4" in one.message and "there/c5" not in one.message
    assert one.message.endswith("; and 4 more")
