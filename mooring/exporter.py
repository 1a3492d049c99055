"""`GET /metrics` and `GET /healthz` for a process or a group of them, on an address of their own.

Never on the port that faces the network: metrics tell names of applications and Git hosts.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from mooring.errors import Refused

_log = logging.getLogger(__name__)
_PREFIX: Final = "mooring-metrics-"
_AT_ONCE: Final = 8  # connections; more are closed unanswered
_PATIENCE_S: Final = 10  # with a client that stalls
_PULSE: Final = "mooring_process_pulse_timestamp_seconds"
DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported

# Seconds without a turn of its main loop after which a process counts as stuck. Who works in its main loop
# may be held up there by an API server's time-outs.
STUCK_AFTER_S: Final = 15.0
WORKS_IN_ITS_LOOP_S: Final = 90.0


def address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[host]:port`. Raises Refused when it is neither."""
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Refused(f"MOORING_METRICS_ADDRESS must be host:port, as 127.0.0.1:9090, not {text!r}")
    return host, int(port)


def serve(
    where: tuple[str, int], registry: CollectorRegistry, unwell: Callable[[], Sequence[str]]
) -> ThreadingHTTPServer:
    """Answer on `where` from threads of this process, until it ends or the server is closed.

    `unwell` gives a line for each process that does not live: `/healthz` answers 503 with them, or 200.
    Raises Refused when nobody can listen there.
    """
    collecting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S
        server_version, sys_version = "mooring", ""

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._metrics()
                case "/healthz":
                    self._health()
                case _:
                    self._answer(404, b"here are /metrics and /healthz\n")

        def _health(self) -> None:
            try:
                wrong = unwell()
            except Exception:
                _log.exception("health cannot be told")
                wrong = ["health cannot be told: see the log"]
            self._answer(503 if wrong else 200, "\n".join(wrong or ["ok"]).encode() + b"\n")

        def _metrics(self) -> None:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            try:
                with collecting:
                    body = encode(registry)
            except Exception:
                _log.exception("the metrics cannot be told")
                self._answer(500, b"the metrics cannot be told: see the log\n")
                return
            self._answer(200, body, kind)

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody wants to read that metrics were asked for."""

    try:
        server = _Server(where, Handler)
    except OSError as error:
        raise Refused(f"cannot listen for metrics on {where[0]} port {where[1]}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(where, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no event."""


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """A fresh directory for the files of a group of processes; it goes with the block.

    One that a killed process left behind is removed by the next start: its lock went with the process.
    """
    _sweep(Path(tempfile.gettempdir()))
    directory, owner = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield directory
        finally:
            if os.getpid() == owner:  # not in a process forked within the block
                shutil.rmtree(directory, ignore_errors=True)


def count_in(directory: Path) -> None:
    """Have this process and those it forks count in files in `directory`, as if DIRECTORY had named it from
    the start. Before anything is defined that counts."""
    assert "mooring.metrics" not in sys.modules, "these would go on counting in memory"
    os.environ[DIRECTORY] = str(directory)
    values.ValueClass = values.get_value_class()


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (left / "lock").open("r+") as lock:  # another user's, or in use
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


class Group:
    """Processes that count in files in `directory`. `patience` has their names, and how many seconds the
    main loop of each may stand still."""

    def __init__(self, directory: Path, patience: Mapping[str, float]) -> None:
        self._directory = directory
        self._patience = patience
        self.registry = CollectorRegistry()
        self.registry.register(_Files(directory))

    def unwell(self) -> list[str]:
        """A line for each process of the group whose main loop does not turn."""
        turned: dict[str, float] = {}
        files = [file for file in _begun(self._directory, "gauge_liveall_*.db") if _lives(file)]
        for metric in MultiProcessCollector.merge(map(str, files)):
            for sample in metric.samples if metric.name == _PULSE else ():
                name = sample.labels["process"]
                turned[name] = max(turned.get(name, 0.0), sample.value)
        return [
            line
            for name, most in self._patience.items()
            if (line := still(name, turned.get(name, 0.0), most))
        ]


def still(name: str, turned_at: float, most: float) -> str:
    """What is wrong with a process that turned last at `turned_at` (0: never); "" when nothing is."""
    if not turned_at:
        return f"{name} does not run, or is not ready yet"
    seconds = time.time() - turned_at
    return f"{name} has not turned for {seconds:.0f} s" if seconds > most else ""


class _Files(Collector):
    """What is in the files of a directory, those of processes that have ended included.

    What these counted is added up in one file, or a process that is started again and again would leave
    more and more of them; their gauges are forgotten.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        for file in _begun(self._directory, "*.db"):
            if not _lives(file):
                self._bury(file)
        # Only now: nothing that has just been added up is read twice.
        files = list(map(str, _begun(self._directory, "*.db")))
        found: Iterable[Metric] = MultiProcessCollector.merge(files)
        return found

    def _bury(self, file: Path) -> None:
        kind = file.name.partition("_")[0]
        if kind != "gauge":
            total = MmapedDict(str(self._directory / f"{kind}_{_ENDED}.db"))
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                total.write_value(key, total.read_value(key)[0] + value, 0.0)
            total.close()
        file.unlink()


_ENDED: Final = "ended"


def _begun(directory: Path, pattern: str) -> list[Path]:
    """The files that can be read: a process that starts makes its own, and gives it a size a moment later."""
    found = []
    for file in directory.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_size:
                found.append(file)
    return found


def _lives(file: Path) -> bool:
    """Whether the process lives whose file this is: `counter_12.db`, `gauge_livesum_12.db`."""
    pid = file.stem.rpartition("_")[2]
    if pid == _ENDED:
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
