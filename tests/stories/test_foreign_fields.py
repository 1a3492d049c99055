"""What others set on the objects of an app: told to whoever asks, and, where it is drift, healed once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap

pytestmark = pytest.mark.cluster

DRIFT = {"metadata": {"annotations": {"mooring.dev/compare-options": "ForeignFields=drift"}}}


def meddle(ship: Ship, namespace: str, name: str, **data: str) -> None:
    """As somebody does who thinks that it is quicker so."""
    ship.kubectl(
        "patch",
        "configmap",
        name,
        f"--namespace={namespace}",
        "--field-manager=meddler",
        "--type=merge",
        f"--patch={json.dumps({'data': data})}",
    )


def data(ship: Ship, namespace: str, name: str) -> Any:
    return ship.configmap(namespace, name)["data"]


def test_who_has_set_what_is_told_and_nothing_is_done_about_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", ours="1"), "b.yaml": configmap("b", ours="1")})
    ship.create_app("told", git_repo, namespace, selfHeal=True)
    ship.synced("told", commit)
    assert json.loads(ship.mooring("app", "foreign", "told", "-o", "json").stdout) == []

    meddle(ship, namespace, "a", theirs="hunter2")
    ship.reconcile("told")

    ship.synced("told", commit)
    assert data(ship, namespace, "a") == {"ours": "1", "theirs": "hunter2"}
    shown = ship.mooring("app", "foreign", "told")
    assert shown.returncode == 0, shown.stderr
    header, line = (row.split() for row in shown.stdout.splitlines())
    assert header == ["GROUP", "KIND", "NAMESPACE", "NAME", "FIELD", "MANAGER", "SINCE"]
    assert line[:5] == ["ConfigMap", namespace, "a", "data.theirs", "meddler"]
    (found,) = json.loads(ship.mooring("app", "foreign", "told", "-o", "json").stdout)
    assert (found["name"], found["field"], found["manager"]) == ("a", "data.theirs", "meddler")
    assert "hunter2" not in shown.stdout + json.dumps(found)


def test_as_drift_it_is_shown_with_the_reason_and_a_sync_takes_it_off(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", ours="1")})
    ship.create_app("strict", git_repo, namespace, auto=False)
    ship.patch_app("strict", DRIFT)
    ship.operate("strict")
    ship.synced("strict", commit)

    meddle(ship, namespace, "a", theirs="1")
    ship.refresh("strict")

    ship.condition("strict", "data.theirs, set by meddler")
    ship.synced("strict", commit, status="OutOfSync")
    differs = ship.mooring("app", "diff", "strict")
    assert differs.returncode == 1
    assert "-  theirs: '1'" in differs.stdout
    assert "data.theirs, set by meddler" in differs.stderr

    ship.operate("strict")
    ship.synced("strict", commit)
    ship.unsaid("strict", "meddler")
    assert data(ship, namespace, "a") == {"ours": "1"}
    assert ship.mooring("app", "diff", "strict").returncode == 0


def test_self_heal_takes_it_off_once_and_fights_with_nobody(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", ours="1"), "b.yaml": configmap("b", ours="1")})
    ship.create_app("fought", git_repo, namespace, selfHeal=True)
    ship.patch_app("fought", DRIFT)
    ship.synced("fought", commit)
    ship.reconcile("fought")

    meddle(ship, namespace, "a", theirs="1")
    ship.reconcile("fought")
    assert data(ship, namespace, "a") == {"ours": "1"}
    healed = ship.app("fought")["status"]["operationState"]
    assert healed["operation"]["sync"]["autoHealAttemptsCount"] == 1
    told = {one["name"]: one["message"] for one in healed["syncResult"]["resources"]}
    assert told["a"] == "configmap/a freed of data.theirs, set by meddler"

    meddle(ship, namespace, "a", theirs="2")
    ship.reconcile("fought")
    ship.condition("fought", "again after a sync had taken it off")
    ship.synced("fought", commit, status="OutOfSync")
    assert data(ship, namespace, "a") == {"ours": "1", "theirs": "2"}
    assert ship.app("fought")["status"]["operationState"] == healed

    # What is ours of it is put back all the same, and a sync by hand takes the rest off again.
    meddle(ship, namespace, "a", ours="2")
    ship.reconcile("fought")
    assert data(ship, namespace, "a") == {"ours": "1"}
    ship.synced("fought", commit)
