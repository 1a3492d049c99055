"""How the clusters besides the home cluster were when somebody last asked them.

All processes share it: a cluster that does not answer holds up whoever asks it first, and nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, cast

import orjson
import redis

from mooring.errors import StoreGarbled
from mooring.keys import ClusterRef
from mooring.store.connection import healed

CLUSTERS: Final = "mooring:clusters"
SUCCESSFUL: Final = "Successful"  # Argo CD's words
FAILED: Final = "Failed"


@dataclass(frozen=True, slots=True)
class Connection:
    """What came of the last try, at `at`: `version` is the server's, `message` why it failed.

    `secret` is the version of the Secret that was tried: another one is tried at once. A failed one is not
    tried again before `until`; `failures` were in a row, and count until then where it is back. Times are in
    seconds since the epoch.
    """

    status: Literal["Successful", "Failed"]
    title: str
    secret: str
    at: float
    version: str = ""
    message: str = ""
    failures: int = 0
    until: float = 0.0


class Connections:
    """The connections in one Redis hash, by the clusters' URLs."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def of(self, cluster: ClusterRef) -> Connection | None:
        """The last known; None where nobody has asked yet."""
        value = healed(self._redis, [CLUSTERS], lambda: self._redis.hget(CLUSTERS, cluster))
        return _read(cast("bytes | None", value))

    def all(self) -> Mapping[str, Connection]:
        """All that are known, by URL."""
        try:
            found = cast("dict[bytes, bytes]", self._redis.hgetall(CLUSTERS))
        except StoreGarbled:
            return {}  # the next worker that has something to say mends it
        read = {url.decode(errors="replace"): _read(value) for url, value in found.items()}
        return {url: one for url, one in sorted(read.items()) if one is not None}

    def put(self, cluster: ClusterRef, connection: Connection) -> None:
        """This is how it is now."""
        value = orjson.dumps(asdict(connection))
        healed(self._redis, [CLUSTERS], lambda: self._redis.hset(CLUSTERS, cluster, value))

    def forget(self, cluster: ClusterRef) -> None:
        """Nobody knows the cluster any more."""
        healed(self._redis, [CLUSTERS], lambda: self._redis.hdel(CLUSTERS, cluster))

    def only_me(self, cluster: ClusterRef, seconds: float) -> bool:
        """Whether the caller, and nobody else for that time, is to try one that failed."""
        return bool(self._redis.set(f"{CLUSTERS}:asked:{cluster}", b"", nx=True, px=int(seconds * 1000)))

    def anybody(self, cluster: ClusterRef) -> None:
        """The try of `only_me` is over."""
        self._redis.delete(f"{CLUSTERS}:asked:{cluster}")


def _read(value: bytes | None) -> Connection | None:
    try:
        data: Any = orjson.loads(value or b"")
        if data["status"] not in (SUCCESSFUL, FAILED):
            return None
        return Connection(**{field.name: data[field.name] for field in fields(Connection)})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
