"""`mooring flower`, and Flower as a part of `mooring up`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.processes import POOLS
from cli.up import _FLOWER_PORT
from devcluster.cluster import Cluster
from tests.cli.conftest import Mooring
from tests.measured import measured
from tests.ports import free_port
from tests.stories.operator import pools
from tests.stories.ship import until

Log = Callable[[], tuple[str, re.RegexFlag]]
_ENV = {"PATH": os.environ["PATH"], "MOORING_REDIS_URL": "redis://127.0.0.1:1/0"}


def _flower(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "flower", *arguments],
        env=_ENV | environ | measured(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "it needs a password: set MOORING_FLOWER_PASSWORD, or MOORING_FLOWER_PASSWORD_FILE"),
        ({"MOORING_FLOWER_PASSWORD_FILE": "empty"}, "it needs a password"),
        ({"MOORING_FLOWER_PASSWORD_FILE": "nowhere"}, "nowhere: No such file or directory"),
        ({"MOORING_FLOWER_PASSWORD": "swordfish", "MOORING_FLOWER_PASSWORD_FILE": "empty"}, "are both set"),
        ({"MOORING_FLOWER_PASSWORD": "swordfish\N{FISH}"}, "printable ASCII characters only"),
    ],
)
def test_without_a_usable_password_it_does_not_start(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    files = {name: str(tmp_path / value) for name, value in environ.items() if name.endswith("_FILE")}
    done = _flower("--port", str(free_port()), **environ | files)
    assert done.returncode == 20
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "swordfis" not in done.stderr + done.stdout


def test_what_is_no_redis_url_is_said_without_its_password() -> None:
    done = _flower(
        "--port",
        str(free_port()),
        MOORING_FLOWER_PASSWORD="p",
        MOORING_REDIS_URL="http://:swordfish@somewhere",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mooring flower: MOORING_REDIS_URL is not a Redis URL")
    assert "swordfish" not in done.stderr


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _flower("--port", str(port), MOORING_FLOWER_PASSWORD="p")
    assert done.returncode == 20
    assert done.stderr == (
        f"mooring: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --port\n"
    )


@pytest.mark.cluster
def test_up_shows_where_flower_is_and_a_password_that_opens_it(
    mooring: Mooring, cluster: Cluster, namespace: str, redis_url: str, tmp_path: Path
) -> None:
    assert mooring("crds", "install", "--yes").returncode == 0
    port = free_port()
    with _up(cluster, namespace, redis_url, tmp_path, "--flower-port", str(port)) as log:
        line = r"^flower +(\S+) +user mooring, password (\S+)$"
        found = until("the password", lambda: re.search(line, *log()))
        assert found[1] == f"http://127.0.0.1:{port}/"
        until("all workers", lambda: pools(port, found[2]) == set(POOLS))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(found[1], timeout=10)
        assert log()[0].count(found[2]) == 1, "shown once"


@pytest.mark.cluster
def test_up_goes_on_without_flower_where_its_usual_port_is_taken(
    mooring: Mooring, cluster: Cluster, namespace: str, redis_url: str, tmp_path: Path
) -> None:
    assert mooring("crds", "install", "--yes").returncode == 0
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # somebody else has it already: just as well
            held.enter_context(socket.create_server(("127.0.0.1", _FLOWER_PORT)))
        with _up(cluster, namespace, redis_url, tmp_path) as log:
            said = until("what is said", lambda: re.search(r"^flower +off: (.+)$", *log()))
            assert said[1] == (
                f"cannot listen on 127.0.0.1 port {_FLOWER_PORT}: Address already in use; "
                "choose another with --flower-port"
            )
            until("beat", lambda: "beat holds the lease" in log()[0])


@pytest.mark.cluster
def test_up_refuses_a_port_for_flower_that_was_asked_for_and_is_taken(
    mooring: Mooring,
) -> None:
    assert mooring("crds", "install", "--yes").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mooring("up", "--port", str(free_port()), "--flower-port", str(port))
    assert done.returncode == 20
    assert done.stderr == (
        f"mooring: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --flower-port\n"
    )


@contextmanager
def _up(cluster: Cluster, namespace: str, redis_url: str, home: Path, *arguments: str) -> Iterator[Log]:
    """A running `mooring up`; gives what it has said so far, and how to search in that."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "MOORING_KUBECONFIG": str(cluster.kubeconfig),
        "MOORING_NAMESPACE": namespace,
        "MOORING_REDIS_URL": redis_url,
        "MOORING_STATE_DIR": str(home / "state"),
    }
    said = home / "up.log"
    with said.open("wb") as out:
        argv = ["up", "--port", str(free_port()), "--drain", "5", *arguments]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", *argv], env=environ, stdout=out, stderr=out
        )
    try:
        yield lambda: (said.read_text(), re.MULTILINE)
        assert process.poll() is None, said.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
