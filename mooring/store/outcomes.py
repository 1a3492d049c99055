"""How actions ended, for whoever asked for them and waits; and that none is run twice.

Celery hands a task out again when its worker has died with it. A second restart would do no harm, a second
Job would: what was begun is not begun again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import orjson
import redis

_KEPT_S = 86_400
_LONGEST = 200  # characters of an id, which whoever sends a task may choose
_LOST = "its worker died with it, and nobody knows how far it came: look at the object before you ask again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """By the titles of objects what was `done` to them, and why it `failed` on others; `error` where it was
    run on none."""

    done: Mapping[str, str]
    failed: Mapping[str, str]
    error: str = ""


class Outcomes:
    """One Redis key per action, by the id of its task."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(self, id: str) -> bool:
        """Whether to run it: not if somebody has begun that before, of which the end is told here."""
        if self._redis.set(_key(id), b"", nx=True, ex=_KEPT_S):
            return True
        if self.of(id) is None:
            self.tell(id, Outcome({}, {}, _LOST))
        return False

    def tell(self, id: str, outcome: Outcome) -> None:
        """How it ended."""
        self._redis.set(_key(id), orjson.dumps(asdict(outcome)), ex=_KEPT_S)

    def of(self, id: str) -> Outcome | None:
        """How it ended; None until that is told."""
        told = cast("bytes | None", self._redis.get(_key(id)))
        try:
            return Outcome(**orjson.loads(told)) if told else None
        except (orjson.JSONDecodeError, TypeError):  # nobody of ours has written that
            return None


def _key(id: str) -> str:
    return f"mooring:action:{id[:_LONGEST]}"
