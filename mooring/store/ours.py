"""Which installation has this Redis: said by those who may read its Secret, for the observer who may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from mooring.store.connection import healed

if TYPE_CHECKING:
    import redis

_KEY: Final = "mooring:installation"


class Ours:
    """The id of the installation. Methods raise StoreUnavailable."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def say(self, installation: str) -> None:
        """It is this one."""
        self._redis.set(_KEY, installation)

    def known(self) -> str:
        """As it was said last; "" where nobody has, or Redis has lost it."""
        found = healed(self._redis, [_KEY], lambda: cast("bytes | None", self._redis.get(_KEY)))
        return (found or b"").decode(errors="replace")
