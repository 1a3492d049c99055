"""Which archive a version of a chart or artifact was when somebody last looked at it: whoever polls can tell
that its host has another one now, without ever having fetched it.

A cache: what is lost is looked at once more.
"""

from __future__ import annotations

import hashlib
from typing import Final, cast

import redis

_KEPT_S: Final = 30 * 24 * 3600  # since it was last noted or asked for


class Archives:
    """One Redis key for each version of each place (`workers.origin.Origin.place`)."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def note(self, place: str, version: str, digest: str) -> None:
        """Somebody looks at this one."""
        self._redis.set(_key(place, version), digest, ex=_KEPT_S)

    def of(self, place: str, version: str) -> str:
        """The digest; "" where nobody has looked."""
        return cast("bytes", self._redis.getex(_key(place, version), ex=_KEPT_S) or b"").decode(
            errors="replace"
        )


def _key(place: str, version: str) -> str:
    name = hashlib.sha256(f"{place}\0{version}".encode()).hexdigest()
    return f"mooring:archive:{name[:32]}"
