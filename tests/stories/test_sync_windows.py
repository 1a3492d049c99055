"""Sync windows of a project: outside of them everything waits, and says for what; then it is done at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_operations import events, invalid, state
from tests.stories.test_permissions import MERGE, project
from tests.stories.test_pruning import gone

pytestmark = pytest.mark.cluster

FREEZE = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
SAID = "syncs are held with no end in sight by the deny window '* * * * *' of 1h (UTC)"


def windows(ship: Ship, name: str, *specs: dict[str, Any]) -> None:
    """Gives the project other windows."""
    path = APPS.format(ship.home).replace("/applications", f"/appprojects/{name}")
    ship.ask(path, {"spec": {"syncWindows": list(specs)}}, **MERGE)


def ending(after_s: int) -> tuple[dict[str, Any], str]:
    """A window that denies syncs for so many seconds from now on, and when that is over."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=after_s)
    begins = (ends - timedelta(minutes=2)).replace(second=0)
    lasts = int((ends - begins).total_seconds())
    window = {**FREEZE, "schedule": f"{begins:%M %H %d %m} *", "duration": f"{lasts}s"}
    return window, f"{ends:%Y-%m-%dT%H:%M:%SZ}"


def held(ship: Ship, app: str, text: str = SAID) -> None:
    condition = ship.condition(app, text)
    assert condition["type"] == "SyncWindow", condition


def test_a_push_in_a_freeze_is_held_and_deployed_as_soon_as_that_is_called_off(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "frozen", syncWindows=[{**FREEZE, "description": "until the audit is over"}])
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("frozen", git_repo, namespace, spec={"project": "frozen"})
    held(ship, "frozen")

    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    told = ship.finished(ship.deliver(git_repo, commit))

    assert f"{SAID}: until the audit is over" in json.dumps(told, ensure_ascii=False)
    ship.synced("frozen", commit, status="OutOfSync")
    held(ship, "frozen", f"{SAID}: until the audit is over")
    assert ship.configmap(namespace, "a") is None
    shown = ship.mooring("app", "get", "frozen").stdout
    line = f"Sync Window:        {SAID.removeprefix('syncs are ')}: until the audit is over\n"
    assert line in shown
    listed = ship.mooring("project", "get", "frozen").stdout
    assert "Sync Windows:                  deny window '* * * * *' of 1h (UTC): until the audit" in listed

    windows(ship, "frozen")

    ship.synced("frozen", commit)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    ship.unsaid("frozen", "held")
    assert "Sync Window" not in ship.mooring("app", "get", "frozen").stdout


