"""Real Flower on a real Mooring: who gets in, what it shows and never shows, what it can ask for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from devcluster.redis import RedisServer
from mooring.keys import AppKey
from mooring.names import (
    INTAKE,
    RECONCILE,
    TASK_DELIVER,
    TASK_POLL,
    TASK_PUSH,
    TASK_RECONCILE,
    TASK_SYNC,
    TASK_TICK,
    TASK_TURN,
    TASK_WATCH,
)
from mooring.repourl import normalise
from tests.ports import free_port
from tests.stories.ship import SECRET, Ship, configmap, until

pytestmark = pytest.mark.cluster

PASSWORD = "a canary: Flower's own password"
IN_URL = "canary-in-the-url-of-a-repository"
_TABLE = urllib.parse.urlencode(
    {"draw": 1, "start": 0, "length": 100, "order[0][column]": 0, "columns[0][data]": "name"}
)
POOLS = {"intake", "deploy", "slow", "reconcile"}


@dataclass(frozen=True)
class Flower:
    """What a person with a browser or curl has of it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        login: str = f"mooring:{PASSWORD}",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """The status and the text of the answer; a POST where there is a body."""
        basic = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {**basic, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path: str, body: Any = None) -> Any:
        status, text = self.ask(path, body)
        assert status == 200, (path, status, text)
        return json.loads(text)

    def tasks(self, name: str = "") -> list[dict[str, Any]]:
        """The tasks it knows, the newest first."""
        query = urllib.parse.urlencode({"taskname": name, "sort_by": "-received"} if name else {})
        return list(self.json(f"/api/tasks?{query}").values())


@pytest.fixture(scope="module")
def flower(ship: Ship) -> Iterator[Flower]:
    """Started as its users start it, with the password in a file."""
    password, log = ship.directory / "flower-password", ship.directory / "flower.log"
    password.write_text(f"{PASSWORD}\n")
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(ship.directory),
        "MOORING_REDIS_URL": ship.redis_url,
        "MOORING_FLOWER_PASSWORD_FILE": str(password),
        "FLOWER_UNAUTHENTICATED_API": "true",
    }
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "flower", "--port", str(port)],
            env=environ,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    found = Flower(port, process, log)
    try:

        def sees_all() -> bool:
            with contextlib.suppress(OSError):
                names = {worker.partition("@")[0] for worker in found.json("/api/workers?refresh=1")}
                return names >= POOLS
            return False

        until("Flower to see all pools", sees_all)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def app(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """An app that heals itself, synced."""
    name = f"app-{secrets.token_hex(4)}"
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, first)
    ship.quiet()
    return name


