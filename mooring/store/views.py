"""Read models: what people see, written by workers and read by the web tier. Nothing secret is in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import orjson
import redis

from mooring.errors import StoreGarbled
from mooring.keys import AppKey
from mooring.store.connection import healed

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
        field, value = str(AppKey(view.namespace, view.name)), orjson.dumps(asdict(view))
        healed(self._redis, [APPS], lambda: self._redis.hset(APPS, field, value))

    def keep_only(self, apps: set[AppKey]) -> None:
        """Forget applications that are no more."""
        known = healed(self._redis, [APPS], lambda: cast("list[bytes]", self._redis.hkeys(APPS)))
        wanted = {str(app).encode() for app in apps}
        gone = [field for field in known if field not in wanted]
        if gone:
            self._redis.hdel(APPS, *gone)

    def apps(self) -> tuple[AppView, ...]:
        """All applications by name; unreadable entries are left out."""
        found = []
        try:
            values = cast("list[bytes]", self._redis.hvals(APPS))
        except StoreGarbled:
            return ()  # the next worker that has something to show mends it
        for value in values:
            try:
                found.append(_view(orjson.loads(value)))
            except (KeyError, ValueError, TypeError):
                continue
        return tuple(sorted(found, key=lambda view: (view.namespace, view.name)))


def _view(data: dict[str, Any]) -> AppView:
    """The web tier may write here, too: each field is what it says it is."""
    return AppView(
        **{field.name: str(data[field.name]) for field in fields(AppView) if field.name != "updated_at"},
        updated_at=min(max(float(data["updated_at"]), 0.0), 1e11),
    )