def test_what_waits_for_a_window_is_deployed_the_moment_it_opens(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    # Nobody else looks at the app: neither polls nor comparisons are due within the hour.
    project(ship, "soon", syncWindows=[FREEZE])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("soon", git_repo, namespace, spec={"project": "soon"})
    held(ship, "soon")
    ship.quiet()
    window, opens = ending(15)  # from which on there is but one look to be had
    windows(ship, "soon", window)

    held(ship, "soon", f"syncs are held until {opens} by the deny window")
    ship.synced("soon", commit)

    assert state(ship, "soon")["startedAt"] >= opens
    assert ship.configmap(namespace, "a")
    ship.unsaid("soon", "held")


def test_only_those_apps_wait_to_which_the_window_applies(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    away = {**FREEZE, "kind": "allow", "schedule": "0 0 29 2 *", "applications": ["calm*"]}
    project(ship, "some", syncWindows=[away])
    commit = git_repo.commit({"a/a.yaml": configmap("a"), "b/b.yaml": configmap("b")})
    ship.create_app("calm-sea", git_repo, namespace, path="a", spec={"project": "some"})
    ship.create_app("rough-sea", git_repo, namespace, path="b", spec={"project": "some"})

    ship.synced("rough-sea", commit)
    held(ship, "calm-sea", "-02-29T00:00:00Z outside of the allow window '0 0 29 2 *' of 1h (UTC)")
    assert ship.configmap(namespace, "a") is None

    windows(ship, "some", away, {**FREEZE, "kind": "allow"})

    ship.synced("calm-sea", commit)
    assert "allowed by the allow window '* * * * *'" in ship.mooring("app", "get", "calm-sea").stdout


def test_drift_and_what_left_git_stay_as_they_are_until_the_window_opens(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "drifting", syncWindows=[{**FREEZE, "manualSync": True}])
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b")})
    ship.create_app("drifting", git_repo, namespace, spec={"project": "drifting"}, selfHeal=True)
    held(ship, "drifting", f"{SAID}; a sync by hand is allowed")
    assert ship.configmap(namespace, "a") is None
    assert ship.operate("drifting")["status"]["operationState"]["phase"] == "Succeeded"
    ship.synced("drifting", first)
    ship.quiet()

    # While nothing differs, nothing waits, and nothing is said.
    assert not ship.reconcile("drifting")["status"].get("conditions")

    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    ship.ask(path, {"data": {"v": "drifted"}}, **MERGE)
    ship.reconcile("drifting")
    held(ship, "drifting")
    commit = ship.pushed(git_repo, {"b.yaml": None})
    ship.synced("drifting", commit, status="OutOfSync")
    held(ship, "drifting")
    assert ship.configmap(namespace, "a")["data"] == {"v": "drifted"}
    assert ship.configmap(namespace, "b")
    assert ship.resource("drifting", "b")["requiresPruning"]

    windows(ship, "drifting")

    ship.synced("drifting", commit)
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    gone(ship, namespace, "b")


def test_a_sync_by_hand_is_answered_with_the_reason_and_what_waits_goes_on_waiting(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "asked", syncWindows=[FREEZE])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("asked-in-vain", git_repo, namespace, spec={"project": "asked"})
    held(ship, "asked-in-vain")

    done = ship.mooring("app", "sync", "asked-in-vain", "--timeout", "60")

    assert done.returncode == 1
    assert SAID in done.stderr
    told = state(ship, "asked-in-vain")
    assert (told["phase"], told["message"]) == ("Error", SAID)
    until("an Event", lambda: any(one["message"] == SAID for one in events(ship, "asked-in-vain")))
    held(ship, "asked-in-vain")
    assert ship.app("asked-in-vain")["status"]["sync"]["revision"] == commit
    assert ship.configmap(namespace, "a") is None

    windows(ship, "asked")
    ship.synced("asked-in-vain", commit)
    assert ship.configmap(namespace, "a")


def test_a_sync_that_is_tried_again_stops_when_its_window_closes_and_goes_on_in_the_next(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "trying")
    git_repo.commit({"bad.json": invalid("bad")})
    retry = {"retry": {"limit": 1000, "backoff": {"duration": "1s", "factor": 1}}}
    ship.create_app("trying", git_repo, namespace, policy=retry, spec={"project": "trying"})

    def tries() -> int:
        told = ship.app("trying").get("status", {}).get("operationState", {})
        return int(told.get("retryCount", 0)) if told.get("phase") == "Running" else 0

    until("a second try", lambda: tries() or None)
    window, closes = ending(5)
    windows(ship, "trying", {**window, "kind": "allow"})
    held(ship, "trying", "outside of the allow window")
    count = tries()
    assert count, "it is under way still"
    assert ship.reconcile("trying")["status"]["operationState"]["retryCount"] == count
    assert tries() == count

    # What somebody asks for takes its place, and is turned down.
    told = ship.operate("trying")["status"]["operationState"]
    assert told["phase"] == "Error"
    assert "outside of the allow window" in told["message"]

    windows(ship, "trying")
    until("the sync to be tried anew", lambda: tries() or None)
    assert state(ship, "trying")["operation"]["initiatedBy"]["automated"]
    assert state(ship, "trying")["startedAt"] > closes


def test_a_window_that_makes_no_sense_stops_the_apps_of_the_project_and_says_why(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "muddled", syncWindows=[{**FREEZE, "schedule": "0 22 * * 7", "applications": ["other"]}])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("muddled", git_repo, namespace, spec={"project": "muddled"})

    why = "AppProject muddled: spec.syncWindows[0]: schedule: '7', the weekday"
    condition = ship.condition("muddled", why)
    assert condition["type"] == "InvalidSpecError"
    ship.synced("muddled", commit, status="OutOfSync")
    told = ship.operate("muddled")["status"]["operationState"]
    assert told["phase"] == "Error"
    assert why in told["message"]
    assert ship.configmap(namespace, "a") is None
    assert f"Sync Window:        held: {why}" in ship.mooring("app", "get", "muddled").stdout

    windows(ship, "muddled", {**FREEZE, "schedule": "0 22 * * sun", "applications": ["other"]})
    ship.synced("muddled", commit)
    assert ship.configmap(namespace, "a")
