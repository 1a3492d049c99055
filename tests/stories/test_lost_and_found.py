"""Deliveries that get lost, and servers that are away: nothing stays lost, and nobody else waits."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from mooring.delivery import Event, EventKind, RefChange
from mooring.names import DEPLOY, TASK_POLL
from mooring.store.connection import LEDGER, connect
from mooring.store.ledger import Ledger, Recorded
from tests.stories.gate import Gate, gated
from tests.stories.line import Line, kubeconfig_by
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ship_settings(
    cluster: Cluster, api_line: Line, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    kubeconfig = kubeconfig_by(cluster, api_line.port, tmp_path_factory.mktemp("kube"))
    return {"MOORING_KUBECONFIG": str(kubeconfig), "MOORING_GIT_TIMEOUT": "10"}


@pytest.fixture
def git_line(git_server: GitServer) -> Iterator[Line]:
    with Line(urlsplit(git_server.url).port or 80) as line:
        yield line


def _through(line: Line, repo: Repository) -> Repository:
    """The repository as one reaches it over the line."""
    return replace(repo, url=repo.url.replace(f":{urlsplit(repo.url).port}/", f":{line.port}/"))


def _event(repo: Repository, commit: str) -> Event:
    return Event(
        host="github",
        kind=EventKind.PUSH,
        name="push",
        delivery=secrets.token_hex(8),
        repo_urls=(repo.url,),
        changes=(RefChange("refs/heads/main", commit),),
        default_branch="main",
    )


def test_a_push_whose_delivery_was_lost_is_found_by_the_poll(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("polled", git_repo, namespace)
    ship.synced("polled", first)
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})

    ship.send(DEPLOY, TASK_POLL)

    ship.synced("polled", commit)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_a_delivery_that_was_written_down_but_never_enqueued_is_found(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("unsent", git_repo, namespace)
    ship.synced("unsent", first)
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})

    kept = Ledger(connect(ship.redis_url)).record(_event(git_repo, commit), time.time())

    assert isinstance(kept, Recorded)
    assert ship.finished(kept.id)["state"] == "succeeded"
    ship.synced("unsent", commit)


def test_a_delivery_that_a_worker_had_begun_before_it_died_is_found(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("begun", git_repo, namespace)
    ship.synced("begun", first)
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ledger = Ledger(connect(ship.redis_url))

    kept = ledger.record(_event(git_repo, commit), time.time())
    assert isinstance(kept, Recorded)
    assert ledger.begin(kept.id, "a worker that is gone", 0.5).attempt

    assert ship.finished(kept.id)["state"] == "succeeded"
    ship.synced("begun", commit)


def test_a_message_that_died_with_the_intake_worker_is_sent_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("taken", git_repo, namespace)
    ship.synced("taken", first)
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.end("intake")
    delivery = ship.deliver(git_repo, commit)
    with ship.redis() as client:  # as a worker does that takes it and dies before it begins
        until("the message", lambda: client.lpop("mooring:queue:intake"))
    ship.start("intake")

    assert ship.finished(delivery)["state"] == "succeeded"
    ship.synced("taken", commit)


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_git_host_that_is_away_is_waited_for_and_holds_up_nobody_else(
    ship: Ship, git_server: GitServer, git_repo: Repository, git_line: Line, namespace: str, how: str
) -> None:
    far = _through(git_line, git_server.create(f"far-{secrets.token_hex(5)}"))
    first = far.commit({"far.yaml": configmap("far", v="1")})
    near = git_repo.commit({"near.yaml": configmap("near", v="1")})
    ship.create_app(f"far-{how}", far, namespace)
    ship.create_app(f"near-{how}", git_repo, namespace)
    ship.synced(f"far-{how}", first)
    ship.synced(f"near-{how}", near)
    ship.quiet()
    (git_line.cut if how == "cut" else git_line.hang)()

    commit = far.commit({"far.yaml": configmap("far", v="2")})
    waits = ship.deliver(far, commit)
    until("the push to be tried", lambda: "waiting" in [s["name"] for s in ship.delivery(waits)["stages"]])
    for value in ("2", "3"):
        near = git_repo.commit({"near.yaml": configmap("near", v=value)})
        assert ship.finished(ship.deliver(git_repo, near))["state"] == "succeeded"
        ship.synced(f"near-{how}", near)

    assert ship.delivery(waits)["state"] == "running"
    assert ship.configmap(namespace, "far")["data"] == {"v": "1"}
    assert ship.app(f"far-{how}")["status"]["sync"]["revision"] == first
    git_line.mend()
    assert ship.finished(waits)["state"] == "succeeded"
    ship.synced(f"far-{how}", commit)
    assert ship.configmap(namespace, "far")["data"] == {"v": "2"}


def test_an_app_says_why_it_is_not_compared_while_its_git_host_is_away(
    ship: Ship, git_server: GitServer, git_line: Line, namespace: str
) -> None:
    far = _through(git_line, git_server.create(f"far-{secrets.token_hex(5)}"))
    commit = far.commit({"far.yaml": configmap("far")})
    git_line.cut()

    ship.create_app("unreachable", far, namespace)

    assert ship.condition("unreachable", "cannot be asked")["type"] == "ComparisonError"
    git_line.mend()
    app = ship.synced("unreachable", commit)
    assert app["status"].get("conditions", []) == []


def test_an_api_server_that_is_away_is_waited_for(
    ship: Ship, git_repo: Repository, namespace: str, api_line: Line
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("offline", git_repo, namespace)
    ship.synced("offline", first)
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    api_line.cut()
    try:
        delivery = ship.deliver(git_repo, commit)

        def tried() -> int:
            return [stage["name"] for stage in ship.delivery(delivery)["stages"]].count("waiting")

        until("it to be tried twice", lambda: tried() > 1)
        with ship.redis() as client:
            attempts = int(client.hget(f"{LEDGER}delivery:{delivery}", "attempts") or 0)
        assert attempts <= 1, "nobody died of it: it is never given up for that"
    finally:
        api_line.mend()

    assert ship.finished(delivery)["state"] == "succeeded"
    ship.synced("offline", commit)


def test_a_process_that_begins_while_the_api_server_hangs_is_given_the_time(
    ship: Ship, git_repo: Repository, namespace: str, api_line: Line
) -> None:
    (died,) = ship.pool("reconcile")
    api_line.hang()
    try:
        os.kill(died, signal.SIGKILL)
        until("another to wait for tasks", lambda: "not ready in advance" in ship.log("reconcile"))
    finally:
        api_line.mend()
    assert "Timed out waiting for UP message" not in ship.log("reconcile"), "it was let live"

    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("begun-late", git_repo, namespace)
    ship.synced("begun-late", commit)
    ship.reconcile("begun-late")


def test_an_api_server_that_goes_away_in_the_middle_of_an_apply_is_waited_for(
    ship: Ship, git_repo: Repository, namespace: str, api_line: Line
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("torn", git_repo, namespace)
    ship.synced("torn", first)
    ship.quiet()
    with Gate(ship.cluster, namespace) as gate:
        commit = git_repo.commit({"a.yaml": configmap("a", v="2"), "held.yaml": gated("held")})
        delivery = ship.deliver(git_repo, commit)
        gate.waits("held")
        api_line.cut()
        gate.open()
        api_line.mend()

        assert ship.finished(delivery)
        app = ship.synced("torn", commit)
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "held")
