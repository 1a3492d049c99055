"""A TCP line to a server that a story can cut, or keep open with nothing coming through."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from devcluster.cluster import Cluster


def kubeconfig_by(cluster: Cluster, port: int, directory: Path) -> Path:
    """A kubeconfig of the cluster's administrator in `directory`, whose way there is `port` of 127.0.0.1."""
    made = directory / "kubeconfig"
    made.write_text(cluster.kubeconfig.read_text().replace(cluster.server, f"https://127.0.0.1:{port}"))
    made.chmod(0o600)
    return made


class Line:
    """Listens at `port` of 127.0.0.1 and passes everything on to `target`, a port of the same address."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._flows = threading.Event()
        self._flows.set()
        self.opened = 0  # connections, so far
        self._whole = True
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def cut(self) -> None:
        """Whoever is connected is cut off, and whoever connects as well."""
        self._whole = False
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Connections stay and new ones are accepted, but nothing comes through any more."""
        self._flows.clear()

    def mend(self) -> None:
        """All is well again."""
        self._whole = True
        self._flows.set()

    def _listen(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.opened += 1
            if not self._whole:
                here.close()
                continue
            try:
                there = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            with self._lock:
                self._open |= {here, there}
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=pair, daemon=True, name="line").start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True, name="line").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.mend()
        self.cut()
