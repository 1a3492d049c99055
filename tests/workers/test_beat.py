"""Beat, as a process of its own, on a Redis that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from devcluster.redis import RedisServer
from mooring.errors import StoreUnavailable
from mooring.names import CONTROL
from mooring.settings import Settings
from mooring.store.connection import QUEUE
from tests.stories.ship import until
from workers.beat import _catch_up, schedule
from workers.celery_app import make


@contextmanager
def beat(url: str, log: Path) -> Iterator[None]:
    environ = {**os.environ, "MOORING_REDIS_URL": url, "MOORING_STATE_DIR": str(log.parent)}
    with (
        log.open("wb") as stderr,
        subprocess.Popen([sys.executable, "-m", "workers.beat"], env=environ, stderr=stderr) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def test_it_says_in_a_line_that_it_cannot_send_and_when_it_can_again(tmp_path: Path) -> None:
    log = tmp_path / "beat.log"
    with RedisServer(append_only=True) as server, beat(server.url, log):
        with redis.Redis.from_url(server.url) as client:
            until("it to send", lambda: client.llen(QUEUE + CONTROL) > 0)
        server.kill()
        until("it to say so", lambda: "it is sent again when it is due" in log.read_text())
        server.start()
        until("it to go on", lambda: "what is due is sent again" in log.read_text())
    assert "Traceback" not in log.read_text()


def test_where_nothing_can_be_sent_as_it_begins_it_says_so() -> None:
    app = make("mooring-beat", "redis://127.0.0.1:1/0")
    app.conf.beat_schedule = schedule(Settings())
    with pytest.raises(StoreUnavailable, match="the queue does not take tasks"):
        _catch_up(app)
