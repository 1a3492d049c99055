"""The demo itself, and what it leaves behind: nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devcluster import places
from devcluster.cluster import Cluster
from tests.cli.conftest import Mooring

pytestmark = pytest.mark.cluster


def test_a_push_lands_and_each_stage_is_shown(cluster: Cluster, tmp_path: Path) -> None:
    demo = _start(cluster, tmp_path, "--once")
    shown = demo.communicate(timeout=200)[0]
    assert demo.returncode == 0, shown
    for stage in ("pushed", "delivered", "received", "fetched", "rendered", "planned", "applied", "live"):
        assert re.search(rf"^  {stage} +[\d.]+ (ms|s)  ", shown, re.M), shown
    assert "Done: the cluster has what Git has" in shown
    assert _left(tmp_path) == []


def test_each_tier_has_a_redis_user_and_ending_it_half_way_leaves_no_process_and_no_file(
    cluster: Cluster, tmp_path: Path
) -> None:
    demo = _start(cluster, tmp_path)
    assert demo.stdout is not None
    shown, users = [], {}
    for line in demo.stdout:
        shown.append(line)
        if "answers after" in line:
            users = _redis_users(demo.pid)
            demo.send_signal(signal.SIGINT)
            break
    shown.append(demo.communicate(timeout=100)[0])
    # Workers, beat and observer are grown in the nursery, and know what it does.
    assert users == {"webhook": "mooring-web", "cli.nursery": "mooring"}
    assert demo.returncode == 130, "".join(shown)
    assert "Traceback" not in "".join(shown)
    assert _left(tmp_path) == []
    assert not list((tmp_path / "tmp").iterdir())


def test_without_a_cluster_it_brings_its_own_and_takes_it_away_again(tmp_path: Path) -> None:
    demo = _start(None, tmp_path, "--once", yes=False)
    shown = demo.communicate(timeout=400)[0]
    assert demo.returncode == 0, shown
    assert "starting a control plane" in shown
    assert "Done: the cluster has what Git has" in shown
    assert _left(tmp_path) == []
    assert not list((tmp_path / "state").rglob("kubeconfig"))


def test_ending_it_takes_its_own_cluster_away_too(tmp_path: Path) -> None:
    demo = _start(None, tmp_path, yes=False)
    assert demo.stdout is not None
    shown = []
    for line in demo.stdout:
        shown.append(line)
        if "Ctrl-C ends everything" in line:
            assert _left(tmp_path)
            demo.send_signal(signal.SIGINT)
            break
    shown.append(demo.communicate(timeout=100)[0])
    assert demo.returncode == 0, "".join(shown)
    assert "Traceback" not in "".join(shown)
    assert _left(tmp_path) == []
    assert not list((tmp_path / "state").rglob("kubeconfig"))


def test_a_cluster_of_the_users_is_not_touched_without_a_yes(cluster: Cluster, tmp_path: Path) -> None:
    demo = _start(cluster, tmp_path, yes=False)
    shown = demo.communicate(input="n\n", timeout=100)[0]
    assert f"This touches the cluster {cluster.server}" in shown
    assert demo.returncode == 1
    assert "Traceback" not in shown


def test_a_port_that_is_taken_is_said_before_anything_starts(mooring: Mooring) -> None:
    assert mooring("crds", "install", "--yes").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mooring("up", "--port", str(port))
    assert done.returncode == 20
    assert done.stderr == (
        f"mooring: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --port\n"
    )


def _start(cluster: Cluster | None, home: Path, *arguments: str, yes: bool = True) -> subprocess.Popen[str]:
    """The demo on `cluster`, or on its own; either is built already, and found where that is cached."""
    (home / "tmp").mkdir()
    answer = ["--yes"] if yes else []
    theirs = {"KUBECONFIG": str(cluster.kubeconfig)} if cluster else {}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "demo", *arguments, *answer],
        # The directory for temporary files marks every process of this demo.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(places.binaries().parent.parent),
            **theirs,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests that run in the background of a shell pass on that Ctrl-C is to be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _redis_users(pid: int) -> dict[str, str]:
    """As whom each program below `pid` comes to Redis."""
    users = {}
    for process in psutil.Process(pid).children(recursive=True):
        try:
            program = next(word for word in process.cmdline()[2:4] if word not in ("-P", "-m"))
            url = process.environ()["MOORING_REDIS_URL"]
        except (psutil.Error, KeyError, StopIteration):
            continue
        users[program] = url.removeprefix("redis://").partition(":")[0]
    return users


def _left(home: Path) -> list[str]:
    """Processes that work with files of this demo, or were told of them."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [process.environ().get("TMPDIR", ""), process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(home) in text for text in told):
            found.append(" ".join(process.cmdline()))
    return found
