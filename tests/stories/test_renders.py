"""What a render costs: once, for those who read what has changed; a slow one costs nobody else anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster

# Read, and found to be no manifest, in some seconds: more than a process that deploys waits.
HEAVY = "values:\n" + "".join(f"  - {{name: n{n}, value: [{n}, {n}, {n}]}}\n" for n in range(180_000))


def test_who_is_touched_is_told_and_what_was_read_can_be_asked(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    before = git_repo.commit({f"{name}/a.yaml": configmap(name, v="1") for name in ("bow", "stern", "keel")})
    for name in ("bow", "stern", "keel"):
        ship.create_app(name, git_repo, namespace, path=name)
    for name in ("bow", "stern", "keel"):
        ship.synced(name, before)

    commit = git_repo.commit({"stern/a.yaml": configmap("stern", v="2")})
    stages = ship.finished(ship.deliver(git_repo, commit))["stages"]

    ship.synced("stern", commit)
    ship.synced("bow", commit)
    assert [stage["note"] for stage in stages if stage["name"] == "untouched"] == [
        f"2 applications by {commit[:12]}"
    ]
    assert {stage["app"] for stage in stages if stage["name"] == "applied"} == {f"{ship.home}_stern"}
    read: Any = json.loads(ship.mooring("app", "reads", "stern", "-o", "json").stdout)
    assert read["revision"] == commit
    assert [item["path"] for source in read["sources"] for item in source["paths"]] == ["stern"]
    assert "stern" in ship.mooring("app", "reads", "stern").stdout
    missing = ship.mooring("app", "reads", "nobody")
    assert missing.returncode != 0
    assert "Traceback" not in missing.stderr


def test_a_render_that_takes_long_leaves_the_pool_that_deploys(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"heavy/a.yaml": configmap("heavy"), "heavy/values.yaml": HEAVY})
    ship.create_app("heavy", git_repo, namespace, path="heavy")
    ship.synced("heavy", commit)

    done = f"sync of {ship.home}_heavy: Succeeded"
    until("the sync in the pool for what is slow", lambda: done in ship.log("slow"))
    assert done not in ship.log("deploy")
    assert not ship.app("heavy")["status"].get("conditions"), "it is no failure"


def test_what_is_kept_on_disk_shows_no_secret(ship: Ship, git_repo: Repository, namespace: str) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: hush}\nstringData: {password: correct-horse}\n"
    commit = git_repo.commit({"hush/s.yaml": secret})
    ship.create_app("hush", git_repo, namespace, path="hush")
    ship.synced("hush", commit)

    kept = [file for state in ship.directory.glob("state-*") for file in (state / "renders").glob("??/*")]
    assert kept
    for file in kept:
        assert b"correct-horse" not in file.read_bytes(), file
        assert Path(file).stat().st_mode & 0o077 == 0
