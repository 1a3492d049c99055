"""Deliveries for benchmarks/intake.py: signed pushes over kept-alive connections, at a rate or flat out.

Run as a process of its own, it prints one JSON object: ids accepted, how many were not, latencies in ms.
At a rate, latency counts from when a delivery was due, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

SECRET = b"benchmark"


def payload(size: int, repo_url: str, commit: str) -> bytes:
    """A push of `commit` to `main` in GitHub's form, filled with commits up to `size` bytes."""
    page = repo_url.removesuffix(".git")
    push: dict[str, Any] = {
        "ref": "refs/heads/main",
        "before": "1" * 40,
        "after": commit,
        "repository": {"clone_url": repo_url, "html_url": page, "default_branch": "main"},
        "sender": {"login": "ada"},
        "commits": [],
    }
    told = {"id": commit, "message": "Change the colour of the door", "added": [], "modified": ["a.yaml"]}
    count = (size - len(json.dumps(push))) // (len(json.dumps(told)) + 2)
    push["commits"] = [told] * count
    body = json.dumps(push).encode()
    return body + b" " * (size - len(body))


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer and not self._answer.done():
            self._buffer = b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._answer and not self._answer.done():
            self._answer.set_result((0, b""))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 when the connection broke."""
        if self.transport is None:
            return 0, b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


class Load:
    """Sends deliveries over `connections` connections and counts what comes of them."""

    def __init__(self, host: str, port: int, path: str, body: bytes) -> None:
        self._host, self._port = host, port
        digest = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={digest}\r\n"
            f"Content-Length: {len(body)}\r\nX-GitHub-Delivery: "
        )
        self._head, self._tail = head.encode(), b"\r\n\r\n" + body
        self._free: asyncio.Queue[Connection | None] = asyncio.Queue()
        self.accepted: list[str] = []
        self.refused = 0
        self.latencies_ms: list[float] = []

    async def at_rate(self, rate: float, seconds: float, connections: int) -> None:
        """`rate` deliveries a second, whether or not the answers keep up."""
        await self._open(connections)
        began = time.perf_counter()
        tasks = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self._one(due)))
        await asyncio.gather(*tasks)

    async def flat_out(self, seconds: float, connections: int) -> None:
        """As many deliveries as are answered, each connection sending its next at once."""
        await self._open(connections)
        end = time.perf_counter() + seconds

        async def repeat() -> None:
            while time.perf_counter() < end:
                await self._one(time.perf_counter())

        await asyncio.gather(*(repeat() for _ in range(connections)))

    async def _open(self, connections: int) -> None:
        for _ in range(connections):
            self._free.put_nowait(await self._connect())

    async def _connect(self) -> Connection | None:
        try:
            _, made = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        except OSError:
            return None
        return made

    async def _one(self, due: float) -> None:
        connection = await self._free.get()
        if connection is None or connection.transport is None:
            connection = await self._connect()
        request = self._head + uuid.uuid4().hex.encode() + self._tail
        status, body = await connection.send(request) if connection else (0, b"")
        self.latencies_ms.append((time.perf_counter() - due) * 1000)
        if status == 202:
            self.accepted.append(json.loads(body)["id"])
        else:
            self.refused += 1
        self._free.put_nowait(connection)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/webhooks/github")
    parser.add_argument("--rate", type=float, default=0, help="deliveries a second; 0 is flat out")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--size", type=int, default=20 * 1024)
    parser.add_argument("--repo", required=True, help="URL of the repository that the pushes name")
    parser.add_argument("--commit", required=True, help="id of the commit that they name")
    options = parser.parse_args()

    load = Load("127.0.0.1", options.port, options.path, payload(options.size, options.repo, options.commit))
    began = time.perf_counter()
    if options.rate:
        asyncio.run(load.at_rate(options.rate, options.seconds, options.connections))
    else:
        asyncio.run(load.flat_out(options.seconds, options.connections))
    took = time.perf_counter() - began
    print(
        json.dumps(
            {
                "accepted": load.accepted,
                "refused": load.refused,
                "latencies_ms": load.latencies_ms,
                "seconds": took,
            }
        )
    )


if __name__ == "__main__":
    main()
