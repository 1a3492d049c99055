"""A server of Git LFS on loopback: the batch API and the objects themselves.

For tests. https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_TYPE = "application/vnd.git-lfs+json"


def pointer(data: bytes, size: int | None = None) -> str:
    """What stands in Git for `data`, said to have `size` bytes."""
    oid = hashlib.sha256(data).hexdigest()
    told = len(data) if size is None else size
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {told}\n"


class LfsServer(ThreadingHTTPServer):
    """Serves until the end of the block, whatever the repository is called, to who has `user` and `password`.

    `requests` are method, path and Authorization of each; `change` makes another answer of each object's, as
    a hostile host would.
    """

    daemon_threads = True

    def __init__(self, user: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorization = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.batches: list[Any] = []
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = lambda each: each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keeps(self, data: bytes, kept: bytes | None = None) -> str:
        """Takes `data`, or `kept` in its place, and returns the pointer to `data`."""
        self.objects[hashlib.sha256(data).hexdigest()] = data if kept is None else kept
        return pointer(data)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True, name="lfsserver").start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: LfsServer

    def do_POST(self) -> None:
        self._note()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != self.server.authorization:
            self._answer(401, b"{}", _TYPE)
            return
        if {self.headers["Accept"], self.headers["Content-Type"]} != {_TYPE}:
            self._answer(406, b"{}", _TYPE)
            return
        self.server.batches.append(asked)
        objects = [
            self.server.change(
                {**each, "actions": {"download": {"href": f"{self.server.url}/objects/{each['oid']}"}}}
                if each["oid"] in self.server.objects
                else {**each, "error": {"code": 404, "message": "not there"}}
            )
            for each in asked["objects"]
        ]
        self._answer(200, json.dumps({"transfer": "basic", "objects": objects}).encode(), _TYPE)

    def do_GET(self) -> None:
        self._note()
        self._answer(200, self.server.objects[self.path.rpartition("/")[2]], "application/octet-stream")

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: `LfsServer.requests` has them."""

    def _note(self) -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization", "")))

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
