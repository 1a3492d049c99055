"""The processes of a worker: who is replaced, and who ends with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from mooring.names import DEPLOY, TASK_TURN
from mooring.store.due import Step
from workers.celery_app import make, send

# Each child says its number, and does what it is told to by its first signal.
_FAMILY = """
import os, signal, sys
from workers.family import keep

def become(number):
    def ends(*_):
        os.write(1, b"ends %d\\n" % number)
        sys.exit(0)
    def fails(*_):
        sys.exit(7)
    signal.signal(signal.SIGTERM, ends)
    signal.signal(signal.SIGUSR1, fails)
    os.write(1, b"began %d\\n" % number)
    while True:
        signal.pause()

keep(2, become)
"""

# A worker as `workers.run` has it, with a task that hangs.
_HANGS = """
import os, sys, time
from mooring.names import TASK_TURN
from workers import run
from workers.celery_app import make

url, said = sys.argv[1:]
run.TASK_LIMIT_S = 1
app = make("mooring-test", url)

@app.task(name=TASK_TURN)
def turn(name):
    with open(said, "a") as file:
        print(os.getpid(), name, file=file)
    time.sleep(1e6 if name == "hangs" else 0)

def become(number):
    run._bound("deploy")
    app.worker_main(["worker", "--queues=deploy", "--pool=solo", "--without-mingle", "--without-gossip"])

run.keep(1, become)
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
    with family(_FAMILY) as parent:
        assert says(parent, 2) == {"began 1", "began 2"}
        children = psutil.Process(parent.pid).children()
        children[0].kill()
        (again,) = says(parent, 1)
        assert again in {"began 1", "began 2"}
        assert children[1] in psutil.Process(parent.pid).children()
        assert parent.poll() is None


def test_each_finishes_what_it_is_doing_before_all_end() -> None:
    with family(_FAMILY) as parent:
        says(parent, 2)
        parent.terminate()
        assert says(parent, 2) == {"ends 1", "ends 2"}
        assert parent.wait() == 0


def test_one_that_ends_by_itself_ends_all_with_its_exit_code() -> None:
    with family(_FAMILY) as parent:
        says(parent, 2)
        psutil.Process(parent.pid).children()[0].send_signal(signal.SIGUSR1)
        assert len(says(parent, 1)) == 1
        assert parent.wait() == 7


def test_children_of_a_killed_parent_die_with_it() -> None:
    with family(_FAMILY) as parent:
        says(parent, 2)
        children = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        psutil.wait_procs(children, timeout=60)
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children)


def test_a_task_that_hangs_ends_its_process_and_the_next_one_takes_the_next_task(
    redis_url: str, tmp_path: Path
) -> None:
    app, said = make("mooring-test", redis_url), tmp_path / "said"
    said.touch()
    send(app, Step(TASK_TURN, ("hangs",), DEPLOY))
    with family(_HANGS, redis_url, str(said)):
        until(lambda: "hangs" in said.read_text())
        send(app, Step(TASK_TURN, ("goes on",), DEPLOY))
        until(lambda: "goes on" in said.read_text())
    first, second = (line.split()[0] for line in said.read_text().splitlines())
    assert first != second
