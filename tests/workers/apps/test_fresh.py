"""Answers that are kept for a second, and are as new as they must be once somebody has seen newer ones."""

from __future__ import annotations

import pytest

from workers.apps.fresh import Fresh


class Asked:
    """An API server and its cache, which has the answer before the newest."""

    def __init__(self) -> None:
        self.newest = 1
        self.times = 0
        self.away = False

    def __call__(self, cached: bool) -> int:
        self.times += 1
        if self.away:
            raise OSError("away")
        return self.newest - 1 if cached else self.newest


def test_who_asks_in_the_same_moment_is_answered_once_and_from_the_cache() -> None:
    asked = Asked()
    fresh = Fresh(asked, max_age=1000)
    assert [fresh.get(), fresh.get()] == [0, 0]
    assert asked.times == 1


def test_an_answer_is_asked_for_again_once_it_is_old() -> None:
    asked = Asked()
    fresh = Fresh(asked, max_age=-1)
    fresh.get()
    asked.newest = 9
    assert fresh.get() == 8


def test_where_somebody_has_seen_a_newer_answer_a_cache_will_not_do() -> None:
    asked = Asked()
    fresh = Fresh(asked, max_age=1000)
    fresh.get()
    fresh.forget()
    assert fresh.get() == 1
    fresh = Fresh(asked, max_age=-1)
    fresh.forget()
    assert [fresh.get(), fresh.get()] == [1, 0], "afterwards it will"


def test_who_misses_something_is_not_answered_from_a_cache() -> None:
    asked = Asked()
    fresh = Fresh(asked, max_age=1000)
    assert [fresh.get(), fresh.newest(), fresh.get()] == [0, 1, 1]
    assert asked.times == 2


def test_what_is_missed_may_have_come_since_the_newest_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = Asked(), 100.0
    monkeypatch.setattr("workers.apps.fresh.monotonic", lambda: now)
    fresh = Fresh(asked)
    fresh.newest()
    asked.newest = 2
    assert [fresh.newest(), asked.times] == [1, 1], "of many who miss it in the same moment one asks"
    now += 0.5
    assert [fresh.newest(), asked.times] == [2, 2]
    now += 2
    asked.newest = 3
    assert fresh.newest() == 3, "what is too old for anybody leads to no cache either"


def test_an_error_is_not_kept_nor_that_a_newer_answer_was_seen_forgotten() -> None:
    asked = Asked()
    fresh = Fresh(asked, max_age=1000)
    fresh.forget()
    asked.away = True
    with pytest.raises(OSError, match="away"):
        fresh.get()
    asked.away = False
    assert fresh.get() == 1