def _spoil(ship: Ship, namespace: str) -> None:
    ship.ask(
        f"/api/v1/namespaces/{namespace}/configmaps/a",
        {"data": {"v": "spoilt"}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )


@pytest.mark.parametrize("login", ["", "mooring:", "mooring:wrong", "admin:" + PASSWORD, "mooring:pässword"])
def test_without_the_password_nothing_is_shown_and_nothing_is_done(
    ship: Ship, flower: Flower, login: str, namespace: str, app: str
) -> None:
    _spoil(ship, namespace)
    for path in ("/", "/tasks", "/broker", "/metrics", "/static/js/flower.js", "/api/tasks", "/api/workers"):
        status, text = flower.ask(path, login=login)
        assert (status, text) == (401, "user mooring and its password, please\n"), path
    posts: dict[str, Any] = {
        f"/api/task/send-task/{TASK_RECONCILE}": {"args": ["", "stranger"], "queue": RECONCILE},
        f"/api/task/async-apply/{TASK_RECONCILE}": {"args": ["", "stranger"]},
        f"/api/worker/shutdown/{ship.worker('deploy')}": {},
    }
    for path, body in posts.items():
        assert flower.ask(path, body, login=login)[0] == 401

    # What is asked for with the password comes after all that, and is done.
    flower.json(f"/api/task/send-task/{TASK_SYNC}", {"args": [f"{ship.home}/{app}"]})

    until("it to be healed", lambda: ship.configmap(namespace, "a")["data"] == {"v": "1"})
    assert not [task for task in flower.tasks(TASK_RECONCILE) if "stranger" in task["args"]]
    assert ship.children["deploy"].poll() is None


def test_a_page_of_somebody_else_can_neither_send_tasks_nor_show_ours_in_a_frame(flower: Flower) -> None:
    path, body = f"/api/task/send-task/{TASK_RECONCILE}", {"args": ["", "forged"], "queue": RECONCILE}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert flower.ask(path, body, headers=headers)[0] == 403
    request = urllib.request.Request(
        f"http://127.0.0.1:{flower.port}/",
        headers={"Authorization": f"Basic {base64.b64encode(f'mooring:{PASSWORD}'.encode()).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as page:
        assert page.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_probes_need_no_password_and_learn_nothing(flower: Flower) -> None:
    assert flower.ask("/healthcheck", login="") == (200, "OK")


def test_a_push_is_seen_with_its_repository_commit_delivery_and_applications(
    ship: Ship, flower: Flower, git_repo: Repository, namespace: str
) -> None:
    """Two apps: one is synced by the task of the push itself, the other by a task of its own."""
    files = {"one/a.yaml": configmap("a", v="1"), "two/b.yaml": configmap("b", v="1")}
    first = git_repo.commit(files)
    names = [f"one-{secrets.token_hex(3)}", f"two-{secrets.token_hex(3)}"]
    for name in names:
        ship.create_app(name, git_repo, namespace, path=name[:3])
    for name in names:
        ship.synced(name, first)
    ship.quiet()
    commit = git_repo.commit({"one/a.yaml": configmap("a", v="2"), "two/b.yaml": configmap("b", v="2")})

    delivery = ship.deliver(git_repo, commit)

    assert ship.finished(delivery)["state"] == "succeeded"

    def seen() -> list[dict[str, Any]] | None:
        found = [task for task in flower.tasks(TASK_TURN) if delivery in (task["kwargs"] or "")]
        return found if len(found) >= 2 and all(t["state"] == "SUCCESS" for t in found) else None

    tasks = until("the push's tasks", seen)
    for task in tasks:
        assert f"'delivery': '{delivery}'" in task["kwargs"]
    # It has a second one where some apps were told ahead of the others.
    of_push = [task for task in tasks if task["args"] == f"('{normalise(git_repo.url)}', 'main')"]
    of_apps = [task for task in tasks if task["args"] in [f"('{ship.home}/{name}',)" for name in names]]
    assert len(of_push) + len(of_apps) == len(tasks)
    assert any(
        f"'commit': '{commit}'" in task["kwargs"]
        and all(f"{ship.home}/{name}" in task["kwargs"] for name in names)
        for task in of_push
    )
    assert of_apps
    assert all(f"'commit': '{commit}'" in task["kwargs"] for task in of_apps)
    # Flower's own search finds all that one delivery led to.
    found = flower.json(f"/api/tasks?{urllib.parse.urlencode({'search': f'kwargs:delivery={delivery}'})}")
    assert set(found) == {task["uuid"] for task in tasks}
    # What beat asks for every second, and what the ledger tells, are not in the way.
    assert not {task["name"] for task in flower.tasks()} & {TASK_TICK, TASK_WATCH, TASK_DELIVER}


def test_nothing_that_flower_shows_or_logs_holds_a_secret(
    ship: Ship, flower: Flower, git_repo: Repository, namespace: str
) -> None:
    url = git_repo.url.replace("://", f"://someone:{IN_URL}@")
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    name = f"url-{secrets.token_hex(4)}"
    ship.create_app(name, replace(git_repo, url=url), namespace)
    ship.synced(name, first)
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    delivery = ship.deliver(replace(git_repo, url=url), commit)
    assert ship.finished(delivery)["state"] == "succeeded"
    flower.json(f"/api/task/send-task/{TASK_PUSH}", {"args": [url, "main"]})
    flower.json(f"/api/task/async-apply/{TASK_PUSH}", {"kwargs": {"repo": url}})
    flower.json(f"/api/task/send-task/{TASK_PUSH}", {"args": [f"ftp://x:{IN_URL}@nowhere", "main"]})
    flower.json(f"/api/task/send-task/{TASK_POLL}", {})
    ship.quiet()

    def ended() -> bool:
        asked = flower.tasks(TASK_PUSH)
        return len(asked) >= 3 and all(task["state"] == "SUCCESS" for task in asked)

    until("all of it to be seen", ended)
    pages = {
        path: flower.ask(path)
        for path in (
            *("/", "/workers?json=1", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/task/types"),
            *("/api/workers?refresh=1", "/api/queues/length", f"/tasks/datatable?{_TABLE}"),
            *(f"/worker/{ship.worker(pool)}" for pool in POOLS),
            *(f"/task/{task['uuid']}" for task in flower.tasks()),
        )
    }
    logs = {name: ship.log(name) for name in (*ship.children, "flower")}
    argv = Path(f"/proc/{flower.process.pid}/cmdline").read_text()
    canaries = {
        "the webhook's secret": SECRET,
        "Redis' password": str(urllib.parse.urlsplit(ship.redis_url).password),
        "Flower's password": PASSWORD,
        "the password in a URL": IN_URL,
    }

    assert {path: status for path, (status, _) in pages.items() if status != 200} == {}
    for what, canary in canaries.items():
        assert [path for path, (_, text) in pages.items() if canary in text] == [], what
        assert [name for name, text in logs.items() if canary in text] == [], what
        assert canary not in argv, what
    # The repository is named all the same.
    shown = [task["args"] for task in flower.tasks(TASK_TURN) if delivery in task["kwargs"]]
    assert f"('{normalise(git_repo.url)}', 'main')" in shown


def test_all_pools_are_seen_each_with_its_queues(ship: Ship, flower: Flower) -> None:
    listed = flower.json("/workers?json=1")["data"]
    assert {worker["hostname"].partition("@")[0] for worker in listed if worker["status"]} == POOLS
    for pool in POOLS:
        status, page = flower.ask(f"/worker/{ship.worker(pool)}")
        assert status == 200
        assert f">{pool}<" in page


@pytest.mark.parametrize("how", ["send-task", "async-apply", "apply"])
@pytest.mark.parametrize(
    ("task", "queue"), [(TASK_SYNC, "deploy"), (TASK_RECONCILE, "reconcile"), (TASK_RECONCILE, "")]
)
def test_what_has_drifted_is_put_back_when_flower_is_asked(
    ship: Ship, flower: Flower, namespace: str, app: str, how: str, task: str, queue: str
) -> None:
    _spoil(ship, namespace)

    options = {"queue": queue} if queue else {}
    answer = flower.json(f"/api/task/{how}/{task}", {"args": [f"{ship.home}/{app}"], **options})

    until("it to be healed", lambda: ship.configmap(namespace, "a")["data"] == {"v": "1"})

    def shown() -> Any:
        status, text = flower.ask(f"/api/task/info/{answer['task-id']}")
        return text if status == 200 and json.loads(text)["state"] == "SUCCESS" else None

    info = json.loads(until("its end to be shown", shown))
    assert info["worker"].startswith(ship.worker(queue or "reconcile"))
    assert f"{ship.home}/{app}" in info["args"]
    assert flower.ask(f"/task/{answer['task-id']}")[0] == 200


def test_the_web_tiers_queue_gets_nothing_from_flower_but_deliveries(
    ship: Ship, flower: Flower, namespace: str, app: str
) -> None:
    """The intake worker drops any other task, whoever sends it, and lives."""
    _spoil(ship, namespace)
    flower.json(f"/api/task/send-task/{TASK_SYNC}", {"args": [str(AppKey(ship.home, app))], "queue": INTAKE})
    pid = ship.children["intake"].pid

    flower.json(f"/api/task/send-task/{TASK_DELIVER}", {"args": ["1-1"]})

    with ship.redis() as client:
        until("the intake queue to be worked off", lambda: client.llen(f"mooring:queue:{INTAKE}") == 0)
    assert ship.configmap(namespace, "a")["data"] == {"v": "spoilt"}
    assert (ship.children["intake"].pid, ship.children["intake"].poll()) == (pid, None)


def test_flower_outlives_a_restart_of_redis(
    ship: Ship, own_redis: RedisServer, flower: Flower, app: str
) -> None:
    path, body = f"/api/task/send-task/{TASK_SYNC}", {"args": [f"{ship.home}/{app}"]}
    own_redis.kill()
    assert flower.ask("/tasks")[0] == 200
    refused, text = flower.ask(path, body)
    own_redis.start()
    sent: set[str] = set()

    def seen() -> bool:
        """What is sent while the workers or Flower are not back yet may be seen by neither."""
        status, answer = flower.ask(path, body)
        if status == 200:
            sent.add(json.loads(answer)["task-id"])
        return any(task["uuid"] in sent for task in flower.tasks(TASK_SYNC))

    until("tasks to be seen again", seen)
    assert refused >= 500, "nobody is told that a task was sent which was not"
    password = str(urllib.parse.urlsplit(ship.redis_url).password)
    assert password not in flower.log.read_text() + text
    assert flower.process.poll() is None
