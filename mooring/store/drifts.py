"""The drifts of each app, and how often self-heal has put an object back, in Redis.

Lost with Redis: what has drifted before. What differs then is found again, as seen for the first time, and
self-heal does not remember whom it waits for. Nothing that is deployed rests on any of it.

What the web tier may read has no values of fields: it asks nobody who he is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final, cast

import orjson
import redis

from mooring.drift import Change, Done, Drift, What
from mooring.errors import StoreGarbled
from mooring.keys import AppKey, ObjectKey
from mooring.store.clock import moment
from mooring.store.connection import VIEW, healed

_SHOWN: Final = f"{VIEW}drifts"
_KEPT: Final = "mooring:drifts"
_LOOKED: Final = "mooring:drifts:looked"
_PUT_BACK: Final = "mooring:drifts:putback:"
_DAY_S: Final = 86_400


class Drifts:
    """One Redis hash for all apps each: the drifts, the same without values, and when each was looked at."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def load(self, app: AppKey) -> tuple[tuple[Drift, ...], float, dict[ObjectKey, tuple[int, float]]]:
        """The drifts of `app`, the newest first; when all of its objects were last looked at (0: unknown); of
        objects that were put back, how often in a row and when last. One round trip; what cannot be read is
        left out."""
        keys = [_KEPT, _LOOKED, _put_back(app)]

        def read() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hget(_KEPT, str(app))
            pipe.hget(_LOOKED, str(app))
            pipe.hgetall(_put_back(app))
            return pipe.execute()

        kept, looked, put_back = healed(self._redis, keys, read)
        return _read(kept), _number(looked), _counts(put_back)

    def save(self, app: AppKey, drifts: Sequence[Drift]) -> None:
        """Keep `drifts` as those of `app`, and show them."""
        bare = [replace(one, changes=tuple(map(_without_values, one.changes))) for one in drifts]

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(_KEPT, str(app), _written(drifts))
            pipe.hset(_SHOWN, str(app), _written(bare))
            return pipe.execute()

        healed(self._redis, [_KEPT, _SHOWN], write)

    def looked(self, apps: Iterable[AppKey], at: float) -> None:
        """All objects of `apps` were looked at, and those that have not drifted were as Git wants them, at
        `at`."""
        mapping = {str(app): repr(at) for app in apps}
        if mapping:
            healed(self._redis, [_LOOKED], lambda: self._redis.hset(_LOOKED, mapping=mapping))  # type: ignore[arg-type]

    def looked_at(self, app: AppKey, at: float) -> tuple[Drift, ...]:
        """As `looked`, of `app` alone; gives its drifts as `of`, in the same round trip."""

        def ask() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(_LOOKED, str(app), repr(at))
            pipe.hget(_KEPT, str(app))
            return pipe.execute()

        return _read(healed(self._redis, [_KEPT, _LOOKED], ask)[1])

    def put_back(self, app: AppKey, tries: Mapping[ObjectKey, tuple[int, float]]) -> None:
        """Remember how often these were put back in a row, and when last. Forgotten after a day without."""
        if not tries:
            return
        key = _put_back(app)
        mapping = {str(one): orjson.dumps(counted) for one, counted in tries.items()}

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(key, mapping=mapping)  # type: ignore[arg-type]
            pipe.expire(key, _DAY_S)
            return pipe.execute()

        healed(self._redis, [key], write)

    def forget(self, app: AppKey) -> None:
        """Forget all of `app`: another one of its name has nothing to do with it."""
        keys = [_KEPT, _SHOWN, _LOOKED]

        def delete() -> None:
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hdel(key, str(app))
            pipe.delete(_put_back(app))
            pipe.execute()

        healed(self._redis, keys, delete)

    def keep_only(self, apps: set[AppKey]) -> None:
        """Forget those of applications that are no more."""
        wanted = {str(app).encode() for app in apps}
        for key in (_KEPT, _SHOWN, _LOOKED):
            known = healed(self._redis, [key], lambda key=key: cast("list[bytes]", self._redis.hkeys(key)))  # type: ignore[misc]
            if gone := [field for field in known if field not in wanted]:
                self._redis.hdel(key, *gone)

    def of(self, app: AppKey) -> tuple[Drift, ...]:
        """The drifts of `app`, the newest first, with values: for whoever may read all that is in Redis."""
        return self._of(_KEPT, app)

    def shown(self, app: AppKey) -> tuple[Drift, ...]:
        """The same without values, as the web tier may read them."""
        return self._of(_SHOWN, app)

    def _of(self, key: str, app: AppKey) -> tuple[Drift, ...]:
        try:
            return _read(cast("bytes | None", self._redis.hget(key, str(app))))
        except StoreGarbled:  # the next worker that has something to say mends it
            return ()


def as_json(one: Drift, *, values: bool) -> dict[str, Any]:
    """A drift for programs. Names of managers are what they call themselves."""
    return {
        "group": one.key.group,
        "kind": one.key.kind,
        "namespace": one.key.namespace,
        "name": one.key.name,
        "what": one.what.value,
        "changes": [_change_json(one, change, values=values) for change in one.changes],
        "moreChanges": one.more,
        "lastInSyncAt": one.since,
        "seenAt": one.seen,
        "lastSeenAt": one.last,
        "endedAt": one.ended,
        "times": one.times,
        "done": one.done.value,
        "why": one.why,
    }


def _change_json(one: Drift, change: Change, *, values: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"field": change.field}
    if values:
        told |= {"from": change.wanted, "to": change.found}
    return told | {
        "manager": change.manager or None,
        "operation": change.operation,
        "subresource": change.subresource,
        "when": one.when(change),
    }


def _without_values(change: Change) -> Change:
    return replace(change, wanted=None, found=None)


def _put_back(app: AppKey) -> str:
    return f"{_PUT_BACK}{app}"


def _written(drifts: Sequence[Drift]) -> bytes:
    return orjson.dumps([asdict(one) | {"key": str(one.key)} for one in drifts])


def _read(raw: bytes | None) -> tuple[Drift, ...]:
    """What cannot be read is left out; the web tier may write where this is shown, so each field is what it
    says it is."""
    found: list[Drift] = []
    with suppress(ValueError):
        data = orjson.loads(raw or b"[]")
        for item in data if isinstance(data, list) else ():
            with suppress(KeyError, ValueError, TypeError, AttributeError):
                found.append(_drift(item))
    return tuple(found)


def _drift(item: dict[str, Any]) -> Drift:
    return Drift(
        key=ObjectKey.parse(item["key"]),
        what=What(item["what"]),
        changes=tuple(_change(change) for change in item["changes"]),
        more=int(item["more"]),
        since=moment(item["since"]),
        seen=moment(item["seen"]),
        last=moment(item["last"]),
        done=Done(item["done"]),
        why=str(item["why"]),
        times=int(item["times"]),
        ended=moment(item["ended"]),
    )


def _change(item: dict[str, Any]) -> Change:
    wanted, found = (None if item[name] is None else str(item[name]) for name in ("wanted", "found"))
    told = (str(item[name]) for name in ("manager", "operation", "subresource", "time"))
    return Change(str(item["field"]), wanted, found, *told)


def _number(raw: bytes | None) -> float:
    with suppress(ValueError):
        return moment(raw or b"0")
    return 0.0


def _counts(raw: Mapping[bytes, bytes]) -> dict[ObjectKey, tuple[int, float]]:
    found: dict[ObjectKey, tuple[int, float]] = {}
    for field, value in raw.items():
        with suppress(ValueError, TypeError):
            count, last = orjson.loads(value)
            found[ObjectKey.parse(field.decode())] = (int(count), moment(last))
    return found
