"""One HTTP/1.1 exchange over a connection of a pool of urllib3, written and read here.

The API server is asked some twenty times for each sync, and http.client and urllib3 take four times as long
as this for each: they read headers as those of a mail, and copy an answer from one buffer to another. All
else stays theirs: connections are made, trusted, kept and ended by the pool.
https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Timer
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError
from urllib3.util.proxy import connection_requires_http_tunnel
from urllib3.util.ssl_match_hostname import CertificateError

_CHUNK: Final = 1 << 14  # bytes: no record of TLS brings more
_LONGEST_HEAD: Final = 1 << 16
_LONGEST: Final = 1 << 29  # some hundred objects of the most that etcd takes: no page of a list has more
# As many times as long as for a head may be waited for the end of what has begun to come. An API server
# gives each answer up after a minute by itself; from one that sends a byte now and then nobody else does.
_WHOLE: Final = 6
_ENDS: Final = b"\r\n\r\n"
_LINE: Final = b"\r\n"
# What could be taken for something else on the way is left to http.client, which refuses it.
_PLAIN: Final = re.compile(r"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[\w-]+: [\t -~\x80-\xff]*\r\n)+\r\n", re.ASCII)
_FRAMES: Final = ("content-length", "transfer-encoding")  # two opinions on that are none
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")  # int() would take a sign, spaces, 0x and _
_LENGTH: Final = re.compile(r"[0-9]{1,19}")
_STATUS: Final = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Its data may be a Secret's; names of `headers` are in lower case."""

    status: int
    data: bytes = field(repr=False)
    headers: dict[str, str]


def exchange(
    pool: urllib3.HTTPConnectionPool,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    data: bytes | None,
    wait_s: float,
    connect_s: float,
) -> Answer | None:
    """The answer to a request; None where that was not sent: something in it is for http.client to judge,
    which refuses it. A proxy that is asked for whole URLs has one as `target`.

    Raises what urllib3 would: ReadTimeoutError when nothing comes for `wait_s` seconds, or no whole head,
    or no end in six times as long, or the request is not taken in that time; SSLError; ProtocolError for a
    connection that ended, and for what is no answer.
    """
    head = _head(pool, method, target, headers, data)
    if head is None:
        return None
    connection = pool._get_conn()  # one that the server has closed meanwhile is none any more
    assert isinstance(connection, HTTPConnection)  # it has no other
    kept = False
    try:
        sock = _connected(pool, connection, target, wait_s, connect_s)
        whole = True
        try:
            _send(sock, head + data if data else head, wait_s)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):  # it may have answered before
            whole = False
        answer, kept = _Reader(sock, wait_s).answer()
        kept = kept and whole
        return answer
    except TimeoutError as error:
        raise ReadTimeoutError(pool, target, f"Read timed out. (read timeout={wait_s})") from error
    except (ssl.SSLError, CertificateError) as error:
        raise SSLError(error) from error
    except (OSError, HTTPException) as error:  # the latter of a proxy
        raise ProtocolError("Connection aborted.", error) from error
    finally:
        if not kept:  # whatever else comes over it would be taken for the answer to the next request
            connection.close()
        pool._put_conn(connection)


def _connected(
    pool: urllib3.HTTPConnectionPool,
    connection: HTTPConnection,
    target: str,
    wait_s: float,
    connect_s: float,
) -> socket.socket:
    """Its socket. The pool makes and judges what is not connected yet, as in its own requests."""
    if connection.sock is None:
        connection.timeout = connect_s
        scheme = pool.scheme if target.startswith("/") else urlsplit(target).scheme
        if connection_requires_http_tunnel(pool.proxy, pool.proxy_config, scheme):
            with _cut_after(wait_s, connection):
                pool._prepare_proxy(connection)
        pool._validate_conn(connection)
        if connection.sock is None:  # one without TLS
            connection.connect()
    assert connection.sock is not None
    return connection.sock


