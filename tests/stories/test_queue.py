"""What a restart of Redis and what anybody can put on the queues does: nothing is lost, nothing breaks."""

from __future__ import annotations

import secrets
import signal
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import signature

from devcluster.gitserver import Repository
from devcluster.redis import RedisServer
from mooring.keys import AppKey
from mooring.names import (
    CONTROL,
    DEPLOY,
    INTAKE,
    RECONCILE,
    TASK_ACTION,
    TASK_DELIVER,
    TASK_MOVED,
    TASK_POLL,
    TASK_PUSH,
    TASK_RECONCILE,
    TASK_SYNC,
    TASK_TURN,
    TASK_WATCH,
)
from mooring.store.turns import Turns
from tests.stories.ship import Ship, configmap, until
from workers.push import following

pytestmark = pytest.mark.cluster

_ENGINE_TASKS = {
    TASK_ACTION: DEPLOY,
    TASK_SYNC: DEPLOY,
    TASK_PUSH: DEPLOY,
    TASK_RECONCILE: RECONCILE,
    TASK_MOVED: RECONCILE,
    TASK_POLL: DEPLOY,
    TASK_WATCH: CONTROL,
}
_GARBAGE: list[Any] = [
    42,
    -1.5,
    None,
    True,
    "",
    "x",
    "/",
    "..",
    "../../../etc/passwd",
    "app:",
    "push:",
    "push:../../x",
    "home/app\n\r\0",
    "\N{BELL}" * 10,
    "x" * 1_000_000,
    ["x"],
    {"name": "x"},
]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that keeps what it was told."""
    directory: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(directory, append_only=True) as server:
        yield server


@pytest.fixture
def app(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """An app that heals itself, synced."""
    name = f"app-{secrets.token_hex(4)}"
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, first)
    ship.quiet()
    return name


def _turns_done(ship: Ship, name: str) -> int:
    with ship.redis() as client:
        return int(client.hget(f"mooring:turn:app:{AppKey(ship.home, name)}", "done") or 0)


def _spoil(ship: Ship, namespace: str) -> None:
    ship.ask(
        f"/api/v1/namespaces/{namespace}/configmaps/a",
        {"data": {"v": "spoilt"}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )


def test_deliveries_that_wait_outlive_a_restart_of_redis_and_hosts_are_told_to_come_again(
    ship: Ship, own_redis: RedisServer, git_repo: Repository, namespace: str, app: str
) -> None:
    ship.end("intake")
    commits = [git_repo.commit({"a.yaml": configmap("a", v=str(n))}) for n in range(2, 7)]
    waiting = [ship.deliver(git_repo, commit) for commit in commits]
    assert {ship.delivery(id)["state"] for id in waiting} == {"enqueued"}

    own_redis.kill()
    with pytest.raises(urllib.error.HTTPError) as refused:
        ship.deliver(git_repo, commits[-1], id="meanwhile")
    assert refused.value.code == 503
    assert int(refused.value.headers["Retry-After"]) > 0
    own_redis.start()

    ship.start("intake")
    again = ship.deliver(git_repo, commits[-1], id="meanwhile")
    for id in (*waiting, again):
        assert ship.finished(id)["state"] == "succeeded"
    ship.synced(app, commits[-1])
    assert ship.configmap(namespace, "a")["data"] == {"v": "6"}


def test_work_under_way_outlives_a_restart_of_redis(
    ship: Ship, own_redis: RedisServer, git_repo: Repository, namespace: str, app: str
) -> None:
    commits = [git_repo.commit({"a.yaml": configmap("a", v=str(n))}) for n in range(2, 22)]
    deliveries = [ship.deliver(git_repo, commit) for commit in commits]

    own_redis.kill()
    own_redis.start()

    def ended() -> bool:
        return all(ship.delivery(id)["state"] == "succeeded" for id in deliveries)

    until("the end of all deliveries", ended)
    ship.synced(app, commits[-1])
    assert ship.configmap(namespace, "a")["data"] == {"v": "21"}
    for name, child in ship.children.items():
        assert child.poll() is None, f"{name} ended"


@pytest.mark.parametrize("which", ["", "app"])
def test_a_reconciliation_asked_for_by_hand_puts_back_what_has_drifted(
    ship: Ship, namespace: str, app: str, which: str
) -> None:
    _spoil(ship, namespace)

    ship.send(RECONCILE, TASK_RECONCILE, f"{ship.home}/{app}" if which else "", "by hand")

    until("it to be healed", lambda: ship.configmap(namespace, "a")["data"] == {"v": "1"})


def test_a_sync_task_sent_by_hand_does_what_is_wanted_and_no_more(
    ship: Ship, namespace: str, app: str
) -> None:
    before, done = ship.app(app)["metadata"]["resourceVersion"], _turns_done(ship, app)

    ship.send(DEPLOY, TASK_SYNC, f"{ship.home}/{app}")
    ship.send(RECONCILE, TASK_RECONCILE, f"{ship.home}/{app}", "by hand")

    until("the look", lambda: _turns_done(ship, app) > done)
    ship.quiet()
    assert ship.app(app)["metadata"]["resourceVersion"] == before


def test_a_push_does_not_wait_for_a_reconciliation_that_has_queued_its_app(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    ship.signal("reconcile", signal.SIGSTOP)  # as one that has hundreds of apps before this one
    try:
        with ship.redis() as client:
            turns = Turns(client, time.time)
            assert turns.want(f"app:{AppKey(ship.home, app)}", {"compare": "1"}, background=True)
        commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
        assert ship.finished(ship.deliver(git_repo, commit))["state"] == "succeeded"
        ship.synced(app, commit)
    finally:
        ship.signal("reconcile", signal.SIGCONT)


def test_a_worker_whose_mirror_lacks_the_pushed_commit_fetches_it(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    name = f"app:{AppKey(ship.home, app)}"
    with ship.redis() as client:
        wishes = {"commit": commit, following(git_repo.url, "main").name: commit}
        Turns(client, time.time).want(name, wishes)

    ship.send(RECONCILE, TASK_TURN, name)  # its workers have a disk of their own here

    ship.synced(app, commit)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_a_sync_by_the_command_line_is_taken_up_without_beat(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    _spoil(ship, namespace)
    ship.end("beat")
    try:
        done = ship.mooring("app", "sync", app, "--timeout", "60")
    finally:
        ship.start("beat")

    assert done.returncode == 0, done.stderr
    assert "Succeeded" in done.stdout
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}


def test_garbage_on_the_queues_neither_ends_a_worker_nor_stays(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    workers = {child.pid: ship.pool(name)[:1] for name, child in ship.children.items()}
    for task, queue in _ENGINE_TASKS.items():
        for garbage in _GARBAGE:
            ship.send(queue, task, garbage)
        ship.send(queue, task)
        ship.send(queue, task, "x", "y", "z")
        ship.send(queue, task, kwargs={"nonsense": 1})
    for garbage in _GARBAGE:
        ship.send(INTAKE, TASK_DELIVER, garbage)
        ship.send(RECONCILE, TASK_RECONCILE, f"{ship.home}/{app}", garbage)

    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "succeeded"
    ship.synced(app, commit)
    with ship.redis() as client:
        queues = [f"mooring:queue:{queue}" for queue in (INTAKE, DEPLOY, RECONCILE)]
        until("all queues to be worked off", lambda: not any(client.llen(queue) for queue in queues))
        ship.quiet()
        until("nothing to be due", lambda: client.zcard("mooring:due") == 0)
    # A pool may have one more process meanwhile, but those that were there are.
    assert workers == {child.pid: ship.pool(name)[:1] for name, child in ship.children.items()}


def test_another_task_on_the_intake_queue_is_not_run(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    _spoil(ship, namespace)
    done = _turns_done(ship, app)
    for task in _ENGINE_TASKS:
        ship.send(INTAKE, task, f"{ship.home}/{app}")
    ship.send(INTAKE, TASK_RECONCILE, "", "reconcile")
    further = signature(TASK_RECONCILE, args=("", "reconcile"), queue=RECONCILE, immutable=True)
    ship.send(INTAKE, TASK_DELIVER, "1-1", link=further, link_error=further)
    ship.send(INTAKE, TASK_DELIVER, "1-1", chain=[further])

    # The queue is worked off in order: once this one has ended, the others were looked at.
    told = ship.finished(ship.deliver(git_repo, "1" * 40, ref="refs/heads/nobody-follows"))

    assert told["state"] == "succeeded"
    ship.quiet()
    assert _turns_done(ship, app) == done
    assert ship.configmap(namespace, "a")["data"] == {"v": "spoilt"}
