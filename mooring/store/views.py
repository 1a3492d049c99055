"""Read models: what people see, written by workers and read by the web tier. Nothing secret is in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import orjson
import redis

from mooring.keys import AppKey

APPS = "mooring:view:apps"


@dataclass(frozen=True, slots=True)
class AppView:
    """One line of the list of applications."""

    name: str
    namespace: str
    project: str
    sync: str
    health: str
    revision: str
    message: str
    repo: str  # without credentials
    destination: str
    updated_at: float


class Views:
    """The read models in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, view: AppView) -> None:
        """Show `view`."""
        self._redis.hset(APPS, str(AppKey(view.namespace, view.name)), orjson.dumps(asdict(view)))

    def keep_only(self, apps: set[AppKey]) -> None:
        """Forget applications that are no more."""
        known = cast("list[bytes]", self._redis.hkeys(APPS))
        gone = [field for field in known if field.decode() not in {str(app) for app in apps}]
        if gone:
            self._redis.hdel(APPS, *gone)

    def apps(self) -> tuple[AppView, ...]:
        """All applications by name; unreadable entries are left out."""
        found = []
        for value in cast("list[bytes]", self._redis.hvals(APPS)):
            try:
                found.append(AppView(**orjson.loads(value)))
            except (ValueError, TypeError):
                continue
        return tuple(sorted(found, key=lambda view: (view.namespace, view.name)))
