"""Makes certain what was asked in whose name, and "killed at this very point": everything that workers ask
the API server passes here."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from devcluster.cluster import Cluster
from tests.stories.line import kubeconfig_by

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Point:
    """The request, counted from 0, that a worker does not live through: it was sent, or it was not."""

    number: int
    sent: bool

    def __str__(self) -> str:
        return f"{'after' if self.sent else 'before'} request {self.number}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `user` and `groups` are whom it says that it is for, "" and none for who sends it."""

    method: str
    path: str
    user: str
    groups: tuple[str, ...]

    @property
    def writes(self) -> bool:
        """Whether it writes, or tries to."""
        return self.method != "GET"


class Lie(Enum):
    """What is answered to whoever lists anything."""

    HALF = "the answer ends half-way, with the connection"
    EXPIRED = "there is one object a page, and the server has forgotten the list before the second"
    NOTHING = "a gateway says {}"


_FORGOTTEN = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}


class Toll:
    """The API server under another address. A context manager; `kubeconfig` is for those who are to use it.

    `asked` are all requests, as they come. It counts those whose path or body names `about`. At the one that
    `ends_at` names it calls its `end`, which is to kill whoever asks, and gives no answer. Whoever lists
    anything is told what `lies` says.
    """

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.asked: list[Asked] = []
        self.lies: Lie | None = None
        self.lied = 0  # how often
        self._cluster = cluster
        self._lock = threading.Lock()
        self._about = b""
        self._seen = 0
        self._point: Point | None = None
        self._end: Callable[[], None] = lambda: None
        toll = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            upstream: http.client.HTTPSConnection | None = None

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                user, groups = (
                    self.headers.get("Impersonate-User", ""),
                    self.headers.get_all("Impersonate-Group"),
                )
                toll.asked.append(Asked(self.command, self.path, user, tuple(groups or ())))
                point = toll._passes(self.path.encode() + b" " + body)
                if point is not None and not point.sent:
                    toll._end()
                    self.close_connection = True
                    return
                if toll.lies and self.command == "GET" and "limit=" in self.path:
                    self._lie(toll.lies)
                    return
                answer = self._ask(body)
                if point is not None:
                    answer.read()
                    toll._end()
                    self.close_connection = True
                    return
                self._answer(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

            def _lie(self, how: Lie) -> None:
                toll.lied += 1
                status, words, length = 200, b"{}", None
                if how is Lie.EXPIRED and "continue=" in self.path:
                    status, words = 410, json.dumps(_FORGOTTEN).encode()
                elif how is not Lie.NOTHING:
                    if how is Lie.EXPIRED:  # from the cache there are no pages
                        self.path = re.sub(
                            "limit=[0-9]+", "limit=1", self.path.replace("resourceVersion=0", "")
                        )
                    answer = self._ask(b"")
                    status, words = answer.status, answer.read()
                    if how is Lie.HALF:
                        length, words = len(words), words[: len(words) // 2]
                self.send_response_only(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(length or len(words)))
                self.end_headers()
                self.wfile.write(words)
                self.close_connection = True

            def _ask(self, body: bytes) -> http.client.HTTPResponse:
                if self.upstream is None:
                    self.upstream = toll._connect()
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                self.upstream.request(self.command, self.path, body or None, headers)
                return self.upstream.getresponse()

            def _answer(self, answer: http.client.HTTPResponse) -> None:
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length")
                if length is not None:
                    self.send_header("Content-Length", length)
                    self.end_headers()
                    self.wfile.write(answer.read())
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while part := answer.read1(_CHUNK):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def finish(self) -> None:
                if self.upstream is not None:
                    self.upstream.close()
                super().finish()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # who asked was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.ca, cluster.ca.with_suffix(".key"))
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.kubeconfig = kubeconfig_by(cluster, int(self._server.server_address[1]), directory)

    def count(self, about: str) -> None:
        """From now on, count what names `about`, from 0."""
        with self._lock:
            self._about, self._seen, self._point = about.encode(), 0, None

    def ends_at(self, point: Point, end: Callable[[], None]) -> None:
        """Call `end` once, at this point."""
        with self._lock:
            self._point, self._end = point, end

    @property
    def seen(self) -> int:
        """How many have been counted."""
        return self._seen

    @property
    def ended(self) -> bool:
        """Whether the point has come."""
        return self._point is None

    def _passes(self, request: bytes) -> Point | None:
        with self._lock:
            if not self._about or self._about not in request:
                return None
            number, self._seen = self._seen, self._seen + 1
            found = self._point
            if found is None or found.number != number:
                return None
            self._point = None
            return found

    def _connect(self) -> http.client.HTTPSConnection:
        server = urlsplit(self._cluster.server)
        trust = ssl.create_default_context(cafile=str(self._cluster.ca))
        return http.client.HTTPSConnection(server.hostname or "", server.port, context=trust)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="toll").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
