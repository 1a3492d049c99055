"""The web tier as it really runs: gunicorn on a socket, and clients that do not keep to the rules."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from tests.ports import free_port
from tests.stories.ship import until
from tests.webhook import payloads
from tests.webhook.payloads import Sent


class Server:
    """A gunicorn of ours on a port of its own."""

    def __init__(self, redis_url: str, **variables: str) -> None:
        self.port, self._metrics = free_port(), free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "MOORING_REDIS_URL": redis_url,
            "MOORING_WEBHOOK_GITHUB_SECRET": payloads.SECRET.decode(),
            "MOORING_MAX_BODY_BYTES": "100000",
            "MOORING_METRICS_ADDRESS": f"127.0.0.1:{self._metrics}",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webhook", "--port", str(self.port)], env=environ
        )
        pause = threading.Event()
        for _ in range(600):
            try:
                self.connect().close()
                break
            except OSError:
                assert self.process.poll() is None, "the web tier does not start"
                pause.wait(0.05)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def listens(self) -> bool:
        """Whether the process that was started does; what it has forked listens as long as it answers."""
        return any(
            one.status == psutil.CONN_LISTEN and one.laddr.port == self.port
            for one in psutil.Process(self.process.pid).net_connections("tcp")
        )

    def receives(self) -> bool:
        """Whether a delivery is in flight."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=30) as answer:
            return b"\nmooring_deliveries_in_flight 1.0\n" in answer.read()

    def ask(self, *parts: bytes, then_hang_up: bool = False) -> bytes:
        """The raw answer to raw bytes."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            if then_hang_up:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while b"\r\n\r\n" not in answer:
                received = connection.recv(65536)
                if not received:
                    break
                answer += received
            return answer


@pytest.fixture
def server(redis_url: str) -> Iterator[Server]:
    running = Server(redis_url)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
    running.process.wait(30)


def head(request: Sent, **headers: str) -> bytes:
    fields = {"Host": "mooring", "Connection": "close", **request.headers, **headers}
    lines = ["POST /webhooks/github HTTP/1.1", *(f"{k.replace('_', '-')}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def test_bodies_of_every_framing_are_taken_or_refused_and_never_a_500(server: Server) -> None:
    request = payloads.push("github")
    size = len(request.body)

    whole = server.ask(head(request, Content_Length=str(size)), request.body)
    assert whole.startswith(b"HTTP/1.1 202")

    chunk = b"%x\r\n%s\r\n" % (size, request.body)
    chunked = server.ask(head(request, Transfer_Encoding="chunked"), chunk, b"0\r\n\r\n")
    assert chunked.startswith(b"HTTP/1.1 202")

    # Refused before a single byte of it was sent.
    assert server.ask(head(request, Content_Length="100001")).startswith(b"HTTP/1.1 413")

    endless = b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"
    too_long = server.ask(head(request, Transfer_Encoding="chunked"), endless, endless)
    assert too_long.startswith(b"HTTP/1.1 413")

    for broken in (
        (head(request, Content_Length=str(size)), request.body[:10]),
        (head(request, Transfer_Encoding="chunked"), b"zz\r\nnonsense"),
        (head(request, Transfer_Encoding="chunked"), chunk[:20]),
        (head(request, Content_Length="-1"), b""),
        (head(request, Content_Length="5", Transfer_Encoding="chunked"), b"0\r\n\r\n"),
        (b"\x00\xff\x16\x03 noise\r\n\r\n", b""),
    ):
        answer = server.ask(*broken, then_hang_up=True)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (broken, answer)


def test_sigterm_lets_what_is_in_flight_end(server: Server) -> None:
    request = payloads.push("github")
    with server.connect() as connection:
        connection.sendall(head(request, Content_Length=str(len(request.body))) + request.body[:10])
        until("it to be received", server.receives)
        server.process.send_signal(signal.SIGTERM)
        until("the signal to be heard", lambda: not server.listens())
        connection.sendall(request.body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 202")
    assert server.process.wait(30) == 0


def test_what_keeps_it_from_starting_is_one_line() -> None:
    environ = {"PATH": os.environ["PATH"], "MOORING_MAX_IN_FLIGHT": "none"}
    done = subprocess.run([sys.executable, "-m", "webhook"], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mooring web: MOORING_MAX_IN_FLIGHT cannot be used")
    assert done.stderr.count("\n") == 1
