"""How an Application is doing, in a line: each word named, each message once."""

from __future__ import annotations

from typing import Any

import pytest

from cli.app.follow import words
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
