"""`mooring up` as a person starts it: one endpoint for the whole group, and lines for machines."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.ports import free_port
from tests.stories.conftest import install_crds
from tests.stories.ship import until

pytestmark = pytest.mark.cluster
Start = Callable[..., "subprocess.Popen[bytes]"]
_PROCESSES = {"web", "intake", "deploy", "slow", "reconcile", "beat", "observer"}


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    name = f"home-{secrets.token_hex(4)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    install_crds(cluster)
    yield name
    devcluster.ask(cluster, f"/api/v1/namespaces/{name}", method="DELETE")


@pytest.fixture
def up(cluster: Cluster, home: str, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    """`mooring up` with these flags; its output goes to files in `tmp_path`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*flags: str, **variables: str) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path / "tmp"),
            "MOORING_REDIS_URL": redis_url,
            "MOORING_KUBECONFIG": str(cluster.kubeconfig),
            "MOORING_NAMESPACE": home,
            **variables,
        }
        (tmp_path / "tmp").mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "cli.main", "up", "--port", str(free_port()), "--drain", "5", *flags]
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            started.append(subprocess.Popen(argv, env=environ, stdout=out, stderr=err))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_one_endpoint_tells_of_the_whole_group_and_goes_with_it(up: Start, tmp_path: Path) -> None:
    port = free_port()
    group = up("--metrics-port", str(port))
    until("all of them to be well", lambda: ask(port, "/healthz") == (200, "ok\n"))

    def samples(name: str) -> list[Sample]:
        told = text_string_to_metric_families(ask(port, "/metrics")[1])
        return [sample for family in told for sample in family.samples if sample.name == name]

    pulses = {sample.labels["process"] for sample in samples("mooring_process_pulse_timestamp_seconds")}
    assert pulses == _PROCESSES
    until("beat to tell of Redis", lambda: [one.value for one in samples("mooring_redis_up")] == [1])
    until(
        "the API server to be asked",
        lambda: any(one.value for one in samples("mooring_kubernetes_requests_total")),
    )

    group.send_signal(signal.SIGTERM)
    assert group.wait(60) == 0
    assert ask(port, "/metrics") == (0, "")
    assert list((tmp_path / "tmp").glob("mooring-metrics-*")) == []
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert {line["process"] for line in lines} >= {"mooring", "deploy", "beat"}
    assert f"http://127.0.0.1:{port}/metrics" in (tmp_path / "err").read_text()


def test_a_port_that_was_asked_for_is_insisted_on(up: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert up("--metrics-port", str(port)).wait(60) == 20
    (line,) = (tmp_path / "err").read_text().splitlines()
    assert line == (
        f"mooring: cannot listen for metrics on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --metrics-port"
    )


def test_where_the_usual_port_is_taken_it_goes_on_without_metrics(up: Start, tmp_path: Path) -> None:
    with contextlib.ExitStack() as ends:
        with contextlib.suppress(OSError):  # taken by somebody else: all the same
            ends.enter_context(socket.create_server(("127.0.0.1", 9090)))
        group = up(MOORING_LOG_FORMAT="human")
        until("the group", lambda: b"deploy" in (tmp_path / "out").read_bytes())
        assert group.poll() is None
    said = (tmp_path / "out").read_text()
    assert "metrics      none: cannot listen for metrics on 127.0.0.1 port 9090" in said
    assert "choose another with --metrics-port" in said


def test_without_metrics_nothing_is_counted_in_files(up: Start, tmp_path: Path) -> None:
    up("--metrics-port", "0", MOORING_LOG_FORMAT="human")
    until("a worker", lambda: b" ready." in (tmp_path / "out").read_bytes())
    assert "metrics      off" in (tmp_path / "out").read_text()
    assert list((tmp_path / "tmp").glob("mooring-metrics-*")) == []
