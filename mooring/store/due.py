"""Steps that wait for a time: retries with back-off, health not yet settled, patches to be coalesced.

A sorted set of due times, never Celery's ETA: an ETA sits in one worker's memory and dies with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from mooring.store.connection import healed

DUE = "mooring:due"

_TAKE_DUE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, tonumber(ARGV[2]))
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A task to be sent when its time comes: `task` by name, with text arguments, to `queue`.

    `shown` is what people who watch the queue see as its arguments and keyword arguments, "" where they see
    them as they are. It is no part of which step this is, and does not wait with it: what a step is about
    may be different by then.
    """

    task: str
    args: tuple[str, ...]
    queue: str
    shown: tuple[str, str] = field(default=("", ""), compare=False)


class DueSteps:
    """The steps waiting in Redis. Equal steps are one, whose time is the last one given."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._take = client.register_script(_TAKE_DUE)

    def put(self, step: Step, at: float, *, or_sooner: bool = False) -> None:
        """Have `step` sent at `at` (seconds since the epoch).

        `or_sooner`: when it waits already, for an earlier time, it keeps that. So what is asked for again
        and again is done in the end.
        """
        self._redis.zadd(DUE, {_member(step): at}, lt=or_sooner)

    def put_instead(self, step: Step, at: float, of: Sequence[Step]) -> None:
        """Have `step` sent at `at`, and none of those `of` that it takes the place of: in one round trip."""

        def write() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            pipe.zrem(DUE, *map(_member, of))
            pipe.zadd(DUE, {_member(step): at})
            return pipe.execute()

        healed(self._redis, [DUE], write)

    def drop(self, *steps: Step) -> None:
        """Forget steps that are not needed any more."""
        healed(self._redis, [DUE], lambda: self._redis.zrem(DUE, *map(_member, steps)))

    def take(self, now: float, limit: int = 500) -> tuple[Step, ...]:
        """The steps due by `now`, off the set. A step lost here is found again as an orphaned turn."""
        taken = cast("list[bytes]", healed(self._redis, [DUE], lambda: self._take([DUE], [now, limit])))
        steps = []
        for member in taken:
            try:
                task, args, queue = json.loads(member)
                steps.append(Step(str(task), tuple(map(str, args)), str(queue)))
            except (TypeError, ValueError):
                continue  # nobody of ours put it there
        return tuple(steps)


def _member(step: Step) -> str:
    return json.dumps([step.task, list(step.args), step.queue])
