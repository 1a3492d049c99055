"""What the embedded Redis promises: ours alone, gone with us, and durable where asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from devcluster.redis import RedisServer


def test_it_is_nobodys_default_instance(redis_server: RedisServer) -> None:
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=redis_server.port) as stranger:
        stranger.ping()
    assert redis_server.port != 6379


def test_the_unix_socket_answers_too(redis_server: RedisServer) -> None:
    password = redis_server.url.split(":")[2].split("@")[0]
    with redis.Redis(unix_socket_path=str(redis_server.socket), password=password) as client:
        assert client.ping()


def test_the_password_is_in_no_command_line(redis_server: RedisServer) -> None:
    password = redis_server.url.split(":")[2].split("@")[0]
    assert redis_server.pid is not None
    assert not any(password in word for word in psutil.Process(redis_server.pid).cmdline())


def test_a_test_begins_with_nothing(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0


def test_what_was_written_survives_a_restart(tmp_path: Path) -> None:
    with RedisServer(tmp_path, append_only=True) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")

        server.kill()
        server.start()

        assert client.get("kept") == b"yes"


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from devcluster.redis import RedisServer\n"
        "server = RedisServer(); server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    parent.stdout.close()
