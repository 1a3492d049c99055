"""Celery as we set it, on a real Redis: what a queue can make a worker do, and who outlives whom."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from devcluster.redis import RedisServer
from mooring.errors import StoreUnavailable
from mooring.names import DEPLOY, INTAKE, LONGEST_TASK_S, SENT_AT, TASK_DELIVER, TASK_TURN
from mooring.settings import Settings
from mooring.store.connection import QUEUE
from mooring.store.due import Step
from mooring.store.ledger import ID_PLACE
from webhook.queue import task_message
from workers import events
from workers.celery_app import QUEUES, make, send
from workers.worker import build

# A worker as `workers.run` builds it, with tasks that leave a trace in Redis instead of an engine.
WORKER = """
import sys
import redis
from mooring.names import TASK_DELIVER
from workers.celery_app import make
from workers.worker import gated, serve

url, queue = sys.argv[1:]
app = gated(make("mooring-test", url))
client = redis.Redis.from_url(url)

@app.task(name=TASK_DELIVER)
def deliver(id):
    client.rpush("delivered", id)

serve(app, [queue], "test")
"""


@contextmanager
def worker(url: str, queue: str) -> Iterator[subprocess.Popen[bytes]]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", WORKER, url, queue], cwd=root)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], Any]) -> None:
    """Waits for what must come; pytest's own time limit ends it."""
    pause = threading.Event()
    while not true():
        pause.wait(0.02)


def delivered(client: redis.Redis) -> list[bytes]:
    # Its types do not know a client that decodes nothing.
    found: list[bytes] = client.lrange("delivered", 0, -1)  # type: ignore[assignment]
    return found


BRINGS = ("callbacks", "errbacks", "chain", "chord")


def message(
    body: Any, headers: dict[str, Any] | None = None, task: Any = TASK_DELIVER, encoding: str = "utf-8"
) -> bytes:
    """A message as anybody who may write to the queue can make it."""
    id = str(uuid.uuid4())
    return json.dumps(
        {
            "body": json.dumps(body),
            "content-encoding": encoding,
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": id, "root_id": id, **(headers or {})},
            "properties": {
                "correlation_id": id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": INTAKE},
                "priority": 0,
                "body_encoding": "utf-8",
                "delivery_tag": id,
            },
        }
    ).encode()


def test_the_intake_worker_takes_deliveries_and_nothing_that_they_bring(
    redis_url: str, redis_client: redis.Redis
) -> None:
    evil = {
        "task": "mooring.sync",
        "args": ["mooring_shop"],
        "kwargs": {},
        "options": {"queue": DEPLOY},
        "subtask_type": None,
        "immutable": True,
    }
    nothing = dict.fromkeys(BRINGS)
    hostile = [
        message([["evil"], {}, {**nothing, name: [evil]}]) for name in ("callbacks", "errbacks", "chain")
    ]
    hostile += [
        message([["evil"], {}, {**nothing, "chord": evil}]),
        message([["evil"], {}, [["chain", [evil]]]]),
        message([["evil"], {}, nothing], task="mooring.sync"),
        message([["evil"], {}, nothing], task="celery.chord_unlock"),
        message({"task": TASK_DELIVER, "id": "x", "args": ["evil"], "kwargs": {}, "callbacks": [evil]}),
        message(["evil"]),
        message("evil"),
        message(None),
        message(5),
        message([1, 2, 3]),
        message([["evil"], {}, nothing], task=["a", "list"]),
        message([[evil], None, nothing], task="celery.group"),
        message([["evil"], {}, nothing], {"id": ["a", "list"]}),
        message([["evil"], {}, nothing], {"id": None}),
        message([["evil"], {}, nothing], {"eta": "no time"}),
        b'{"body": "W10=", "headers": {"task": "mooring.deliver"}, "properties": {"delivery_tag": "t", '
        b'"delivery_info": {"exchange": "", "routing_key": "intake"}, "body_encoding": "base64"}, '
        b'"content-type": "application/json", "content-encoding": "utf-8"}',
    ]
    # Protocol 1: everything in the body, callbacks included.
    old = json.loads(message({}))
    old["headers"] = {}
    old["body"] = json.dumps(
        {"task": TASK_DELIVER, "id": str(uuid.uuid4()), "args": ["evil"], "kwargs": {}, "callbacks": [evil]}
    )
    hostile.append(json.dumps(old).encode())
    in_headers = message(
        [["stripped"], {}, nothing], {**{name: [evil] for name in BRINGS}, "reply_to": DEPLOY}
    )
    with worker(redis_url, INTAKE) as process:
        for one in [*hostile, in_headers]:
            redis_client.lpush(QUEUE + INTAKE, one)
        redis_client.lpush(QUEUE + INTAKE, task_message().replace(ID_PLACE, "the web tier's"))
        send(make("mooring-test", redis_url), Step(TASK_DELIVER, ("good",), INTAKE))
        until(lambda: b"good" in delivered(redis_client) or process.poll() is not None)
        assert process.poll() is None, "no message ends the worker"
        until(lambda: not redis_client.hlen(QUEUE + "unacked"))  # the last one is, once it has been done
    taken = set(delivered(redis_client))
    assert {b"the web tier's", b"good"} <= taken <= {b"the web tier's", b"good", b"stripped"}
    assert redis_client.llen(QUEUE + DEPLOY) == 0, "nothing was sent on"
    assert redis_client.hlen(QUEUE + "unacked") == 0, "and nothing of it comes back"


