"""Applications from a directory of files: no CRD, no Application object, the same journey."""

from __future__ import annotations

import json
import secrets
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from devcluster.redis import RedisServer
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    """The directory that holds the Applications."""
    found = tmp_path / "apps"
    found.mkdir()
    return found


@pytest.fixture
def ship(cluster: Cluster, own_redis: RedisServer, apps: Path, tmp_path: Path) -> Iterator[Ship]:
    """A Mooring that reads Applications from files."""
    home = f"files-{secrets.token_hex(4)}"
    found = Ship(cluster, home, own_redis.url, tmp_path, settings={"MOORING_APPS_DIR": str(apps)})
    found.start()
    yield found
    found.stop()
    devcluster.ask(cluster, f"/api/v1/namespaces/{home}", method="DELETE")


def status_of(ship: Ship, app: str) -> Any:
    """The status that is kept in the app's ApplySet parent."""
    listed = ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps?labelSelector=applyset.kubernetes.io/id")
    for item in listed["items"]:
        if item["metadata"]["name"].endswith(f".{app}"):
            data, packed = item.get("data", {}), item.get("binaryData", {})
            if "status" in data:
                return json.loads(data["status"])
            return json.loads(zlib.decompress(b64decode(packed["status"]))) if "status" in packed else None
    return None


def test_an_application_in_a_file_is_deployed_and_pushed_to(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    first = git_repo.commit({"web.yaml": configmap("web", colour="blue")})
    manifest = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "filed"},
        "spec": {
            "project": "default",
            "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
    }
    (apps / "filed.yaml").write_text(json.dumps(manifest))

    def synced(commit: str) -> bool:
        sync = (status_of(ship, "filed") or {}).get("sync", {})
        return (sync.get("status"), sync.get("revision")) == ("Synced", commit)

    until("the file's app to be synced", lambda: synced(first))
    ship.quiet()
    second = git_repo.commit({"web.yaml": configmap("web", colour="green")})
    told = ship.finished(ship.deliver(git_repo, second))

    assert told["state"] == "succeeded", told
    assert ship.configmap(namespace, "web")["data"] == {"colour": "green"}
    until("the status to say so", lambda: synced(second))
