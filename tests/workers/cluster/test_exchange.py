"""What is read from a connection that is kept, as servers and what stands before them may answer."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import takewhile

import pytest
from kubernetes.client import Configuration
from urllib3.connection import HTTPConnection

from mooring.errors import ClusterRefused, ClusterUnavailable
from workers.cluster import exchange, transport
from workers.cluster.identity import MOORING, Identity
from workers.cluster.transport import Transport, Unreachable

_FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_VALUE = b'{"is":"whole"}'


def _head(asked: Iterable[bytes]) -> bytes:
    """The lines before the empty one."""
    lines: Iterator[bytes] = takewhile(bytes.strip, asked)
    return b"".join(lines)


class Server:
    """Answers the first request of its first connection plainly, and each one after it with `told`, and
    then `slowly`, byte by byte."""

    def __init__(self, told: bytes, slowly: bytes = b"") -> None:
        self.told = told
        self.slowly = slowly
        self.ended = threading.Event()
        self.heads: list[bytes] = []  # of all requests
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer, peer.makefile("rb") as asked:
                while head := _head(asked):
                    self.heads.append(head)
                    if said := re.search(rb"(?i)content-length: (\d+)", head):
                        asked.read(int(said[1]))
                    told = self.told if len(self.heads) > 1 else _FIRST
                    peer.sendall(told)
                    with suppress(OSError):  # nobody waits for it any more
                        for byte in self.slowly if told is self.told else b"":
                            self.ended.wait(0.03)
                            peer.send(bytes([byte]))
                    if told is self.told and b"close" in told.lower():
                        break

    def end(self) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def server(told: bytes, slowly: bytes = b"") -> Iterator[Server]:
    found = Server(told, slowly)
    serving = threading.Thread(target=found.serve, daemon=True)
    serving.start()
    try:
        yield found
    finally:
        found.end()


def asking(one: Server) -> Callable[[], bytes]:
    """Asks it over the connections that are kept. The first request has made one."""
    asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
    assert asks.request("GET", "/", identity=MOORING).data == b"{}"
    return lambda: asks.request("GET", "/again?a=b", identity=MOORING, wait_s=5).data


@pytest.mark.parametrize(
    "told",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + _VALUE,
        b"HTTP/1.1 200\r\nCONTENT-LENGTH:14\r\ncontent-length: 14 \r\n\r\n" + _VALUE,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + _VALUE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'4;last=no\r\n{"is\r\nA\r\n":"whole"}\r\n0\r\nSum: 7\r\n\r\n',
    ],
)
def test_an_answer_is_read_to_its_end_and_the_connection_is_kept(told: bytes) -> None:
    with server(told) as one:
        ask = asking(one)
        assert [ask() for _ in range(3)] == [_VALUE] * 3
        assert one.connections == 1


def test_a_request_says_what_http_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(_FIRST) as one:
        settings = Configuration(f"http://127.0.0.1:{one.port}")
        settings.api_key["authorization"] = "a\tb"
        for _ in range(2):
            ask = Transport(lambda: settings)
            ask.request("PATCH", "/x", identity=Identity("ärger", ("crew",)), query=[("q", "1 2")], body=[])
            ask.close()
            monkeypatch.setattr(transport, "exchange", lambda *_: None)  # then http.client writes it
        ours, theirs = (sorted(head.lower().splitlines()) for head in one.heads)
        assert ours == theirs
        assert b"host: 127.0.0.1:%d" % one.port in ours


def test_the_port_that_goes_without_saying_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway may know the server by its bare name alone."""
    with server(_FIRST) as one:
        monkeypatch.setattr(HTTPConnection, "default_port", one.port)
        ask = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        for _ in range(2):
            ask.request("GET", "/", identity=MOORING)
        assert all(b"host: 127.0.0.1" in head.lower().splitlines() for head in one.heads)
        assert one.connections == 1


@pytest.mark.parametrize("token", ["słowo-s3cret", "s3cret\n", "s3cret\r\nX: y"])
def test_a_credential_that_cannot_be_sent_is_refused_and_never_quoted(token: str) -> None:
    with server(_FIRST) as one:
        settings = Configuration(f"http://127.0.0.1:{one.port}")
        settings.api_key["authorization"] = f"Bearer {token}"
        asks = Transport(lambda: settings)

        def followed() -> None:
            with asks.stream("/", identity=MOORING) as chunks:
                list(chunks)

        for ask in (partial(asks.request, "GET", "/", identity=MOORING), followed):
            with pytest.raises(ClusterRefused, match="credential") as refused:
                ask()
            assert "s3cret" not in repr(refused.value)
            assert refused.value.__cause__ is refused.value.__context__ is None
        assert one.connections == 0


@pytest.mark.parametrize(
    "told",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\n" + _VALUE,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + _VALUE,
    ],
)
def test_a_connection_that_the_server_ends_is_made_anew(told: bytes) -> None:
    with server(told) as one:
        ask = asking(one)
        assert [ask() for _ in range(3)] == [_VALUE] * 3
        assert one.connections == 3


