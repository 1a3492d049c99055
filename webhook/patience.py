"""gunicorn's threads, none of which a client can keep for itself.

gunicorn waits for the rest of a request's head, and for a client to read its answer, as long as that
takes: as many clients as there are threads, each with half a line, would stop the web tier for good. And
it waits for clients to hang up in its one main thread, 2 s for each: twenty that do not would stop it, too.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from mooring.metrics import pulse

# Seconds for a whole request and its answer, however steadily they trickle. Hosts give up after 10.
REQUEST_S: Final = 15.0
# Seconds and bytes to wait for after an answer that is the last one: a client that is still sending would
# lose the answer otherwise. https://www.rfc-editor.org/rfc/rfc9112#section-9.6
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 65536


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """Cuts connections whose request is not over after `REQUEST_S`, and waits for none in its main thread."""

    def init_process(self) -> None:
        self._since: dict[Any, float] = {}
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """In a thread of the pool: one request, from its first byte to the last of its answer."""
        self._since[conn] = time.monotonic()
        try:
            goes_on = super().handle(conn)
            if not goes_on:
                _part(conn.sock)
            return goes_on
        finally:
            self._since.pop(conn, None)

    def murder_pending(self) -> None:
        """About every second, in the main thread."""
        super().murder_pending()
        pulse("web")
        now = time.monotonic()
        for conn, since in list(self._since.items()):
            if now - since > REQUEST_S:
                with suppress(OSError):  # over just now
                    conn.sock.shutdown(socket.SHUT_RDWR)  # its thread wakes up and closes it


def _part(connection: socket.socket) -> None:
    """End the connection so that whoever closes it has nothing left to wait for."""
    deadline, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while left > 0 and (patience := deadline - time.monotonic()) > 0:
            connection.settimeout(patience)
            received = len(connection.recv(4096))
            if not received:
                break
            left -= received
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
