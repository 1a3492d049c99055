"""Apps that come together share what a host has said; none is told what was said before it was there."""

from __future__ import annotations

from workers.answers import Answers


def test_what_was_asked_after_the_app_was_created_is_its_answer_for_two_seconds() -> None:
    now = 100.0
    answers = Answers(lambda: now)
    answers.note("mirror", "main", "a" * 40, asked_at=100.0)

    assert answers.since(100.0, "mirror", "main") == "a" * 40
    assert answers.since(100.5, "mirror", "main") == ""  # created since
    assert answers.since(100.0, "mirror", "other") == ""
    assert answers.since(100.0, "another credential's mirror", "main") == ""

    now = 102.5
    assert answers.since(100.0, "mirror", "main") == ""


def test_a_newer_answer_takes_the_place_of_an_older_one() -> None:
    answers = Answers(lambda: 100.0)
    answers.note("mirror", "main", "a" * 40, asked_at=99.0)
    answers.note("mirror", "main", "b" * 40, asked_at=99.5)
    assert answers.since(99.0, "mirror", "main") == "b" * 40
