"""Proof records: what we applied to each object, and what the server then said it was.

An object whose live metadata still matches its record has not drifted (DESIGN, mechanism 6). The records
are a cache: lost ones cost one request an object, never a wrong answer, because a record counts only
together with what the API server says now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    version, or the CRD's uid and generation), `meta` a hash of labels, annotations and finalizers,
    `fields` a hash of our managedFields entry.
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

        found: dict[ObjectKey, Proof] = {}
        key = _key(cluster, app)
        raw = healed(self._redis, [key], lambda: cast("dict[bytes, bytes]", self._redis.hgetall(key)))
        for field, value in raw.items():
            try:
                found[ObjectKey.parse(field.decode())] = Proof(*orjson.loads(value))
            except (ValueError, TypeError):
                continue
        return found

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
        self._redis.delete(_key(cluster, app))


def _key(cluster: ClusterRef, app: AppKey) -> str:
    return f"mooring:proofs:{cluster}:{app}"
