"""What namespaces hold that belongs to no application, as it was seen last: a cache for those who look."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import orjson
import redis

from mooring.keys import ClusterRef, ObjectKey
from mooring.store.connection import healed

# The objects; or, where nobody can tell and that is for a person to mend, why.
Found = tuple[ObjectKey, ...] | str
_KEPT_S: Final = 7 * 86_400  # a cluster may be away for long, and one that is gone is asked by nobody


class Orphans:
    """One Redis hash per cluster: namespace -> its objects that are nobody's, for days after the last look;
    and a key for a while where somebody has looked in vain."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, cluster: ClusterRef, found: Mapping[str, Found]) -> None:
        """Remember what was found, by namespace."""
        if not found:
            return
        name = _key(cluster)
        values = {
            namespace: orjson.dumps(told if isinstance(told, str) else sorted(map(str, told)))
            for namespace, told in found.items()
        }

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(name, mapping=values)  # type: ignore[arg-type]
            pipe.expire(name, _KEPT_S)
            return pipe.execute()

        healed(self._redis, [name], write)

    def of(self, cluster: ClusterRef, namespaces: Collection[str]) -> dict[str, Found]:
        """What was found in each of them where somebody has looked; what cannot be read is left out."""
        if not namespaces:
            return {}
        name, fields = _key(cluster), list(namespaces)
        raw = healed(self._redis, [name], lambda: cast("list[bytes | None]", self._redis.hmget(name, fields)))
        found: dict[str, Found] = {}
        for namespace, value in zip(fields, raw, strict=True):
            try:
                told = orjson.loads(value or b"null")
                if isinstance(told, str):
                    found[namespace] = told
                elif told is not None:
                    found[namespace] = tuple(map(ObjectKey.parse, told))
            except (ValueError, TypeError, AttributeError):
                continue
        return found

    def in_vain(self, cluster: ClusterRef, for_s: float) -> None:
        """Remember so long that nobody can tell what is there; what was found stays."""
        self._redis.set(f"{_key(cluster)}:in-vain", b"1", px=max(1, int(for_s * 1000)))

    def was_in_vain(self, cluster: ClusterRef) -> bool:
        """Whether somebody has looked in vain, and that is to be remembered still."""
        return bool(self._redis.exists(f"{_key(cluster)}:in-vain"))

    def keep_only(self, cluster: ClusterRef, namespaces: Collection[str]) -> None:
        """Forget namespaces that nobody asks about any more."""
        name = _key(cluster)
        known = healed(self._redis, [name], lambda: cast("list[bytes]", self._redis.hkeys(name)))
        wanted = {namespace.encode() for namespace in namespaces}
        if gone := [namespace for namespace in known if namespace not in wanted]:
            self._redis.hdel(name, *gone)


def _key(cluster: ClusterRef) -> str:
    return f"mooring:orphans:{cluster}"
