"""Workers are killed at any request of a sync of three waves and two hooks: it ends as if nothing were."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from mooring.names import OPERATION
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_waves import DEPLOYMENT, waved
from tests.stories.toll import Point, Toll
from tests.stories.watch import Event, Watch

pytestmark = pytest.mark.cluster

_POINTS = 50
_FIRST_POINTS = 10
_SEED = 6
_POOLS = ("deploy", "reconcile", "slow")


@pytest.fixture(scope="module")
def toll(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toll]:
    with Toll(cluster, tmp_path_factory.mktemp("toll")) as toll:
        yield toll


@pytest.fixture(scope="module")
def ship_settings(toll: Toll) -> dict[str, str]:
    """Whose work is taken over soon, and who goes the way of the toll."""
    return {"MOORING_LEASE_SECONDS": "2", "MOORING_KUBECONFIG": str(toll.kubeconfig)}


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    """With an observer, or most of the time would be waiting for the next look."""
    return ("intake", *_POOLS, "web", "beat", "observer")


def _job(name: str, phase: str, version: str, policy: str) -> str:
    return f"""apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  annotations:
    argocd.argoproj.io/hook: {phase}
    argocd.argoproj.io/hook-delete-policy: {policy}
spec:
  backoffLimit: 0
  template:
    metadata: {{annotations: {{version: "{version}"}}}}
    spec:
      restartPolicy: Never
      containers: [{{name: work, image: example.org/work}}]