@pytest.mark.parametrize(
    "told",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + _VALUE + _FIRST,
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"E\r\n" + _VALUE + b"\r\n0\r\n\r\n",  # whoever reads by the length sees another end
    ],
)
def test_what_comes_after_an_answer_is_not_taken_for_the_next_one(told: bytes) -> None:
    with server(told) as one:
        ask = asking(one)
        assert ask() == _VALUE
        assert ask() == _VALUE
        assert one.connections > 1


@pytest.mark.parametrize(
    "told",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX: close\r\n\r\n" + _VALUE,  # cut off
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n4\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\nfour\r\n{}\r\n",
        *(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: close\r\n\r\n%b\r\n0\r\n\r\n" % chunk
            for chunk in (b"+2\r\n{}", b"0x2\r\n{}", b" 2 \r\n{}", b"0_2\r\n{}", b"-2\r\n", b"-0\r\n")
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\nX: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nX: close\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 14\r\nX: close\r\n\r\n" + _VALUE,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nX: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nX: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n folded\r\nX: close\r\n\r\n",
        b"close the door\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_none(told: bytes) -> None:
    """And no write is sent twice for it."""
    with server(told) as one:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        asks.request("GET", "/", identity=MOORING)
        with pytest.raises(Unreachable, match="hung up"):
            asks.request("PATCH", "/x", identity=MOORING, body={}, wait_s=5)
        assert len(one.heads) == 2


def test_what_is_said_of_a_body_before_its_end_is_heard() -> None:
    """As Go's servers say that it is too long: they answer, wait for a moment, and hang up."""
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[bytes] = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            for told in (_FIRST, _FIRST.replace(b"200 OK", b"413 Content Too Large")):
                served.append(peer.recv(1 << 10))
                peer.sendall(told)
            peer.shutdown(socket.SHUT_WR)
            select.select([peer], [], [])  # there is more, which nobody reads

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    with listener:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        asks.request("GET", "/", identity=MOORING)
        with pytest.raises(ClusterRefused) as refused:
            asks.request("PATCH", "/x", identity=MOORING, body="x" * (12 << 20))
        assert refused.value.code == 413
        assert len(served) == 2


def test_who_does_not_answer_is_waited_for_no_longer_than_said() -> None:
    with server(b"") as one:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        asks.request("GET", "/", identity=MOORING)
        with pytest.raises(ClusterUnavailable, match="did not answer"):
            asks.request("GET", "/", identity=MOORING, wait_s=0.2)


@pytest.mark.parametrize(
    ("told", "slowly"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 200 + b"\r\nContent-Length: 2\r\n\r\n{}"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10 + _FIRST),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{", b" " * 198 + b"}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 40 + b"0\r\n\r\n"),
    ],
)
def test_who_says_a_byte_now_and_then_is_not_waited_for_to_the_end(told: bytes, slowly: bytes) -> None:
    with server(told, slowly) as one:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        asks.request("GET", "/", identity=MOORING)
        for _ in ("over the connection that is open", "over a new one"):
            with pytest.raises(Unreachable, match="did not answer"):
                asks.request("GET", "/", identity=MOORING, wait_s=0.2)
        assert one.connections == 2


def test_who_takes_a_request_bit_by_bit_is_not_waited_for_to_the_end() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ended = threading.Event()

        def take() -> None:
            peer, _ = listener.accept()
            with peer:
                while not ended.wait(0.05) and peer.recv(1 << 12):
                    pass

        threading.Thread(target=take, daemon=True).start()
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(Unreachable, match="did not answer"):
            asks.request("PATCH", "/", identity=MOORING, body="x" * (1 << 26), wait_s=0.2)
        ended.set()


@pytest.mark.parametrize("host", ["https://nowhere.invalid", "http://nowhere.invalid"])
def test_nor_is_a_proxy_that_does_so(host: str) -> None:
    with server(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 5000) as one:
        one.heads.append(b"an earlier request's")
        settings = Configuration(host)
        settings.proxy = f"http://127.0.0.1:{one.port}"
        asks = Transport(lambda: settings)
        with pytest.raises(Unreachable, match=r"did not answer|hung up"):
            asks.request("PATCH", "/x", identity=MOORING, body={}, wait_s=0.2)


def test_an_answer_may_take_longer_than_its_beginning() -> None:
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", _VALUE.rjust(50)) as one:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        asks.request("GET", "/", identity=MOORING)
        assert asks.request("GET", "/", identity=MOORING, wait_s=1).data.strip() == _VALUE


@pytest.mark.parametrize(
    "told",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 140\r\n\r\n" + _VALUE * 10,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50 + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + _VALUE * 10,
    ],
)
def test_an_answer_without_measure_is_none(told: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_LONGEST", 100)
    with server(told) as one:
        asks = Transport(lambda: Configuration(f"http://127.0.0.1:{one.port}"))
        asks.request("GET", "/", identity=MOORING)
        with pytest.raises(Unreachable, match="longer than any"):
            asks.request("PATCH", "/x", identity=MOORING, body={})
