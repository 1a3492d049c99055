"""Whether a worker lives is told by its main loop, also while Redis is away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from devcluster.redis import RedisServer
from mooring import exporter
from tests.workers.test_celery import until

_WORKER = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from workers.celery_app import make
from workers.worker import Lively
app = make("story", sys.argv[1])
app.conf.worker_consumer = Lively
app.worker_main(["worker", "--queues=deploy", "--hostname=deploy@here", "--concurrency=1"])
"""


def turned(directory: Path) -> float:
    """When the worker's loop turned last."""
    group = exporter.Group(directory, {})
    samples = [s for m in group.registry.collect() for s in m.samples if s.labels.get("process") == "deploy"]
    return max((s.value for s in samples), default=0.0)


def test_a_worker_that_waits_for_redis_lives(tmp_path: Path) -> None:
    """Whoever ends it because Redis is away has a worker less when Redis is back."""
    environ = {**os.environ, exporter.DIRECTORY: str(tmp_path)}
    server = RedisServer()
    with server:
        argv = [sys.executable, "-c", _WORKER, server.url]
        worker = subprocess.Popen(argv, env=environ)
        try:
            until(lambda: turned(tmp_path) > 0)
            first = turned(tmp_path)
            until(lambda: turned(tmp_path) > first)  # it turns by itself
            server.kill()
            gone = time.time()
            until(lambda: turned(tmp_path) > gone + 8)  # and goes on turning
            assert worker.poll() is None
            assert exporter.Group(tmp_path, {"deploy": exporter.STUCK_AFTER_S}).unwell() == []
        finally:
            worker.kill()
            worker.wait()
    assert exporter.Group(tmp_path, {"deploy": exporter.STUCK_AFTER_S}).unwell() == [
        "deploy does not run, or is not ready yet"
    ]
