"""Proof records: what we applied to each object, and what the server then said it was; and what the look at
an app rests on that has found all of them.

An object whose live metadata still matches its record has not drifted (DESIGN, mechanism 6). The records
are a cache: lost ones cost one request an object, never a wrong answer, because a record counts only
together with what the API server says now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import orjson

from mooring.keys import AppKey, ClusterRef, ObjectKey

if TYPE_CHECKING:  # a command reads the records' type alone
    import redis


@dataclass(frozen=True, slots=True)
class Proof:
    """The state of one object right after an apply that gave it its desired state.

    `body` is the digest of the applied body, `schema` the identity of the schema that read it (server
    version, or the CRD's uid and generation), `meta` a hash of labels, annotations, finalizers and
    owners, `fields` a hash of our managedFields entry.
    """

    body: str
    schema: str
    uid: str
    resource_version: str
    generation: int
    meta: str
    fields: str


class Proofs:
    """Records in one Redis hash per cluster and application: one round trip to read, one to write."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def load(self, cluster: ClusterRef, app: AppKey) -> dict[ObjectKey, Proof]:
        """All records of `app`; unreadable ones are left out."""
        from mooring.store.connection import healed

        key = _key(cluster, app)
        return _read(healed(self._redis, [key], lambda: cast("dict[bytes, bytes]", self._redis.hgetall(key))))

    def of(self, cluster: ClusterRef, app: AppKey, keys: Collection[ObjectKey]) -> dict[ObjectKey, Proof]:
        """As `load`, those of the objects `keys` alone."""
        from mooring.store.connection import healed

        if not keys:
            return {}
        key, fields = _key(cluster, app), [str(one).encode() for one in keys]
        raw = healed(self._redis, [key], lambda: cast("list[bytes | None]", self._redis.hmget(key, fields)))
        return _read({field: value for field, value in zip(fields, raw, strict=True) if value is not None})

    def load_all(self, cluster: ClusterRef, apps: Sequence[AppKey]) -> dict[AppKey, dict[ObjectKey, Proof]]:
        """As `load`, of all `apps` in one round trip. Raises StoreGarbled where that of any is no record."""
        pipe = self._redis.pipeline(transaction=False)
        for app in apps:
            pipe.hgetall(_key(cluster, app))
        found = cast("list[dict[bytes, bytes]]", pipe.execute()) if apps else []
        return {app: _read(raw) for app, raw in zip(apps, found, strict=True)}

    def save(
        self,
        cluster: ClusterRef,
        app: AppKey,
        proofs: Mapping[ObjectKey, Proof],
        gone: Iterable[ObjectKey] = (),
    ) -> None:
        """Write `proofs` and forget those of `gone`, in one round trip; none when there is nothing to say."""
        pipe = self._redis.pipeline(transaction=False)
        if proofs:
            mapping = {
                str(key): orjson.dumps(
                    [p.body, p.schema, p.uid, p.resource_version, p.generation, p.meta, p.fields]
                )
                for key, p in proofs.items()
            }
            pipe.hset(_key(cluster, app), mapping=mapping)  # type: ignore[arg-type]
        names = [str(key) for key in gone]
        if names:
            pipe.hdel(_key(cluster, app), *names)
        if len(pipe):
            pipe.execute()

    def forget(self, cluster: ClusterRef, app: AppKey) -> None:
        """Forget every record of `app` (hard refresh)."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.delete(_key(cluster, app))
        pipe.hdel(_bases(cluster), str(app))
        pipe.execute()

    def bases(self, cluster: ClusterRef) -> dict[AppKey, str]:
        """What the last look at each app rests on (workers/basis.py); unreadable ones are left out."""
        from mooring.store.connection import healed

        key, found = _bases(cluster), dict[AppKey, str]()
        raw = healed(self._redis, [key], lambda: cast("dict[bytes, bytes]", self._redis.hgetall(key)))
        for name, value in raw.items():
            with suppress(ValueError):
                found[AppKey.parse(name.decode())] = value.decode()
        return found

    def rests_on(self, cluster: ClusterRef, app: AppKey, basis: str) -> None:
        """Remember what the last look at `app` rests on; nothing that could be told, where that is ""."""
        from mooring.store.connection import healed

        key, field = _bases(cluster), str(app)

        def write() -> object:
            return self._redis.hset(key, field, basis) if basis else self._redis.hdel(key, field)

        healed(self._redis, [key], write)


def _read(raw: Mapping[bytes, bytes]) -> dict[ObjectKey, Proof]:
    found: dict[ObjectKey, Proof] = {}
    for field, value in raw.items():
        try:
            found[ObjectKey.parse(field.decode())] = Proof(*orjson.loads(value))
        except (ValueError, TypeError):
            continue
    return found


def _bases(cluster: ClusterRef) -> str:
    return f"mooring:bases:{cluster}"


def _key(cluster: ClusterRef, app: AppKey) -> str:
    return f"mooring:proofs:{cluster}:{app}"
