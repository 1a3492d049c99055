"""How the clusters besides the home cluster were when somebody last asked them.

All processes share it: a cluster that does not answer holds up whoever asks it first, and nobody else. What
the web tier may read has no words of the clusters: it asks nobody who he is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, cast

import orjson
import redis

from mooring.errors import StoreGarbled
from mooring.keys import ClusterRef
from mooring.store.clock import moment
from mooring.store.connection import VIEW, healed

CLUSTERS: Final = "mooring:clusters"
_SHOWN: Final = f"{VIEW}clusters"
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
    """The connections in one Redis hash, by the clusters' URLs; as people see them in another one."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def of(self, cluster: ClusterRef) -> Connection | None:
        """The last known; None where nobody has asked yet."""
        value = healed(self._redis, [CLUSTERS], lambda: self._redis.hget(CLUSTERS, cluster))
        return _read(cast("bytes | None", value))

    def all(self) -> Mapping[str, Connection]:
        """All that are known, by URL."""
        return self._all(CLUSTERS)

    def shown(self) -> Mapping[str, Connection]:
        """The same without versions of Secrets and without the reasons why, as the web tier may read them."""
        return self._all(_SHOWN)

    def _all(self, key: str) -> Mapping[str, Connection]:
        try:
            found = cast("dict[bytes, bytes]", self._redis.hgetall(key))
        except StoreGarbled:
            return {}  # the next worker that has something to say mends it
        read = {url.decode(errors="replace"): _read(value) for url, value in found.items()}
        return {url: one for url, one in sorted(read.items()) if one is not None}

    def put(self, cluster: ClusterRef, connection: Connection) -> None:
        """This is how it is now."""
        value, shown = (orjson.dumps(asdict(one)) for one in (connection, _shown(connection)))

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(CLUSTERS, cluster, value)
            pipe.hset(_SHOWN, cluster, shown)
            return pipe.execute()

        healed(self._redis, [CLUSTERS, _SHOWN], write)

    def forget(self, cluster: ClusterRef) -> None:
        """Nobody knows the cluster any more."""
        for key in (CLUSTERS, _SHOWN):
            healed(self._redis, [key], lambda key=key: self._redis.hdel(key, cluster))  # type: ignore[misc]

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
        told = {field.name: data[field.name] for field in fields(Connection)}
        texts = {name: str(told[name]) for name in ("title", "secret", "version", "message")}
        # The web tier may write where this is shown: each field is what it says it is.
        times = {name: moment(told[name]) for name in ("at", "until")}
        return Connection(**told | texts | times | {"failures": int(told["failures"])})
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _shown(connection: Connection) -> Connection:
    return replace(connection, secret="", message="")


def as_json(url: str, one: Connection) -> dict[str, Any]:
    """A connection for programs."""
    return {
        "server": url,
        "name": one.title,
        "status": one.status,
        "version": one.version,
        "lastAskedAt": one.at,
        "failures": one.failures,
    }
