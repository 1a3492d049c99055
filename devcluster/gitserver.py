"""A Git host on loopback: smart HTTP by Git's own `git http-backend`, as GitHub lets one fetch.

For the demo, tests and benchmarks. https://git-scm.com/docs/git-http-backend
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from devcluster.errors import DevclusterError

_BLOCK = 1 << 16
_CONFIG = {
    "http.receivepack": "true",
    # A fetch by commit id and a partial clone: both work on GitHub and GitLab.
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowReachableSHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    # Housekeeping in the middle of a measurement would be measured too.
    "gc.auto": "0",
    "receive.autogc": "false",
}


@dataclass(frozen=True, slots=True)
class Symlink:
    """A file's content in `Repository.commit`, for a symbolic link to `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class Executable:
    """A file's content in `Repository.commit`, for a file that may be run."""

    content: str | bytes


@dataclass(frozen=True, slots=True)
class Gitlink:
    """A file's content in `Repository.commit`, for a submodule at a commit of another repository."""

    commit: str


Content = str | bytes | Symlink | Executable | Gitlink | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on a GitServer. `url` is what one clones, `path` the bare repository's directory."""

    url: str
    path: Path

    def commit(
        self,
        files: Mapping[str, Content],
        *,
        message: str = "change",
        branch: str = "main",
        parent: str | None = None,
        date: str = "now",
    ) -> str:
        """Adds one commit to `branch` (or a full ref, `refs/…`) as one push does, and returns its id.

        `files`: path -> content, None deletes. Its parent is the tip of the branch, or `parent`: any
        revision, where an empty one makes it a root; the branch then moves as a force-push moves it. `date`
        (`<seconds> <offset from UTC>`) makes the id the same each time.
        """
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        if parent is None:
            parent = self.resolve(ref) or ""
        elif parent:
            parent = self._git("rev-parse", "--verify", f"{parent}^{{commit}}")
        new = self._git(
            "fast-import",
            "--quiet",
            "--force",
            f"--date-format={'now' if date == 'now' else 'raw'}",
            given=_stream(ref, parent, message, files, date),
        )
        return new.strip()

    def resolve(self, revision: str = "main") -> str | None:
        """The commit id of a revision; None when there is no such."""
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"],
            cwd=self.path,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.strip() or None

    def point(self, ref: str, commit: str | None) -> None:
        """Moves a full ref (`refs/heads/x`, `refs/tags/v1`, `refs/pull/1/head`) to a commit, as a force-push
        does; None deletes it."""
        if commit is None:
            self._git("update-ref", "-d", ref)
        else:
            self._git("update-ref", ref, commit)

    def _git(self, *arguments: str, given: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=_environment(),
            input=given,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise DevclusterError(f"git {arguments[0]} in {self.path.name}: {said}")
        return done.stdout.decode().strip()


class GitServer:
    """A threaded HTTP server of bare repositories; a context manager.

    `root` holds them (a temporary directory when None). With `user` and `password`, every request
    needs them as basic auth; with `token`, that one as a bearer's. With `tls` it speaks https, and asks
    for client certificates if that says so. `requests` holds the last thousand as (method, path with
    query).
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        port: int = 0,
        user: str = "",
        password: str = "",
        token: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._temporary = None if root else tempfile.TemporaryDirectory(prefix="mooring-git-")
        self.root = root or Path(self._temporary.name if self._temporary else "")
        self.root.mkdir(parents=True, exist_ok=True)
        self.requests: deque[tuple[str, str]] = deque(maxlen=1000)
        self._authorization = (
            f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        )
        if token:
            self._authorization = f"Bearer {token}"
        self.tls = tls
        self._environment = _environment() | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": user or "anyone",
            "REMOTE_ADDR": "127.0.0.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
        }
        self._backend = _backend()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.git = self
        self._thread: threading.Thread | None = None
        self.connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """Base URL, without credentials and without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def create(self, name: str, *, branch: str = "main") -> Repository:
        """A new, empty repository at `<url>/<name>.git`; `name` may have slashes (`team/app`).

        Raises DevclusterError when it exists.
        """
        path = self.root / f"{name}.git"
        if path.exists():
            raise DevclusterError(f"there is a repository {name!r} already")
        made = subprocess.run(
            ["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", "--template=", str(path)],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise DevclusterError(f"git init {name}: {made.stderr.strip()}")
        with (path / "config").open("a") as config:
            for option, value in _CONFIG.items():
                section, key = option.split(".")
                config.write(f"[{section}]\n\t{key} = {value}\n")
        return self.repository(name)

    def repository(self, name: str) -> Repository:
        """The repository that `create(name)` made."""
        return Repository(f"{self.url}/{name}.git", self.root / f"{name}.git")

    def admits(self, authorization: str) -> bool:
        """Whether a request with this Authorization header may pass."""
        return (
            hmac.compare_digest(authorization.encode(), self._authorization.encode())
            or not self._authorization
        )

    def spawn(self, variables: Mapping[str, str], body: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """`git http-backend` for one request, whose answer is on its stdout."""
        return subprocess.Popen(
            [self._backend],
            env={**self._environment, **variables},
            stdin=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def start(self) -> None:
        """Serves in the background until `stop`."""
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), daemon=True, name="gitserver"
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends serving, and hangs up; a temporary root is removed."""
        if self._thread:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client's idle keep-alive connection must not hold up the end
    request_queue_size = 256
    git: GitServer

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Greeted in the connection's own thread: a client that is slow at it holds up nobody else.
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # it hung up, or does not trust us
            if self.git.tls is None:
                with self._held(request):
                    super().finish_request(request, client_address)
                return
            with self.git.tls.wrap_socket(request, server_side=True) as secured, self._held(secured):
                super().finish_request(secured, client_address)

    @contextlib.contextmanager
    def _held(self, connection: socket.socket) -> Iterator[None]:
        self.git.connections.add(connection)
        try:
            yield
        finally:
            self.git.connections.discard(connection)

    def shutdown_request(self, request: Any) -> None:
        if not isinstance(request, socket.socket) or request.fileno() >= 0:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = _BLOCK  # headers and a small answer leave in one packet
    server: _Http

    def do_GET(self) -> None:
        self._serve(subprocess.DEVNULL)

    def do_POST(self) -> None:
        # A file, not a pipe: nobody blocks on the other, and its size is known to the backend.
        with tempfile.TemporaryFile() as body:
            try:
                self._receive(body)
            except ValueError:
                self.close_connection = True
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            size = body.tell()
            body.seek(0)
            self._serve(body, {"CONTENT_LENGTH": str(size)})

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: `GitServer.requests` has them."""

    def _receive(self, body: IO[bytes]) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline(_BLOCK).split(b";")[0], 16):
                self._copy(body, size)
                self.rfile.readline(_BLOCK)
            while self.rfile.readline(_BLOCK) not in (b"\r\n", b"\n", b""):
                pass
        else:
            self._copy(body, int(self.headers.get("Content-Length", "0")))

    def _copy(self, body: IO[bytes], size: int) -> None:
        while size > 0:
            block = self.rfile.read(min(size, _BLOCK))
            if not block:
                raise ValueError("the body ended early")
            body.write(block)
            size -= len(block)

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, body: IO[bytes] | int, more: Mapping[str, str] | None = None) -> None:
        git = self.server.git
        git.requests.append((self.command, self.path))
        if not git.admits(self.headers.get("Authorization", "")):
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        path, _, query = self.path.partition("?")
        child = git.spawn(
            {
                "REQUEST_METHOD": self.command,
                "PATH_INFO": urllib.parse.unquote(path),
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                **(more or {}),
            },
            body,
        )
        try:
            self._answer(child)
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()
            if child.stdout:
                child.stdout.close()

    def _answer(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        descriptor = child.stdout.fileno()
        received = b""
        while b"\r\n\r\n" not in received:
            block = os.read(descriptor, _BLOCK)
            if not block:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
                return
            received += block
        head, _, content = received.partition(b"\r\n\r\n")
        headers = Message()
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            headers[name] = value.strip()
        self.send_response(int(headers.get("Status", "200").split()[0]))
        known = "Content-Length" in headers
        for name, value in headers.items():
            if name.lower() != "status":
                self.send_header(name, value)
        if not known:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            if content:
                self.wfile.write(content if known else b"%x\r\n%b\r\n" % (len(content), content))
            content = os.read(descriptor, _BLOCK)
            if not content:
                break
        if not known:
            self.wfile.write(b"0\r\n\r\n")
        child.wait()


def _backend() -> str:
    """Git's own CGI program, found once: `git http-backend` would start one more process per request."""
    asked = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=False)
    backend = Path(asked.stdout.strip(), "git-http-backend")
    if asked.returncode != 0 or not backend.exists():
        raise DevclusterError("this Git has no git-http-backend: install the complete package `git`")
    return str(backend)


def _environment() -> dict[str, str]:
    """Nothing of the user's Git settings or identity: the same everywhere."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def _stream(ref: str, parent: str, message: str, files: Mapping[str, Content], date: str) -> bytes:
    """One commit in the language of https://git-scm.com/docs/git-fast-import; its id comes back on stdout."""
    out = [b"feature get-mark\n"]
    if not parent:  # "from" nothing continues an existing branch, so it is cleared first
        out.append(f"reset {ref}\n\n".encode())
    said = message.encode()
    out.append(f"commit {ref}\nmark :1\ncommitter Mooring <mooring@localhost> {date}\n".encode())
    out.append(b"data %d\n%b\n" % (len(said), said))
    if parent:
        out.append(f"from {parent}\n".encode())
    for path, content in files.items():
        if content is None:
            out.append(b"D %b\n" % _quoted(path))
            continue
        if isinstance(content, Gitlink):
            out.append(b"M 160000 %b %b\n" % (content.commit.encode(), _quoted(path)))
            continue
        text: str | bytes
        match content:
            case Symlink(target):
                mode, text = b"120000", target
            case Executable(program):
                mode, text = b"100755", program
            case _:
                mode, text = b"100644", content
        data = text if isinstance(text, bytes) else text.encode()
        out.append(b"M %b inline %b\ndata %d\n%b\n" % (mode, _quoted(path), len(data), data))
    out.append(b"\nget-mark :1\n")
    return b"".join(out)


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()


def main() -> None:
    """`python -m devcluster.gitserver --root DIR --port N [NAME …]`: serves until interrupted."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m devcluster.gitserver", description=__doc__)
    parser.add_argument("--root", type=Path, help="directory of the bare repositories (default: temporary)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("names", nargs="*", help="repositories to create when they do not exist")
    options = parser.parse_args()
    with GitServer(options.root, port=options.port) as server:
        for name in options.names:
            exists = server.repository(name).path.exists()
            print((server.repository(name) if exists else server.create(name)).url, flush=True)
        print(f"serving {server.root} at {server.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
