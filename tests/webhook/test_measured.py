"""What the web tier measures, by gunicorn's processes as they come and go."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.webhook import payloads
from tests.webhook.test_serve import Server, head
from tests.workers.test_celery import until


class Measured(Server):
    """A server that tells its metrics."""

    def __init__(self, redis_url: str, temporary: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.metrics = probe.getsockname()[1]
        address = f"127.0.0.1:{self.metrics}"
        super().__init__(redis_url, MOORING_METRICS_ADDRESS=address, TMPDIR=str(temporary))

    def told(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        families = text_string_to_metric_families(self.told("/metrics")[1])
        return [(s.labels, s.value) for family in families for s in family.samples if s.name == name]


@pytest.fixture
def server(redis_url: str, tmp_path: Path) -> Iterator[Measured]:
    running = Measured(redis_url, tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(30)


def test_counts_outlive_a_process_that_is_killed_while_it_receives(server: Measured, tmp_path: Path) -> None:
    request = payloads.push("github")
    whole = head(request, Content_Length=str(len(request.body))), request.body
    assert server.ask(*whole).startswith(b"HTTP/1.1 202")
    assert server.ask(*whole).startswith(b"HTTP/1.1 202")
    until(lambda: server.told("/healthz") == (200, "ok\n"))
    counts = [({"host": "github", "result": result}, 1.0) for result in ("accepted", "duplicate")]
    assert sorted(server.samples("mooring_deliveries_total"), key=str) == counts

    with server.connect() as half:
        half.sendall(whole[0] + request.body[:10])
        until(lambda: server.samples("mooring_deliveries_in_flight") == [({}, 1.0)])
        (worker,) = psutil.Process(server.process.pid).children()
        worker.kill()
        until(lambda: worker.pid not in [c.pid for c in psutil.Process(server.process.pid).children()])

    assert [value for _, value in server.samples("mooring_deliveries_in_flight")] in ([], [0.0])
    assert sorted(server.samples("mooring_deliveries_total"), key=str) == counts
    until(lambda: server.told("/healthz") == (200, "ok\n"))  # of the process that took its place
    assert server.ask(*whole).startswith(b"HTTP/1.1 202")
    counts[1] = (counts[1][0], 2.0)
    assert sorted(server.samples("mooring_deliveries_total"), key=str) == counts

    server.process.terminate()
    assert server.process.wait(30) == 0
    assert list(tmp_path.glob("mooring-metrics-*")) == []


def test_the_processes_that_face_the_network_do_not_hold_the_other_socket(server: Measured) -> None:
    until(lambda: server.told("/healthz")[0] == 200)
    (worker,) = psutil.Process(server.process.pid).children()
    ports = {c.laddr.port for c in worker.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert ports == {server.port}
