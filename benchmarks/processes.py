"""The processes that benchmarks measure: started here, ended here, on ports and files of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from devcluster.redis import RedisServer

WEB_PROCESSES = 2


@contextmanager
def redis_with_aof() -> Iterator[RedisServer]:
    """A Redis that writes down what it is told."""
    with (
        tempfile.TemporaryDirectory() as directory,
        RedisServer(Path(directory), append_only=True) as server,
    ):
        yield server


@contextmanager
def web(redis_url: str, secret: bytes) -> Iterator[int]:
    """Our web tier, for webhooks of GitHub signed with `secret`; gives its port."""
    environ = {
        "MOORING_REDIS_URL": redis_url,
        "MOORING_WEBHOOK_GITHUB_SECRET": secret.decode(),
        "MOORING_MAX_UNFINISHED": "200000",  # the benchmark says itself how many it leaves unfinished
    }
    code = (
        "import os, sys; from mooring.settings_web import WebSettings; from webhook.serve import run; "
        f"run(WebSettings.from_env(os.environ), '127.0.0.1', int(sys.argv[1]), {WEB_PROCESSES})"
    )
    with serving(code, environ) as port:
        yield port


@contextmanager
def workers(environ: Mapping[str, str]) -> Iterator[psutil.Process]:
    """All of ours but web, kept running as `mooring up` keeps them; gives the process that does so."""
    code = (
        "import os; from cli import processes, supervise; from mooring.settings import Settings; "
        "settings = Settings.from_env(os.environ); "
        "children = *processes.workers(os.environ, settings), processes.beat(os.environ, settings), "
        "processes.observer(os.environ, settings); "
        "supervise.run(children, drain_s=20)"
    )
    with running([sys.executable, "-c", code], environ) as group:
        yield psutil.Process(group.pid)


def of_pool(group: psutil.Process, pool: str) -> psutil.Process:
    """The worker of `pool` that runs now in the group that `workers` gave."""
    return next(child for child in group.children() if child.name() == pool)


@contextmanager
def serving(code: str, environ: Mapping[str, str]) -> Iterator[int]:
    """The Python program `code`, which listens on the port in its first argument; gives that port."""
    port = free_port()
    with running([sys.executable, "-c", code, str(port)], environ):
        until(lambda: answers(port), f"nothing answers on port {port}")
        yield port


@contextmanager
def running(argv: list[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block. Its output goes to our standard error."""
    child = subprocess.Popen(
        argv, env={**os.environ, **environ}, start_new_session=True, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def until(done: Callable[[], bool], message: str, seconds: float = 20) -> None:
    """Waits until `done`. Raises TimeoutError with `message` after so many seconds."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(message)
        pause.wait(0.05)


def free_port() -> int:
    """One of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a web tier listens there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
