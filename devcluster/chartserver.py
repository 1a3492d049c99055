"""A Helm chart repository on loopback: files over HTTP, with an index.yaml by `helm repo index`.

For tests and benchmarks. https://helm.sh/docs/topics/chart_repository/
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from devcluster.build import tool
from devcluster.errors import DevclusterError


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in; names of headers are in lower case."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a path of `ChartServer.replies` answers with. `chunks` are sent as slowly as they come."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: Callable[[], Any] | None = None


class ChartServer:
    """A threaded HTTP server of one directory; a context manager.

    `root` holds its files (a temporary directory when None). With `user` and `password`, every request
    needs them as basic auth; with `tls` it speaks https. `requests` holds the last thousand; `replies`
    answers a path in another way than with the file of that name, as a hostile host would.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        port: int = 0,
        address: str = "127.0.0.1",
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="mooring-charts-")
        self.root = root or Path(self._temporary.name, "served")
        self.root.mkdir(parents=True, exist_ok=True)
        self.requests: deque[Asked] = deque(maxlen=1000)
        self.replies: dict[str, Reply] = {}
        self.authorization = (
            f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        )
        self.tls = tls
        self._http = _Http((address, port), _Handler)
        self._http.charts = self
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, without credentials and without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def chart(
        self, name: str, version: str, files: Mapping[str, str] | None = None, *, under: str = ""
    ) -> Path:
        """Packages a chart with `helm package` into the served directory `under`; leaves the index alone.

        `files` are added to its Chart.yaml, or stand in its place. Raises DevclusterError.
        """
        with tempfile.TemporaryDirectory(dir=self._temporary.name) as scratch:
            source = Path(scratch, name)
            own = {"Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n"}
            for path, text in (own | dict(files or {})).items():
                target = source / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            out = self.root / under
            out.mkdir(parents=True, exist_ok=True)
            self._helm("package", str(source), "--version", version, "--destination", str(out))
        return out / f"{name}-{version}.tgz"

    def index(self, *, under: str = "", url: str = "") -> Path:
        """Writes index.yaml of all packages in the served directory `under`, by `helm repo index`.

        `url` is where the packages are, when they are not beside the index.
        """
        directory = self.root / under
        self._helm("repo", "index", str(directory), *(["--url", url] if url else []))
        return directory / "index.yaml"

    def start(self) -> None:
        """Serves in the background until `stop`."""
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), daemon=True, name="chartserver"
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends serving; a temporary root is removed."""
        if self._thread:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _helm(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(tool("helm", print)), *arguments],
            env={"HOME": self._temporary.name, "PATH": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DevclusterError(f"helm {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    charts: ChartServer

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # it hung up, or does not trust us
            if self.charts.tls is None:
                super().finish_request(request, client_address)
                return
            with self.charts.tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)

    def shutdown_request(self, request: Any) -> None:
        if not isinstance(request, socket.socket) or request.fileno() >= 0:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        charts = self.server.charts
        headers = {name.lower(): value for name, value in self.headers.items()}
        charts.requests.append(Asked(self.command, self.path, headers))
        with contextlib.suppress(ConnectionError):
            self._answer(self._reply(charts, headers))

    do_HEAD = do_GET  # the name that http.server looks for
    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: `ChartServer.requests` has them."""

    def _reply(self, charts: ChartServer, headers: Mapping[str, str]) -> Reply:
        path = unquote(self.path.partition("?")[0])
        if path in charts.replies:
            return charts.replies[path]
        given = headers.get("authorization", "")
        if charts.authorization and not hmac.compare_digest(given.encode(), charts.authorization.encode()):
            return Reply(401, {"WWW-Authenticate": 'Basic realm="charts"'})
        file = (charts.root / path.lstrip("/")).resolve()
        if not file.is_relative_to(charts.root.resolve()) or not file.is_file():
            return Reply(404)
        body = file.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if headers.get("if-none-match") == etag:
            return Reply(304, {"ETag": etag})
        return Reply(200, {"ETag": etag}, body)

    def _answer(self, reply: Reply) -> None:
        self.send_response_only(HTTPStatus(reply.status))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunks is not None:
            self.close_connection = True
            self.end_headers()
            for chunk in reply.chunks():
                self.wfile.write(chunk)
                self.wfile.flush()
            return
        if reply.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
