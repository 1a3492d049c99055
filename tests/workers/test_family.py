"""The processes of a worker: who is replaced, and who ends with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from mooring.names import DEPLOY, TASK_TURN
from mooring.store.connection import QUEUE
from mooring.store.due import Step
from workers.celery_app import make, send
from workers.transport import give_back

# Each child says its number, and does what it is told to by its first signal.
_FAMILY = """
import os, signal, sys
from workers import family

def become(number, busy):
    def ends(*_):
        os.write(1, b"ends %d\\n" % number)
        sys.exit(0)
    def fails(*_):
        sys.exit(7)
    signal.signal(signal.SIGTERM, ends)
    signal.signal(signal.SIGUSR1, fails)
    signal.signal(signal.SIGUSR2, lambda *_: busy(False))
    busy(True)
    os.write(1, b"began %d\\n" % number)
    while True:
        signal.pause()

family._NOT_NEEDED_S = 0.1
least, most, prepared = map(int, sys.argv[1:])
family.keep(family.Size(least, most, 0.1), lambda: sys.exit(prepared), become)
"""

# A child that has one short task after the other, with pauses of so many milliseconds.
_SHORT = """
import os, sys, time
from workers import family

def become(number, busy):
    os.write(1, b"began %d\\n" % number)
    for _ in range(tasks):
        busy(True)
        busy(False)
        time.sleep(pause / 1000)
    os.write(1, b"done %d\\n" % number)
    time.sleep(1e6)

tasks, pause = map(int, sys.argv[1:])
family.keep(family.Size(1, 2, 0.5), lambda: None, become)
"""

# A worker as `workers.run` has it, with a task that hangs the first time.
_HANGS = """
import os, sys, time
from mooring.names import TASK_TURN
from workers import worker
from workers.family import Size, keep
from workers.celery_app import make

url, said, worker.LONGEST_TASK_S = sys.argv[1], sys.argv[2], int(sys.argv[3])
app = make("mooring-test", url)
app.conf.worker_consumer = worker.Lively

@app.task(name=TASK_TURN)
def turn(name):
    with open(said) as file:
        before = file.read()
    with open(said, "a") as file:
        print(os.getpid(), name, file=file)
    time.sleep(1e6 if name == "hangs" and name not in before else 0)

def become(number, busy):
    worker._bound("deploy", busy)
    worker.serve(app, ["deploy"], "deploy", number)

keep(Size(), lambda: None, become)
"""


@contextmanager
def family(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str], count: int) -> set[str]:
    assert process.stdout is not None
    return {process.stdout.readline().strip() for _ in range(count)}


def until(true: Callable[[], Any]) -> Any:
    """Waits for what must come; pytest's own time limit ends it."""
    pause = threading.Event()
    while not (found := true()):
        pause.wait(0.02)
    return found


def test_one_that_is_killed_is_replaced() -> None:
    with family(_FAMILY, "2", "2", "0") as parent:
        assert says(parent, 2) == {"began 1", "began 2"}
        children = psutil.Process(parent.pid).children()
        children[0].kill()
        (again,) = says(parent, 1)
        assert again in {"began 1", "began 2"}
        assert children[1] in psutil.Process(parent.pid).children()
        assert parent.poll() is None


def test_each_finishes_what_it_is_doing_before_all_end() -> None:
    with family(_FAMILY, "2", "2", "0") as parent:
        says(parent, 2)
        parent.terminate()
        assert says(parent, 2) == {"ends 1", "ends 2"}
        assert parent.wait() == 0


def test_one_that_ends_by_itself_ends_all_with_its_exit_code() -> None:
    with family(_FAMILY, "2", "2", "0") as parent:
        says(parent, 2)
        psutil.Process(parent.pid).children()[0].send_signal(signal.SIGUSR1)
        assert len(says(parent, 1)) == 1
        assert parent.wait() == 7


def test_children_of_a_killed_parent_die_with_it() -> None:
    with family(_FAMILY, "2", "2", "0") as parent:
        says(parent, 2)
        children = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        psutil.wait_procs(children, timeout=60)
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children)


def test_where_what_comes_before_them_fails_there_are_none() -> None:
    with family(_FAMILY, "1", "1", "3") as parent:
        assert parent.wait() == 3
        assert parent.stdout is not None
        assert parent.stdout.read() == ""


def test_there_is_one_more_while_all_are_busy() -> None:
    with family(_FAMILY, "1", "2", "0") as parent:
        assert says(parent, 2) == {"began 1", "began 2"}
        for child in psutil.Process(parent.pid).children():
            child.send_signal(signal.SIGUSR2)
        assert says(parent, 1) == {"ends 2"}, "which has nothing to do"
        until(lambda: len(psutil.Process(parent.pid).children()) == 1)
        assert parent.poll() is None


def test_there_is_one_more_while_one_short_task_follows_the_other() -> None:
    with family(_SHORT, "1000000", "1") as parent:
        assert says(parent, 2) == {"began 1", "began 2"}


