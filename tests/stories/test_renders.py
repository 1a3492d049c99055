"""What a render costs: once, for those who read what has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap

pytestmark = pytest.mark.cluster


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
