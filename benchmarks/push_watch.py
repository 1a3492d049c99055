"""Sees a change in the API server the moment it is there: a watch of our own, apart from what we measure."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from devcluster.cluster import Cluster, ask

Told = Callable[[dict[str, Any]], str | None]


class Watch:
    """Watches a collection in a thread of its own and notes when each thing was first seen.

    `tell(object)` names what an object shows (None: nothing of interest). Times are seconds since the
    epoch, taken before the event is parsed.
    """

    def __init__(self, cluster: Cluster, path: str, tell: Told) -> None:
        self._cluster = cluster
        self._path = path
        self._tell = tell
        self._seen: dict[str, float] = {}
        self._changed = threading.Condition()
        self._ended = ""
        self._connection = http.client.HTTPSConnection(
            urlsplit(cluster.server).netloc, context=ssl.create_default_context(cafile=str(cluster.ca))
        )

    def __enter__(self) -> Watch:
        listed = ask(self._cluster, self._path)
        version = listed["metadata"]["resourceVersion"]
        self._connection.request(
            "GET",
            f"{self._path}?watch=1&resourceVersion={version}&timeoutSeconds=3600",
            headers={"Authorization": f"Bearer {self._cluster.token}"},
        )
        answer = self._connection.getresponse()
        threading.Thread(target=self._read, args=(answer,), daemon=True, name=self._path).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.sock is not None:
            self._connection.sock.close()

    def when(self, what: str, seconds: float = 60) -> float:
        """When `what` was first seen, waiting for it. Raises TimeoutError when it is not, in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: what in self._seen or self._ended, seconds):
                raise TimeoutError(f"{what} was not seen within {seconds:.0f} s in {self._path}")
            if what not in self._seen:
                raise TimeoutError(f"the watch of {self._path} ended: {self._ended}")
            return self._seen[what]

    def _read(self, answer: http.client.HTTPResponse) -> None:
        ended = "the server closed it"
        try:
            while line := answer.readline():
                now = time.time()
                what = self._tell(orjson.loads(line)["object"])
                if what is not None:
                    with self._changed:
                        self._seen.setdefault(what, now)
                        self._changed.notify_all()
        except (OSError, ValueError, http.client.HTTPException) as error:
            ended = str(error)
        with self._changed:
            self._ended = ended
            self._changed.notify_all()