def test_there_is_none_more_for_short_tasks_now_and_then() -> None:
    with family(_SHORT, "8", "300") as parent:
        assert says(parent, 2) == {"began 1", "done 1"}


def _begun(said: Path) -> list[tuple[int, str]]:
    return [(int(pid), name) for pid, name in map(str.split, said.read_text().splitlines())]


def _begun_times(said: Path, times: int) -> bool:
    return len(_begun(said)) == times


@pytest.fixture
def said(redis_url: str, tmp_path: Path) -> Path:
    """What was begun, and by whom: first of all what hangs."""
    path = tmp_path / "said"
    path.touch()
    send(make("mooring-test", redis_url), Step(TASK_TURN, ("hangs",), DEPLOY))
    return path


def test_a_task_that_hangs_ends_its_process_and_is_done_by_the_next(redis_url: str, said: Path) -> None:
    with family(_HANGS, redis_url, str(said), "1"):
        until(lambda: len(_begun(said)) == 2)
    (first, _), (second, name) = _begun(said)
    assert first != second
    assert name == "hangs"


def test_the_task_of_a_process_that_is_killed_is_done_again_at_once(
    redis_url: str, redis_client: redis.Redis, said: Path
) -> None:
    with family(_HANGS, redis_url, str(said), "600"):
        until(lambda: _begun(said))
        os.kill(_begun(said)[0][0], signal.SIGKILL)
        until(lambda: len(_begun(said)) == 2)
        until(lambda: not redis_client.hlen(QUEUE + "unacked"))
    assert [name for _, name in _begun(said)] == ["hangs"] * 2
    assert redis_client.llen(QUEUE + DEPLOY) == 0


def test_so_is_that_of_a_whole_family_but_not_of_one_that_lives(
    redis_url: str, redis_client: redis.Redis, said: Path
) -> None:
    arguments = redis_url, str(said), "600"
    with family(_HANGS, *arguments) as first:
        until(lambda: _begun(said))
        with family(_HANGS, *arguments):  # which looks for such tasks before it takes any
            send(make("mooring-test", redis_url), Step(TASK_TURN, ("other",), DEPLOY))
            until(lambda: len(_begun(said)) == 2)
            until(lambda: redis_client.hlen(QUEUE + "unacked") == 1)
        assert [name for _, name in _begun(said)] == ["hangs", "other"]
        first.kill()
        until(lambda: gone(_begun(said)[0][0]))
        with family(_HANGS, *arguments):
            until(lambda: len(_begun(said)) == 3)
    assert [name for _, name in _begun(said)] == ["hangs", "other", "hangs"]


def test_a_task_that_ends_whoever_takes_it_is_dropped_in_the_end(
    redis_url: str, redis_client: redis.Redis, said: Path
) -> None:
    said.write_text("")
    with family(_HANGS.replace(" and name not in before", ""), redis_url, str(said), "600"):
        for times in range(1, 5):
            until(partial(_begun_times, said, times))
            os.kill(_begun(said)[-1][0], signal.SIGKILL)
        until(lambda: not redis_client.hlen(QUEUE + "unacked"))
        send(make("mooring-test", redis_url), Step(TASK_TURN, ("other",), DEPLOY))
        until(lambda: _begun(said)[-1][1] == "other")
    assert [name for _, name in _begun(said)] == ["hangs"] * 4 + ["other"]


@pytest.mark.parametrize("end", ["ack", "reject"])
def test_a_task_whose_end_redis_does_not_take_keeps_its_process_from_no_other(
    redis_url: str, redis_client: redis.Redis, end: str
) -> None:
    app = make("mooring-test", redis_url)
    for name in ("first", "second"):
        send(app, Step(TASK_TURN, (name,), DEPLOY))
    with app.connection_for_read() as connection, connection.SimpleQueue(DEPLOY) as queue:
        channel = queue.channel
        channel.qos.prefetch_count = 1
        message = queue.get()
        assert not channel.qos.can_consume()
        redis_client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(redis.ReadOnlyError):
                getattr(message, end)()
        finally:
            redis_client.execute_command("REPLICAOF", "NO", "ONE")
        assert channel.qos.can_consume()
        queue.get().ack()
        assert redis_client.hlen(QUEUE + "unacked") == 1, "it is done again in time"


def test_what_lies_in_redis_and_is_no_task_is_in_nobodys_way(
    redis_url: str, redis_client: redis.Redis
) -> None:
    said = [b"", b"[]", b"NaN", b'[{"properties": {"a": NaN}}, "", "deploy"]', b'[{"properties": 1}, "", ""]']
    for number, text in enumerate(said):
        redis_client.hset(QUEUE + "unacked", str(number), text)
        redis_client.zadd(QUEUE + "unacked_index", {str(number): time.time()})
    with make("mooring-test", redis_url).connection_for_read() as connection:
        give_back(connection.default_channel)
    assert redis_client.hlen(QUEUE + "unacked") == len(said)


def gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
