"""A disk that is full: it is told, nothing is lost to it, and once there is room all goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import Repository
from mooring.names import RECONCILE, TASK_RECONCILE
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One of 24 MB."""
    place = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here: run it as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture(scope="module")
def ship_settings(disk: Path) -> dict[str, str]:
    """Whatever workers keep is on that disk."""
    return {"MOORING_STATE_DIR": str(disk)}


def _fill(disk: Path) -> Path:
    """A file that leaves no room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    return ballast


def test_a_push_is_told_why_it_waits_and_lands_once_there_is_room(
    ship: Ship, git_repo: Repository, namespace: str, disk: Path
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")})
    ship.create_app("full", git_repo, namespace, selfHeal=True)
    ship.synced("full", first)
    ship.quiet()
    uid = ship.configmap(namespace, "a")["metadata"]["uid"]

    ballast = _fill(disk)
    second = git_repo.commit({"a.yaml": configmap("a", v="2"), "b.yaml": None})
    delivery = ship.deliver(git_repo, second)

    def told() -> bool:
        return any("full" in str(stage.get("note", "")) for stage in ship.delivery(delivery)["stages"])

    until("the push to be put off, for the disk", told)
    # What is known already needs no disk: somebody's deletion is still put right.
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/b", method="DELETE")
    ship.send(RECONCILE, TASK_RECONCILE)
    until("it to be put back", lambda: ship.configmap(namespace, "b"))
    assert ship.configmap(namespace, "a")["metadata"]["uid"] == uid

    ballast.unlink()
    assert ship.finished(delivery)["state"] == "succeeded"
    app = ship.synced("full", second)
    assert app["status"].get("conditions", []) == []
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    assert ship.configmap(namespace, "a")["metadata"]["uid"] == uid
    until("what left Git to be gone", lambda: ship.configmap(namespace, "b") is None)
