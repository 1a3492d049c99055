"""The web tier faces the network: what a stranger without any secret can make of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.webhook import payloads
from tests.webhook.test_serve import Server, head
from webhook import patience

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def server(redis_url: str) -> Iterator[Server]:
    running = Server(redis_url)
    yield running
    running.process.kill()
    running.process.wait(30)


def test_as_many_half_requests_as_there_are_threads_do_not_stop_it(server: Server) -> None:
    request = payloads.push("github")
    halves = (b"POST /webh", head(request, Content_Length="9")[:-1], head(request, Content_Length="9") + b"x")
    with contextlib.ExitStack() as stack:
        for number in range(60):
            connection = stack.enter_context(server.connect())
            connection.sendall(halves[number % 3])

        with server.connect() as patient:
            patient.settimeout(patience.REQUEST_S * 3)
            patient.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert patient.recv(65536).startswith(b"HTTP/1.1 200")


def test_clients_that_do_not_hang_up_keep_nobody_waiting(server: Server) -> None:
    """In fewer seconds than it would take if each of them was waited for after the other."""
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(server.connect())
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")

        with server.connect() as patient:
            patient.settimeout(30)
            patient.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert patient.recv(65536).startswith(b"HTTP/1.1 200")


PATHS = (
    "/../../../etc/passwd",
    "/webhooks/../healthz",
    "/webhooks/%2e%2e%2fhealthz",
    "/webhooks/github%00",
    "/webhooks/github/",
    "/webhooks//github",
    "//evil.example/webhooks/github",
    "/api/v1/deliveries/%0d%0aSet-Cookie:%20a=b",
    "/api/v1/deliveries/..%2f..",
    "/api/v1/deliveries/" + "9" * 3000,
    "/static/status.html",
    "/?" + "a=b&" * 500,
    "/%ff%fe",
    "http://evil.example/",
)


def test_no_path_leads_anywhere_else(server: Server) -> None:
    for method, path in itertools.product(("GET", "POST"), PATHS):
        head = f"{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"
        answer = server.ask(f"{head}Content-Length: 0\r\n\r\n".encode())
        status, _, rest = answer.partition(b"\r\n")
        assert not status.split(b" ")[1].startswith(b"5"), answer
        headers = rest.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in headers
        assert b"location" not in headers, "nobody is sent to where a request says"
        assert b"root:" not in rest


def test_a_request_within_a_request_is_not_answered(server: Server) -> None:
    """What a proxy in front and gunicorn could read differently is refused as a whole."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    for framing in (
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: 0_0\r\n",
        b"Content-Length: 0x0\r\n",
    ):
        request = b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n0\r\n\r\n" + inner
        answer = _all(server, request)
        assert answer.count(b"HTTP/1.1 ") <= 1, (framing, answer)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), (framing, answer)


def test_headers_without_end_are_refused(server: Server) -> None:
    for endless in (
        b"GET /" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(5000)),
    ):
        answer = _all(server, endless + b" HTTP/1.1\r\n\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_every_refusal_is_a_problem_that_quotes_no_secret_and_no_trace(server: Server) -> None:
    request = payloads.push("github")
    bad = b"x" * len(request.body)
    answer = _all(server, head(request, Content_Length=str(len(bad))) + bad)
    assert answer.startswith(b"HTTP/1.1 401")
    assert payloads.SECRET not in answer
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert set(body) == {"type", "title", "status", "detail"}
    assert "Traceback" not in body["detail"]


def test_the_code_of_the_web_tier_loads_neither_git_nor_a_cluster_client() -> None:
    code = (
        "import sys, webhook.__main__, webhook.serve, webhook.app;"
        "print([m for m in sys.modules if m.partition('.')[0] in ('kubernetes', 'git', 'workers', 'cli')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _all(server: Server, request: bytes) -> bytes:
    with server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while received := connection.recv(65536):
                answer += received
        return answer
