"""Read models: what people see, written by workers and read by the web tier. Nothing secret is in them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, cast

import orjson
import redis

from mooring.errors import StoreGarbled
from mooring.keys import AppKey, ObjectKey
from mooring.store.clock import moment
from mooring.store.connection import healed

APPS = "mooring:view:apps"
_ORPHANS: Final = "mooring:view:orphans"
_MOST: Final = 500  # orphans of one app that are named


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


@dataclass(frozen=True, slots=True)
class Counted:
    """The orphaned resources that an application is told of, as they were at a time; or `why` nobody can
    tell. `more` are not named."""

    at: float
    found: tuple[ObjectKey, ...] = ()
    more: int = 0
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "countedAt": self.at,
            "orphans": [
                {"group": key.group, "kind": key.kind, "namespace": key.namespace, "name": key.name}
                for key in self.found
            ],
            "moreOrphans": self.more,
            "why": self.why,
        }


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
        wanted = {str(app).encode() for app in apps}
        for key in (APPS, _ORPHANS):
            known = healed(self._redis, [key], lambda key=key: cast("list[bytes]", self._redis.hkeys(key)))  # type: ignore[misc]
            if gone := [field for field in known if field not in wanted]:
                self._redis.hdel(key, *gone)

    def put_orphans(self, apps: Mapping[AppKey, Counted | None]) -> None:
        """Show what was counted for each of `apps`; nothing for those that nobody counts for."""
        counted = {str(app): _written(found) for app, found in apps.items() if found is not None}
        others = [str(app) for app, found in apps.items() if found is None]

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            if counted:
                pipe.hset(_ORPHANS, mapping=counted)  # type: ignore[arg-type]
            if others:
                pipe.hdel(_ORPHANS, *others)
            return pipe.execute()

        healed(self._redis, [_ORPHANS], write)

    def orphans(self, app: AppKey) -> Counted | None:
        """What was counted for `app` last; None where nobody has."""
        with suppress(StoreGarbled, KeyError, ValueError, TypeError, AttributeError):
            data = orjson.loads(cast("bytes | None", self._redis.hget(_ORPHANS, str(app))) or b"")
            found = tuple(ObjectKey.parse(text) for text in data["found"])
            return Counted(moment(data["at"]), found, int(data["more"]), str(data["why"]))
        return None

    def has(self, app: AppKey) -> bool:
        """Whether `app` is shown."""
        with suppress(StoreGarbled):
            return self._redis.hget(APPS, str(app)) is not None
        return False

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
        updated_at=moment(data["updated_at"]),
    )


def _written(one: Counted) -> bytes:
    named, more = one.found[:_MOST], one.more + max(len(one.found) - _MOST, 0)
    return orjson.dumps({"at": one.at, "found": [str(key) for key in named], "more": more, "why": one.why})