@contextmanager
def _cut_after(seconds: float, connection: HTTPConnection) -> Iterator[None]:
    """What a proxy answers before there is a tunnel is read by http.client, for as long as bytes come."""

    def cut() -> None:
        if (sock := connection.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _send(sock: socket.socket, data: bytes, wait_s: float) -> None:
    """A record of TLS at a time, since each has its socket's whole time-out for itself."""
    ends_at = monotonic() + wait_s * _WHOLE
    for start in range(0, len(data), _CHUNK):
        if (left := ends_at - monotonic()) <= 0:
            raise TimeoutError
        sock.settimeout(min(left, wait_s))
        sock.sendall(data[start : start + _CHUNK])


def _head(
    pool: urllib3.HTTPConnectionPool,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    data: bytes | None,
) -> bytes | None:
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    if pool.port != pool.ConnectionCls.default_port:  # else it is left out by http.client, too
        host = f"{host}:{pool.port}"
    if not target.startswith("/"):
        host, headers = urlsplit(target).netloc, (*headers, *pool.proxy_headers.items())
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers]
    if data is not None:
        lines.append(f"Content-Length: {len(data)}")
    head = "\r\n".join((*lines, "", ""))
    return head.encode("latin-1") if _PLAIN.fullmatch(head) else None


class _Reader:
    """Reads one answer from a socket."""

    def __init__(self, sock: socket.socket, wait_s: float) -> None:
        self._sock = sock
        self._wait_s = wait_s
        self._ends_at = monotonic() + wait_s
        self._left = _LONGEST
        self._came = bytearray()  # and was not read yet

    def answer(self) -> tuple[Answer, bool]:
        """What is answered, and whether the connection may be used for the next request."""
        status, minor, headers = self._head()
        while 100 <= status < 200:  # on the way to the answer
            status, minor, headers = self._head()
        self._ends_at = monotonic() + self._wait_s * _WHOLE
        data, ends = self._body(status, headers)
        kept = ends and minor == 1 and "close" not in headers.get("connection", "").lower()
        return Answer(status, data, headers), kept and not self._came

    def _head(self) -> tuple[int, int, dict[str, str]]:
        first, *lines = self._until(_ENDS, _LONGEST_HEAD).decode("latin-1").split("\r\n")
        begun = _STATUS.fullmatch(first)
        if begun is None:
            raise ProtocolError("the answer does not begin as one of HTTP")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if not colon or name != name.strip() or (headers.get(name, value) != value and name in _FRAMES):
                raise ProtocolError("the answer has a header that cannot be read")
            headers[name] = value
        return int(begun[2]), int(begun[1]), headers

    def _body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """The body, and whether its end was told other than by the connection's."""
        if headers.get("content-encoding", "identity") != "identity":
            raise ProtocolError("the answer is encoded in a way that was not asked for")
        if status in (204, 304):
            return b"", True
        if (coding := headers.get("transfer-encoding")) is not None:
            if coding.lower() != "chunked":
                raise ProtocolError("the answer is transferred in a way that cannot be read")
            return self._chunks(), "content-length" not in headers  # another reader may see another end
        if (length := headers.get("content-length")) is not None:
            if not _LENGTH.fullmatch(length):
                raise ProtocolError("the answer has a length that is no number")
            return self._exactly(int(length)), True
        while self._more():
            pass
        return self._taken(len(self._came)), False

    def _chunks(self) -> bytes:
        chunks: list[bytes] = []
        while True:
            size, _, _ = self._until(_LINE, _LONGEST_HEAD).partition(b";")
            if not _CHUNK_SIZE.fullmatch(size):
                raise ProtocolError("the answer has a chunk whose length is no number")
            if (length := int(size, 16)) == 0:
                break
            chunks.append(self._exactly(length))
            if self._exactly(len(_LINE)) != _LINE:
                raise ProtocolError("the answer has a chunk of another length than it says")
        while self._until(_LINE, _LONGEST_HEAD):
            pass  # trailers
        return b"".join(chunks)

    def _exactly(self, length: int) -> bytes:
        while len(self._came) < length:
            self._must_come()
        return self._taken(length)

    def _until(self, mark: bytes, longest: int) -> bytes:
        """What comes before `mark`."""
        while (end := self._came.find(mark)) < 0:
            if len(self._came) > longest:
                raise ProtocolError("the answer has a head without an end")
            self._must_come()
        found = self._taken(end)
        del self._came[: len(mark)]
        return found

    def _taken(self, length: int) -> bytes:
        taken = bytes(self._came[:length])
        del self._came[:length]
        return taken

    def _must_come(self) -> None:
        if not self._more():
            raise ProtocolError("Connection aborted.", "the server closed the connection within an answer")

    def _more(self) -> bool:
        """Takes what comes next; False where the server has closed the connection."""
        until_end = self._ends_at - monotonic()
        if until_end <= 0:
            raise TimeoutError
        self._sock.settimeout(min(until_end, self._wait_s))
        more = self._sock.recv(_CHUNK)
        self._left -= len(more)
        if self._left < 0:
            raise ProtocolError("the answer is longer than any that was asked for")
        self._came += more
        return bool(more)
