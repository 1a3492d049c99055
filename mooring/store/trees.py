"""The trees of applications, each recorded by a worker once somebody has asked the web tier for it.

A look costs a LIST of each kind in the app's namespaces, and whoever asks does not say who he is. So there is
one look at a time, and none of an application that was just looked at; so many may wait, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

import orjson
import redis

from mooring.errors import StoreGarbled
from mooring.keys import AppKey
from mooring.store.connection import VIEW, healed

MOST_ASKED: Final = 50
FRESH_S: Final = 10.0  # until it is looked at anew for whoever asks
_KEPT_S: Final = 60
_LONGEST_LOOK_S: Final = 660  # longer than any task may take: then nobody is at it any more
_ASKED: Final = f"{VIEW}trees"
_SHOWN: Final = f"{VIEW}tree:"
_LOOKING: Final = "mooring:trees:looking"


class Trees:
    """Who is asked for in one sorted set, and a hash of one field for each tree, which expires."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    # --- the web tier -----------------------------------------------------------------------------
    def shown(self, app: AppKey) -> dict[str, Any] | None:
        """The tree of `app` as it was recorded in the last minute, with when that was."""
        with suppress(StoreGarbled, ValueError, TypeError, KeyError):
            tree = orjson.loads(cast("bytes | None", self._redis.hget(f"{_SHOWN}{app}", "tree")) or b"")
            return {**tree, "seenAt": float(tree["seenAt"])}
        return None

    def ask(self, app: AppKey) -> bool:
        """Have `app` looked at; False where too many wait for that."""
        with suppress(StoreGarbled):  # the next worker that looks there mends it
            if self._redis.zcard(_ASKED) < MOST_ASKED:
                self._redis.zadd(_ASKED, {str(app): time.time()}, nx=True)
                return True
        return False

    # --- workers ----------------------------------------------------------------------------------
    def next(self) -> AppKey | None:
        """Who is to be looked at now: none while another one is. Whoever gets one says when he is done."""
        if not healed(self._redis, [_ASKED], lambda: self._redis.zcard(_ASKED)):
            return None
        if not self._redis.set(_LOOKING, b"", nx=True, ex=_LONGEST_LOOK_S):
            return None
        for name, _ in cast("list[tuple[bytes, float]]", self._redis.zpopmin(_ASKED)):
            with suppress(ValueError):
                return AppKey.parse(name.decode())
        self.done()
        return None

    def put(self, app: AppKey, tree: Mapping[str, Any]) -> None:
        """Show `tree`, which says of when it is (`seenAt`), for a minute."""
        key = f"{_SHOWN}{app}"

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(key, "tree", orjson.dumps(tree))
            pipe.expire(key, _KEPT_S)
            return pipe.execute()

        healed(self._redis, [key], write)

    def done(self) -> None:
        """The look is over."""
        self._redis.delete(_LOOKING)
