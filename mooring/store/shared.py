"""Which applications want an object that is another's, so that both can be told.

Whoever finds an object of another app in its own Git leaves word here, and takes it back once that is
over. It is a cache: lost words are left again by the next look of whoever left them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

import orjson
import redis

from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.store.connection import healed


@dataclass(frozen=True, slots=True)
class Words:
    """`claims`: what others want of this app's, by app. `news`: apps that it wants more of, or no more."""

    claims: Mapping[AppKey, frozenset[ObjectKey]]
    news: frozenset[AppKey]


class Shared:
    """One Redis hash per cluster and owner: the claimant's name -> the objects that it wants there."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def exchange(
        self, cluster: ClusterRef, app: AppKey, wants: Mapping[AppKey, Collection[ObjectKey]]
    ) -> Words:
        """Leave word that `app` wants objects of others in `cluster`, by owner, and hear what others want of
        its own there.

        Whatever `app` said before and does not say now is taken back. Unreadable words are left out.
        """
        shares, claims_of_it = _told(cluster, app), _claims(cluster, app)
        told, raw = healed(self._redis, [shares, claims_of_it], lambda: self._heard(shares, claims_of_it))
        before = {name.decode(errors="replace") for name in told}
        owners = {str(owner) for owner in wants}
        if before or owners:
            pipe = self._redis.pipeline()
            for name in before - owners:
                pipe.hdel(_claims(cluster, name), str(app))
                pipe.srem(shares, name)
            for owner, keys in wants.items():
                pipe.hset(_claims(cluster, owner), str(app), orjson.dumps(sorted(map(str, keys))))
                pipe.sadd(shares, str(owner))
            pipe.execute()
        claims: dict[AppKey, frozenset[ObjectKey]] = {}
        for claimant, value in raw.items():
            try:
                claims[AppKey.parse(claimant.decode())] = frozenset(map(ObjectKey.parse, orjson.loads(value)))
            except (ValueError, TypeError, AttributeError):
                continue
        return Words(claims, frozenset(AppKey.parse(name) for name in owners ^ before if "_" in name))

    def _heard(self, shares: str, claims: str) -> tuple[set[bytes], dict[bytes, bytes]]:
        pipe = self._redis.pipeline(transaction=False)
        pipe.smembers(shares)
        pipe.hgetall(claims)
        return cast("tuple[set[bytes], dict[bytes, bytes]]", tuple(pipe.execute()))

    def forget(self, cluster: ClusterRef, app: AppKey, claimant: AppKey) -> None:
        """Drop the word of an app that is no more: another one of its name says so anew, and that is news."""
        pipe = self._redis.pipeline()
        pipe.hdel(_claims(cluster, app), str(claimant))
        pipe.srem(_told(cluster, claimant), str(app))
        pipe.execute()


def _claims(cluster: ClusterRef, app: AppKey | str) -> str:
    return f"mooring:shared:{cluster}:{app}"


def _told(cluster: ClusterRef, app: AppKey) -> str:
    return f"mooring:shares:{cluster}:{app}"
