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
from mooring.names import DEPLOY, TASK_ACTION
from mooring.store.connection import connect
from mooring.store.outcomes import Outcome, Outcomes
from tests.stories.gate import Gate, gated
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_actions import at, workload

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


def application(name: str, repo: Repository, namespace: str, path: str = ".") -> str:
    return json.dumps(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name},
            "spec": {
                "project": "default",
                "source": {"repoURL": repo.url, "path": path, "targetRevision": "main"},
                "destination": {"name": "in-cluster", "namespace": namespace},
                "syncPolicy": {"automated": {"selfHeal": True}},
            },
        }
    )


def test_an_application_that_cannot_be_read_stops_no_other_and_loses_nothing_to_it(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    def told(app: str, text: str) -> bool:
        return text in json.dumps((status_of(ship, app) or {}).get("conditions", []))

    git_repo.commit({"first/it.yaml": configmap("it", of="first"), "second/it.yaml": configmap("it", of="2")})
    (apps / "first.yaml").write_text(application("first", git_repo, namespace, "first"))
    until("the first app's object", lambda: ship.configmap(namespace, "it"))
    (apps / "second.yaml").write_text(application("second", git_repo, namespace, "second"))
    until("both to be told", lambda: told("first", "second") and told("second", "belongs to app first"))
    ship.quiet()

    # The claimant cannot be read: the owner goes on.
    (apps / "again.yaml").write_text(application("second", git_repo, namespace))
    commit = git_repo.commit({"first/it.yaml": configmap("it", of="first, newer")})
    done = ship.finished(ship.deliver(git_repo, commit))
    assert done["state"] == "succeeded", done
    assert ship.configmap(namespace, "it")["data"] == {"of": "first, newer"}

    # The owner cannot be read: the claimant does not get its object.
    (apps / "again.yaml").write_text(application("first", git_repo, namespace))
    commit = git_repo.commit({"second/it.yaml": configmap("it", of="second, newer")})
    done = ship.finished(ship.deliver(git_repo, commit))
    assert "belongs to app first" in done["outcome"]
    assert ship.configmap(namespace, "it")["data"] == {"of": "first, newer"}


def test_an_application_whose_file_is_gone_leaves_what_it_has_deployed(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    """Its finalizer or not: a directory that is not mounted must not empty a cluster."""
    git_repo.commit({"it.yaml": configmap("it", v="1")})
    text = json.loads(application("filed", git_repo, namespace))
    text["metadata"]["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]
    (apps / "filed.yaml").write_text(json.dumps(text))
    until("its object", lambda: ship.configmap(namespace, "it"))
    ship.quiet()

    (apps / "filed.yaml").unlink()
    ship.send("reconcile", "mooring.reconcile")
    (apps / "next.yaml").write_text(application("next", git_repo, namespace, "nowhere"))
    until("the directory to have been read", lambda: status_of(ship, "next"))
    ship.quiet()
    assert ship.configmap(namespace, "it")
    assert status_of(ship, "filed")


def test_a_file_that_goes_while_it_is_deployed_takes_nothing_along(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    git_repo.commit({"it.yaml": configmap("it", v="1"), "held.yaml": gated("held")})
    text = json.loads(application("filed", git_repo, namespace))
    text["metadata"]["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]
    with Gate(ship.cluster, namespace) as gate:
        (apps / "filed.yaml").write_text(json.dumps(text))
        gate.waits("held")
        until("the other", lambda: ship.configmap(namespace, "it"))
        (apps / "filed.yaml").unlink()
        gate.open()
        until("what was held", lambda: ship.configmap(namespace, "held"))
        until("the end of its work", lambda: not ship.works_on("filed"))
        assert ship.configmap(namespace, "held")
        assert ship.configmap(namespace, "it")


def test_an_application_in_a_file_is_deployed_and_pushed_to(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    first = git_repo.commit({"web.yaml": configmap("web", colour="blue")})
    (apps / "filed.yaml").write_text(application("filed", git_repo, namespace))

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


def test_an_action_is_run_on_what_an_application_in_a_file_has_deployed(
    ship: Ship, git_repo: Repository, namespace: str, apps: Path
) -> None:
    git_repo.commit({"web.yaml": workload("Deployment")})
    (apps / "filed.yaml").write_text(application("filed", git_repo, namespace))
    until("its object", lambda: at(ship, namespace, "Deployment"))
    ship.quiet()
    outcomes = Outcomes(connect(ship.redis_url))

    ship.send(DEPLOY, TASK_ACTION, "filed", "pause", kwargs={"kind": "Deployment"}, task_id="by-hand")

    title = f"apps/Deployment {namespace}/web"
    assert until("its outcome", lambda: outcomes.of("by-hand")) == Outcome({title: "changed"}, {})
    assert at(ship, namespace, "Deployment")["spec"]["paused"] is True
    found = ship.ask(f"/api/v1/namespaces/{ship.home}/events")["items"]
    told = [one["message"] for one in found if one["reason"] == "ResourceActionRan"]
    assert told == [f"somebody ran action pause on {title}"]
