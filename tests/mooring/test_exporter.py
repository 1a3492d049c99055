"""What an operator's Prometheus and probes meet, and what a group leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from mooring import exporter
from mooring.errors import Refused
from tests.stories.ship import until

_COUNT = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("mooring_stories", "", ["of"]).labels("a test").inc(float(sys.argv[1]))
Histogram("mooring_lengths", "", buckets=(1, 2)).observe(float(sys.argv[1]))
Gauge("mooring_now", "", multiprocess_mode="livesum").set(float(sys.argv[1]))
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def where() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(probe.getsockname()[1])


def counting(directory: Path, number: int) -> subprocess.Popen[bytes]:
    """A process that has counted, and lives until its input is closed."""
    environ = {**os.environ, exporter.DIRECTORY: str(directory)}
    argv = [sys.executable, "-c", _COUNT, str(number)]
    child = subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"counted\n"
    return child


def value(group: exporter.Group, name: str, **labels: str) -> float | None:
    return group.registry.get_sample_value(name, labels)


def test_what_the_dead_counted_stays_and_what_they_were_is_gone(tmp_path: Path) -> None:
    group = exporter.Group(tmp_path, {})
    first, second = counting(tmp_path, 1), counting(tmp_path, 2)
    assert value(group, "mooring_stories_total", of="a test") == 3
    assert value(group, "mooring_now") == 3

    first.kill()
    first.communicate()

    for _ in range(2):  # added up once
        assert value(group, "mooring_stories_total", of="a test") == 3
        assert value(group, "mooring_lengths_bucket", le="1.0") == 1
        assert value(group, "mooring_lengths_count") == 2
        assert value(group, "mooring_now") == 2
    second.communicate()
    assert value(group, "mooring_lengths_sum") == 3
    assert {file.name for file in tmp_path.iterdir()} == {"counter_ended.db", "histogram_ended.db"}


def test_a_group_that_was_killed_leaves_its_directory_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import sys; from mooring import exporter\n"
        "with exporter.shared_directory() as d:\n    print(d, flush=True); sys.stdin.read()"
    )
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    held = subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    left = Path(held.stdout.readline().strip())

    with exporter.shared_directory() as own:
        assert left.is_dir(), "it is in use"
        assert own.stat().st_mode & 0o077 == 0
    assert not own.exists()

    held.send_signal(signal.SIGKILL)
    held.communicate()
    assert left.is_dir()
    with exporter.shared_directory():
        assert not left.exists()


def test_a_forked_process_that_ends_takes_no_directory_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, sys; from mooring import exporter\n"
        "with exporter.shared_directory() as d:\n"
        "    pid = os.fork()\n"
        "    if not pid: sys.exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    print(d.exists())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


class _Broken(Collector):
    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("a password: hunter2")

    def describe(self) -> list[Metric]:
        return []


def ask(where: tuple[str, int], path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{where[0]}:{where[1]}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_are_told_who_is_unwell_and_nobody_is_told_more(where: tuple[str, int]) -> None:
    unwell: list[str] = []
    registry = CollectorRegistry()
    server = exporter.serve(where, registry, lambda: unwell)
    try:
        assert ask(where, "/healthz") == (200, "ok\n")
        unwell.append("deploy has not turned for 20 s")
        assert ask(where, "/healthz") == (503, "deploy has not turned for 20 s\n")
        assert ask(where, "/")[0] == ask(where, "/debug")[0] == 404
        registry.register(_Broken())
        assert ask(where, "/metrics") == (500, "the metrics cannot be told: see the log\n")
        with pytest.raises(Refused, match=f"port {where[1]}"):
            exporter.serve(where, registry, list)
    finally:
        server.shutdown()
        server.server_close()


def test_clients_that_say_nothing_do_not_pile_up(where: tuple[str, int]) -> None:
    server = exporter.serve(where, CollectorRegistry(), list)
    silent = [socket.create_connection(where, timeout=10) for _ in range(8)]
    try:
        with socket.create_connection(where, timeout=10) as ninth:
            assert ninth.recv(1) == b"", "it is closed at once"
        for connection in silent:
            connection.close()

        def well() -> bool:
            with suppress(OSError):  # not all of them are seen to be closed yet
                return ask(where, "/healthz") == (200, "ok\n")
            return False

        until("it to answer again", well)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "text", ["9090", ":9090", "localhost:", "localhost:http", "host:0", "host:65536", ""]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="MOORING_METRICS_ADDRESS must be host:port"):
        exporter.address(text)


def test_addresses_are_read_as_they_are_written() -> None:
    assert exporter.address("0.0.0.0:9090") == ("0.0.0.0", 9090)
    assert exporter.address("[::1]:9090") == ("::1", 9090)


def test_a_process_that_is_just_starting_hides_no_other(tmp_path: Path) -> None:
    group = exporter.Group(tmp_path, {"web": 10.0})
    first = counting(tmp_path, 1)
    for kind in ("counter", "histogram", "gauge_livesum", "gauge_liveall"):
        (tmp_path / f"{kind}_{os.getpid()}.db").touch()  # made, and not begun yet
    assert value(group, "mooring_stories_total", of="a test") == 1
    assert group.unwell() == ["web does not run, or is not ready yet"]
    first.communicate()


def test_who_cannot_tell_its_health_is_unwell_and_answers(where: tuple[str, int]) -> None:
    def broken() -> list[str]:
        raise ValueError("a file of nonsense")

    server = exporter.serve(where, CollectorRegistry(), broken)
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{where[0]}:{where[1]}/healthz", timeout=10)
        assert (refused.value.code, refused.value.read()) == (503, b"health cannot be told: see the log\n")
    finally:
        server.shutdown()
        server.server_close()