def test_messages_are_json_under_our_prefix_and_leave_no_results(
    redis_url: str, redis_client: redis.Redis
) -> None:
    send(make("mooring-test", redis_url), Step(TASK_DELIVER, ("d1",), INTAKE))
    (raw,) = redis_client.lrange(QUEUE + INTAKE, 0, -1)
    assert json.loads(raw)["content-type"] == "application/json"
    assert all(key.startswith(QUEUE.encode()) for key in redis_client.scan_iter())


def test_a_queue_is_there_with_the_task_that_is_sent_to_it_and_needs_nothing_else(
    redis_url: str, redis_client: redis.Redis
) -> None:
    app, queue = make("mooring-test", redis_url), f"{QUEUE}{INTAKE}".encode()
    send(app, Step(TASK_DELIVER, ("d1",), INTAKE))
    assert list(redis_client.scan_iter()) == [queue]
    redis_client.flushdb()
    send(app, Step(TASK_DELIVER, ("d2",), INTAKE))
    assert list(redis_client.scan_iter()) == [queue]
    with worker(redis_url, INTAKE):
        until(lambda: delivered(redis_client) == [b"d2"])


def test_what_is_sent_while_redis_is_away_is_refused_and_what_comes_after_goes_through() -> None:
    with RedisServer(append_only=True) as server:
        app = make("mooring-test", server.url)
        send(app, Step(TASK_DELIVER, ("d1",), INTAKE))
        server.kill()
        with pytest.raises(StoreUnavailable):
            send(app, Step(TASK_DELIVER, ("d2",), INTAKE))
        server.start()
        send(app, Step(TASK_DELIVER, ("d3",), INTAKE))
        server.kill()
        server.start()  # nobody has noticed
        send(app, Step(TASK_DELIVER, ("d4",), INTAKE))
        with redis.Redis.from_url(server.url) as client:
            sent = [json.loads(raw)["headers"]["argsrepr"] for raw in client.lrange(QUEUE + INTAKE, 0, -1)]
    assert sent == ["('d4',)", "('d3',)", "('d1',)"]


def both(app: Celery, step: Step) -> None:
    """Sends `step`, and then the same task as Celery sends any."""
    send(app, step)
    app.send_task(step.task, step.args, queue=step.queue, ignore_result=True)


def nameless(raw: bytes | str) -> dict[str, Any]:
    """A message without what tells it from others of its kind."""
    message = json.loads(raw)
    told = message["headers"].pop(SENT_AT), message["properties"].pop("delivery_tag")
    assert all(told)
    for option in ("argsrepr", "kwargsrepr"):  # which Celery leaves there too, and nobody reads
        message["properties"].pop(option, None)
    named: dict[str, Any] = json.loads(json.dumps(message).replace(message["headers"]["id"], "its id"))
    return named


@pytest.mark.parametrize("sender", ["observer", "task"])
def test_a_step_is_the_message_that_celery_itself_would_send(
    sender: str, redis_url: str, redis_client: redis.Redis
) -> None:
    app = make("mooring-test", redis_url)
    step = Step(TASK_TURN, ("https://me:secret@example.com/it",), DEPLOY)

    @app.task(name="outer")  # type: ignore[untyped-decorator]
    def outer() -> None:
        both(app, step)

    if sender == "task":
        outer.apply(task_id="the outer one")
    else:
        both(app, step)
    celerys, ours = (nameless(raw) for raw in redis_client.lrange(f"{QUEUE}{DEPLOY}", 0, -1))
    assert ours == celerys
    assert ours["headers"]["parent_id"] == ("the outer one" if sender == "task" else None)
    assert "secret" not in json.dumps(ours)


