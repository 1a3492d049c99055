"""Everything that becomes of some objects, in order: what a look now and then would miss."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.stories.ship import until


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is ADDED, MODIFIED or DELETED; `body` the object as it was then."""

    kind: str
    body: Any

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def version(self) -> int:
        return int(self.body["metadata"]["resourceVersion"])


class Watch:
    """A context manager that notes every event below `path` (a list's) from its start on."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._cluster = cluster
        self._path = path
        self._events: list[Event] = []
        self._start = int(devcluster.ask(cluster, path)["metadata"]["resourceVersion"])
        server = urlsplit(cluster.server)
        trust = ssl.create_default_context(cafile=str(cluster.ca))
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=trust)
        headers = {"Authorization": f"Bearer {cluster.token}"}
        self._connection.request("GET", f"{path}?watch=1&resourceVersion={self._start}", headers=headers)
        self._answer = self._connection.getresponse()

    def events(self, name: str = "") -> list[Event]:
        """What has happened until now: to one object, or to all."""
        items = devcluster.ask(self._cluster, self._path)["items"]
        latest = max([self._start, *(int(item["metadata"]["resourceVersion"]) for item in items)])
        until("the watch to be up to date", lambda: self._seen() >= latest)
        return [event for event in self._events if event.name == name or not name]

    def _seen(self) -> int:
        return max((event.version for event in self._events), default=self._start)

    def _read(self) -> None:
        try:
            for line in self._answer:
                event = json.loads(line)
                self._events.append(Event(event["type"], event["object"]))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return  # closed

    def __enter__(self) -> Self:
        threading.Thread(target=self._read, daemon=True, name="watch").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.sock.close()
