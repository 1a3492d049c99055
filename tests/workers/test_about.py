"""What people who watch the queue are told that a task is about."""

from __future__ import annotations

from mooring.keys import AppKey
from mooring.names import DEPLOY, RECONCILE, TASK_MOVED, TASK_RECONCILE, TASK_TURN
from mooring.store.connection import connect
from mooring.store.due import Step
from mooring.store.turns import Turns
from workers.about import about, completed
from workers.celery_app import shown

_COMMIT = "21bc91e02c2d254fcb225266ea10e25f87ab48cf"


def test_a_push_is_shown_as_mooring_push_is_called_with_commit_applications_and_delivery() -> None:
    wishes = {"repo": "https://git.example.com/team/shop", "revision": "main", "hint": _COMMIT}
    assert about("push:0123", wishes, ["17-0"], [AppKey("home", "a"), AppKey("home", "b")]) == (
        "('https://git.example.com/team/shop', 'main')",
        f"{{'delivery': '17-0', 'commit': '{_COMMIT}', 'apps': 'home/a, home/b'}}",
    )


def test_an_application_is_shown_as_mooring_sync_is_called_with_its_commit_or_why_it_is_looked_at() -> None:
    assert about("app:home_a", {"commit": _COMMIT, "push:0123": _COMMIT}, ["17-0"]) == (
        "('home/a',)",
        f"{{'delivery': '17-0', 'commit': '{_COMMIT}'}}",
    )
    assert about("app:home_a", {"refresh": "hard", "operation": "1"}) == (
        "('home/a',)",
        "{'why': 'operation, refresh'}",
    )


def test_a_burst_is_counted_not_listed() -> None:
    _, told = about("app:home_a", {}, [f"{n}-0" for n in range(200)])
    assert told == "{'delivery': '0-0, 1-0, 2-0 and 197 more'}"


def test_what_strangers_wrote_is_short_visible_and_without_credentials() -> None:
    repo = "https://u:swordfish@h/r?token=swordfish"
    told = " ".join(about("push:0123", {"repo": repo, "revision": "a\x1b[2Jb", "hint": "x" * 10_000}))
    assert "'https://h/r'" in told
    assert "swordfish" not in told
    assert told.isprintable()
    assert len(told) < 500


def test_arguments_are_shown_without_the_credentials_of_urls_and_otherwise_as_they_are() -> None:
    url = "https://user:swordfish@git.example.com/team/shop?access_token=swordfish"
    assert shown((url, "main")) == ("https://git.example.com/team/shop", "main")
    assert shown({"repo": [url]}) == {"repo": ["https://git.example.com/team/shop"]}
    for plain in ("home/app", "push:0123", "app:home_a", "what? #1", "", None, 5, True):
        assert shown(plain) == plain


def _nothing(turn: str) -> dict[str, str]:
    return {}


def test_what_is_merely_moved_is_told_with_its_applications_and_their_commit(redis_url: str) -> None:
    turns = Turns(connect(redis_url), lambda: 1000.0)
    step = Step(TASK_MOVED, ("push:0123",), RECONCILE)
    moves = {f"home_{name}": _COMMIT for name in "abcd"}
    told = completed(step, turns, {"push:0123": moves}.__getitem__)
    assert told.shown == ("()", f"{{'apps': 'home/a, home/b, home/c and 1 more', 'commit': '{_COMMIT}'}}")
    assert completed(step, turns, _nothing).shown == step.shown


def test_a_turn_that_is_sent_by_its_name_alone_is_looked_up(redis_url: str) -> None:
    client = connect(redis_url)
    turns = Turns(client, lambda: 1000.0)
    turns.want("app:home_a", {"commit": _COMMIT}, ["17-0"])
    step = completed(Step(TASK_TURN, ("app:home_a",), DEPLOY), turns, _nothing)
    assert step.shown == about("app:home_a", {"commit": _COMMIT}, ["17-0"])
    assert step == Step(TASK_TURN, ("app:home_a",), DEPLOY), "it is the same step all the same"

    forgotten = Step(TASK_TURN, ("push:0123",), DEPLOY)
    assert completed(forgotten, turns, _nothing).shown == forgotten.shown, "then its name has to do"
    client.set("mooring:turn:app:home_b:wishes", "no hash")
    for other in (
        Step(TASK_TURN, ("app:home_b",), DEPLOY),
        Step(TASK_TURN, ("app:home_a",), DEPLOY, ("known", "")),
        Step(TASK_RECONCILE, ("home_a", "health"), RECONCILE),
    ):
        assert completed(other, turns, _nothing) is other
