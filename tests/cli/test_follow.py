"""How an Application is doing, in a line: each word named, each message once."""

from __future__ import annotations

from typing import Any

import pytest

from cli.app.follow import Progress, words
from cli.app.operate import print_outcome
from tests.cli.conftest import application

_REFUSED = "the repository does not exist"


def ended(phase: str, message: str) -> dict[str, Any]:
    return {
        "operation": {"sync": {}},
        "phase": phase,
        "message": message,
        "startedAt": "2026-01-01T00:00:00Z",
    }


def test_sync_and_health_are_told_apart() -> None:
    synced = {"sync": {"status": "Synced", "revision": "c" * 40}, "health": {"status": "Healthy"}}
    assert words(application(synced)) == "sync Synced at cccccccccccc, health Healthy"
    assert words(application({"sync": {"status": "Unknown"}})) == "sync Unknown, health Unknown"
    assert words(application({})) == "not compared yet"


@pytest.mark.parametrize(
    ("operation", "condition", "said"),
    [
        (_REFUSED, _REFUSED, f"operation Error: {_REFUSED}"),
        (f"{_REFUSED}\nfor long", _REFUSED, f"operation Error: {_REFUSED} for long"),
        (_REFUSED, "no such path", f"operation Error: {_REFUSED}, no such path"),
        ("", _REFUSED, f"operation Error, {_REFUSED}"),
    ],
)
def test_a_message_is_said_once(operation: str, condition: str, said: str) -> None:
    app = application(
        {
            "sync": {"status": "Unknown"},
            "operationState": ended("Error", operation),
            "conditions": [{"type": "SyncError", "message": condition}],
        }
    )
    assert words(app) == f"sync Unknown, health Unknown, {said}"


def test_the_end_is_not_a_bare_word(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"resources": [], "revision": "", "source": {"repoURL": "https://git.example.com/a.git"}}
    app = application({"operationState": ended("Error", _REFUSED) | {"syncResult": result}})
    assert app.status.operation_state is not None
    print_outcome(app, app.status.operation_state)
    assert capsys.readouterr().out == ""  # what went wrong is the command's error, on stderr


def test_a_long_wait_says_that_it_goes_on_and_how_to_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("waiting for shop")
    progress.say("sync Unknown")
    for seconds in (0.3, 29.9, 30.1, 30.4, 59.9, 60.2, 60.5, 200, 200.3):
        progress.say("sync Unknown")
        progress.waited(seconds)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "waiting for shop: sync Unknown",
        *(
            f"waiting for shop: still waiting after {seconds} s; Ctrl-C ends the wait, --timeout limits it"
            for seconds in (30, 60, 200)
        ),
    ]