def test_who_listens_is_told_of_a_step_as_of_any_task(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = redis_client.pubsub()
    listener.psubscribe("*celeryev*")
    assert listener.get_message(timeout=10)
    monkeypatch.setattr(events, "_until", 0.0)
    both(make("mooring-test", redis_url), Step(TASK_TURN, ("app:a_b",), DEPLOY))
    heard = [json.loads(listener.get_message(timeout=10)["data"])["body"] for _ in range(2)]
    ours, celerys = (json.loads(base64.b64decode(body)) for body in heard)
    assert ours["type"] == "task-sent"
    its_own = {"uuid", "root_id", "clock", "timestamp"}
    assert {**ours, **dict.fromkeys(its_own)} == {**celerys, **dict.fromkeys(its_own)}


def test_a_redis_without_memory_left_is_one_that_does_not_take_tasks() -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        app = make("mooring-test", server.url)
        send(app, Step(TASK_DELIVER, ("d1",), INTAKE))
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable):
            send(app, Step(TASK_DELIVER, ("d2",), INTAKE))


HANGS = """
import sys, time
from workers import tasks
from workers.celery_app import make
from workers.worker import gated, serve

url, queue = sys.argv[1:]
tasks.HUNG_S = 1
app = gated(make("mooring-test", url))
tasks.intake_tasks(app, lambda: time.sleep(1e6))
app.worker_main(["worker", f"--queues={queue}", "--pool=solo", "--without-mingle", "--without-gossip"])
"""


def test_a_delivery_that_hangs_ends_the_intake_worker_and_is_not_lost(
    redis_url: str, redis_client: redis.Redis
) -> None:
    send(make("mooring-test", redis_url), Step(TASK_DELIVER, ("hangs",), INTAKE))
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", HANGS, redis_url, INTAKE], cwd=root) as process:
        try:
            assert process.wait() == -signal.SIGALRM
        finally:
            process.kill()
    assert redis_client.hlen(QUEUE + "unacked") == 1


@pytest.mark.parametrize("pool", QUEUES)
def test_a_worker_takes_one_task_at_a_time_and_gives_back_what_it_has_not_done(pool: str) -> None:
    app, _ = build(pool, Settings(redis_url="redis://127.0.0.1:1/0"))
    assert app.conf.worker_prefetch_multiplier == 1
    tasks = [task for name, task in app.tasks.items() if name.startswith("mooring.")]
    assert tasks
    for task in tasks:
        task.bind(app)
        assert task.acks_late
        assert task.reject_on_worker_lost
        assert task.acks_on_failure_or_timeout is False


@pytest.mark.parametrize("setting", ["task_acks_late", "task_reject_on_worker_lost", "task_ignore_result"])
def test_nothing_is_lost_or_doubled_by_default(setting: str) -> None:
    conf = make("mooring-test", "redis://127.0.0.1:1/0").conf
    assert conf[setting] is True
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["visibility_timeout"] > LONGEST_TASK_S


# --- events -----------------------------------------------------------------------------------------


def told(client: redis.Redis) -> int:
    """How many events Redis was given so far."""
    found: dict[str, Any] = client.info("commandstats")
    return int(found.get("cmdstat_publish", {}).get("calls", 0))


def test_of_tasks_that_are_sent_nobody_is_told_while_nobody_listens(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, step = make("mooring-test", redis_url), Step("mooring.turn", ("app:a_b",), DEPLOY)
    monkeypatch.setattr(events, "_until", 0.0)
    before = told(redis_client)
    for _ in range(3):
        send(app, step)
    assert told(redis_client) == before + 1  # which finds out that nobody does
    assert redis_client.llen(f"{QUEUE}{DEPLOY}") == 3

    listener = redis_client.pubsub()
    listener.psubscribe("*celeryev*")
    assert listener.get_message(timeout=10)
    monkeypatch.setattr(events, "_until", 0.0)  # after some seconds
    for _ in range(3):
        send(app, step)
    assert told(redis_client) == before + 4


def test_a_worker_goes_on_to_say_that_it_is_there_and_so_hears_that_somebody_listens(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make("mooring-test", redis_url)
    monkeypatch.setattr(events, "_until", 0.0)
    with app.connection_for_write() as connection, app.events.Dispatcher(connection) as dispatcher:
        dispatcher.send("worker-heartbeat")
        before = told(redis_client)
        dispatcher.send("task-received")
        assert told(redis_client) == before
        dispatcher.send("worker-heartbeat")
        assert told(redis_client) == before + 1

        listener = redis_client.pubsub()
        listener.psubscribe("*celeryev*")
        assert listener.get_message(timeout=10)
        dispatcher.send("worker-heartbeat")
        dispatcher.send("task-received")
        assert told(redis_client) == before + 3