"""


def _files(version: str) -> dict[str, str]:
    """Three waves between two hooks, one of which stays and one of which is deleted when it is done."""
    return {
        "a.yaml": _job("before", "PreSync", version, "BeforeHookCreation"),
        "b.yaml": waved(configmap("first", v=version), -1),
        "c.yaml": configmap("second", v=version),
        "d.yaml": DEPLOYMENT.replace(
            "metadata: {name: web}", f"metadata: {{name: web, labels: {{v: '{version}'}}}}"
        ),
        "e.yaml": waved(configmap("third", v=version), 1),
        "f.yaml": _job("after", "PostSync", version, "HookSucceeded"),
    }


def _points() -> list[tuple[float, bool, bool]]:
    """How far along the sync, whether the request was sent, and whether a newer commit comes then."""
    drawn = random.Random(_SEED)
    return [(drawn.random(), drawn.random() < 0.5, drawn.random() < 0.4) for _ in range(_POINTS)]


@pytest.fixture(scope="module")
def requests(ship: Ship, git_server: GitServer, toll: Toll) -> int:
    """How many requests such a sync takes that nobody disturbs."""
    repo = git_server.create("undisturbed")
    namespace = f"{ship.home}-undisturbed"
    ship.ask("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        toll.count(namespace)
        _succeeded(ship, "undisturbed", _begin(ship, repo, "undisturbed", namespace))
        return toll.seen
    finally:
        ship.ask(f"/api/v1/namespaces/{namespace}", method="DELETE")


def _begin(ship: Ship, repo: Repository, name: str, namespace: str) -> str:
    commit = repo.commit(_files("1"))
    ship.create_app(name, repo, namespace)
    ship.deliver(repo, commit)
    return commit


def _pushed(ship: Ship, repo: Repository, version: int) -> str:
    commit = repo.commit(_files(str(version)))
    ship.deliver(repo, commit)
    return commit


def _deployed(ship: Ship, name: str, commit: str) -> Any:
    """The app if it is wholly deployed at `commit`."""
    app = ship.app(name)
    state = app.get("status", {}).get("operationState") or {}
    told = (state.get("syncResult") or {}).get("revision")
    return app if (state.get("phase"), told) == ("Succeeded", commit) else None


def _succeeded(ship: Ship, name: str, commit: str) -> Any:
    until(f"{name} to be deployed at {commit[:8]}", lambda: _deployed(ship, name, commit))
    return ship.synced(name, commit)


def _reached(ship: Ship, toll: Toll, point: Point, name: str, commit: str) -> bool:
    """Whether the kill has come before the end of the sync."""
    until(f"the kill {point}", lambda: toll.ended or _deployed(ship, name, commit))
    return toll.ended


@pytest.mark.parametrize("number", range(_POINTS))
def test_a_worker_that_is_killed_at_any_request_changes_nothing_of_how_it_ends(
    ship: Ship, git_repo: Repository, namespace: str, toll: Toll, requests: int, number: int
) -> None:
    share, sent, superseded = _points()[number]
    name, point = f"crash-{number}", Point(int(share * requests), sent)

    with (
        Watch(ship.cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs") as jobs,
        Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as configmaps,
    ):
        toll.count(namespace)
        toll.ends_at(point, lambda: _kill(ship))
        version, commit = 1, _begin(ship, git_repo, name, namespace)
        while not _reached(ship, toll, point, name, commit):
            # This sync took fewer requests, since it had less to wait for: the next one ends earlier.
            point = replace(point, number=point.number * 2 // 3)
            toll.count(namespace)
            toll.ends_at(point, lambda: _kill(ship))
            version, commit = version + 1, _pushed(ship, git_repo, version + 1)
        if superseded:
            version, commit = version + 1, _pushed(ship, git_repo, version + 1)

        app = _succeeded(ship, name, commit)

        ship.quiet()
        seen, written = jobs.events(), configmaps.events()
    assert _end(ship, app, namespace) == _wanted(str(version))
    _no_hook_ran_twice(seen)
    _no_hooks_of_two_operations_at_once(seen)
    versions = [event.body["data"]["v"] for event in written if event.name in _NAMES]
    assert versions == sorted(versions), "something of the superseded commit came after the newer one"


@pytest.fixture(scope="module")
def first_requests(ship: Ship, git_server: GitServer, toll: Toll) -> int:
    """How many requests the first deployment of a plain app takes that nobody disturbs."""
    repo = git_server.create("undisturbed-first")
    namespace = f"{ship.home}-undisturbed-first"
    toll.count(namespace)
    try:
        _first(ship, repo, "undisturbed-first", namespace)
        return toll.seen
    finally:
        ship.ask(f"/api/v1/namespaces/{namespace}", method="DELETE")


def _first(ship: Ship, repo: Repository, name: str, namespace: str) -> Any:
    """A plain app in a namespace of its own, once it is deployed."""
    commit = repo.commit({f"{one}.yaml": configmap(one, v="1") for one in _NAMES})
    ship.create_app(name, repo, namespace, policy={"syncOptions": ["CreateNamespace=true"]})
    return _succeeded(ship, name, commit)


@pytest.mark.parametrize("number", range(_FIRST_POINTS))
def test_a_worker_that_is_killed_at_any_request_of_a_first_deployment_changes_nothing_of_how_it_ends(
    ship: Ship, git_repo: Repository, namespace: str, toll: Toll, first_requests: int, number: int
) -> None:
    """In a namespace that is not there yet, where its inventory is not looked for."""
    name, new = f"crash-first-{number}", f"{namespace}-first"
    at = Point(number * (first_requests - 1) // _FIRST_POINTS, bool(number % 2))
    toll.count(new)
    toll.ends_at(at, lambda: _kill(ship))
    try:
        with Watch(ship.cluster, f"/api/v1/namespaces/{new}/configmaps") as configmaps:
            app = _first(ship, git_repo, name, new)
            ship.quiet()
            written = [(event.kind, event.name) for event in configmaps.events() if event.name in _NAMES]
        assert toll.ended
        assert sorted(written) == [("ADDED", one) for one in sorted(_NAMES)]
        status = app["status"]
        assert (status["sync"]["status"], status["health"]["status"]) == ("Synced", "Healthy")
        assert len(status["history"]) == 1
        told = status["operationState"]["syncResult"]["resources"]
        assert sorted(one["name"] for one in told) == sorted(_NAMES)
        assert not status.get("conditions")
    finally:
        ship.ask(f"/api/v1/namespaces/{new}", method="DELETE")


def _kill(ship: Ship) -> None:
    for pool in _POOLS:
        for pid in ship.pool(pool):
            os.kill(pid, signal.SIGKILL)


def _end(ship: Ship, app: Any, namespace: str) -> Any:
    """What is there at the end, and what is told of it."""
    status = app["status"]
    jobs = ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    web = ship.find(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
    return {
        "data": {name: (ship.configmap(namespace, name) or {}).get("data") for name in _NAMES},
        "web": web["metadata"]["labels"]["v"],
        "hooks": {job["metadata"]["name"]: _version(job) for job in jobs},
        "status": (status["sync"]["status"], status["health"]["status"]),
        "told": sorted(
            (one["name"], one.get("hookType", ""), one.get("hookPhase", ""), one["syncPhase"])
            for one in status["operationState"]["syncResult"]["resources"]
        ),
        "conditions": status.get("conditions", []),
    }


_NAMES = ("first", "second", "third")


def _wanted(version: str) -> Any:
    return {
        "data": {name: {"v": version} for name in _NAMES},
        "web": version,
        "hooks": {"before": version},
        "status": ("Synced", "Healthy"),
        "told": [
            ("after", "PostSync", "Succeeded", "PostSync"),
            ("before", "PreSync", "Succeeded", "PreSync"),
            *((name, "", "Succeeded", "Sync") for name in (*_NAMES, "web")),
        ],
        "conditions": [],
    }


def _version(job: Any) -> str:
    return str(job["spec"]["template"]["metadata"]["annotations"]["version"])


def _no_hook_ran_twice(events: list[Event]) -> None:
    """No two objects of one hook of one operation have succeeded."""
    done = {
        (event.body["metadata"]["labels"][OPERATION], event.name, event.body["metadata"]["uid"])
        for event in events
        if event.body.get("status", {}).get("succeeded")
    }
    assert len({(operation, name) for operation, name, _ in done}) == len(done), done


def _no_hooks_of_two_operations_at_once(events: list[Event]) -> None:
    """While a hook runs there is none of another operation."""
    running: dict[str, str] = {}  # operations by uids
    for event in events:
        meta = event.body["metadata"]
        ended = {
            c["type"] for c in event.body.get("status", {}).get("conditions", []) if c["status"] == "True"
        }
        if event.kind == "DELETED" or ended & {"Complete", "Failed"}:
            running.pop(meta["uid"], None)
        else:
            running[meta["uid"]] = meta["labels"][OPERATION]
        assert len(set(running.values())) <= 1, running
