"""The ledger: every delivery we accepted, in Redis, before its host is told so.

A delivery is a hash with what it said and how far it came, a list with its time line, and an entry of
a stream, whose id is the delivery's own. Two sorted sets say which are unfinished (scored by the time
at which somebody must look after them) and which are finished (scored by when). Only finished ones are
ever trimmed.

    received ──▶ enqueued ──▶ running ──▶ succeeded | failed
        ▲                                       │
        └────────────────── reopen ─────────────┘

Times inside Redis are Redis' own, so that all processes share one clock.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
import redis

from mooring.delivery import Delivery, DeliveryState, Event, Stage
from mooring.errors import StoreGarbled
from mooring.names import INTAKE
from mooring.store.connection import LEDGER, QUEUE, batches

ENQUEUE_WITHIN_S: Final = 5

ID_PLACE: Final = "@delivery@"
_DELIVERIES: Final = LEDGER + "deliveries"
_SEEN: Final = LEDGER + "seen"
_UNFINISHED: Final = LEDGER + "unfinished"
_FINISHED: Final = LEDGER + "finished"
_KINDS: Final = {_DELIVERIES: b"stream", _SEEN: b"hash", _UNFINISHED: b"zset", _FINISHED: b"zset"}
_ID: Final = re.compile(rb"\d{1,20}-\d{1,20}\Z")  # of an entry of a stream
_UNREADABLE: Final = "given up: what the ledger holds of it cannot be read; push again"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The delivery is in the ledger, and the caller is to enqueue it."""

    id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The host sent this delivery before, and the first is on its way or has succeeded."""

    id: str


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing was written: as many deliveries as allowed are unfinished."""

    unfinished: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery as a worker needs it to begin with it."""

    id: str
    event: Event
    received_at: float


@dataclass(frozen=True, slots=True)
class Begun:
    """Deliveries that a worker has taken, the one it asked for first.

    `attempt` is how often that one was taken, from 1, so that a delivery that kills its workers can be
    given up; 0 when it is not to be worked on: unknown, finished, handed over or held by another worker.
    """

    attempt: int
    deliveries: tuple[Waiting, ...]


class Ledger:
    """The deliveries kept in `client`. Methods that take ids cost one round trip for hundreds of them.

    All methods raise StoreUnavailable when Redis does not answer. The web tier may write here, so workers
    read it as what a stranger wrote: what makes no sense is dropped, and holds up nothing else.
    """

    def __init__(
        self, client: redis.Redis, *, max_unfinished: int = 10_000, keep_finished: int = 10_000
    ) -> None:
        self._redis = client
        self._max_unfinished = max_unfinished
        self._keep_finished = keep_finished
        self._record = client.register_script(_script("record"))
        self._mark_enqueued = client.register_script(_script("mark_enqueued"))
        self._begin = client.register_script(_script("begin"))
        self._put_off = client.register_script(_script("put_off"))
        self._hold = client.register_script(_script("hold"))
        self._stages = client.register_script(_script("stages"))
        self._finish = client.register_script(_script("finish"))
        self._reopen = client.register_script(_script("reopen"))

    def record(self, event: Event, now: float, task: str = "") -> Recorded | Duplicate | Full:
        """Write `event`, received at `now`, unless its host sent it before or the ledger is full.

        `task` is the message that goes on the queue in the same step, with `ID_PLACE` for the id; without
        one, beat finds the delivery and enqueues it within seconds.

        Two deliveries are the same when host and the host's id of them are. A delivery that failed may
        be sent again and is then a new one. The time line begins with the stage "received", from `now`
        until just before the write.
        """
        ended = time.time()
        received = Stage("received", at=ended, took_ms=round((ended - now) * 1000, 2))
        answer, value = self._record(
            [_DELIVERIES, _SEEN, _UNFINISHED, QUEUE + INTAKE],
            [
                LEDGER,
                f"{event.host}:{event.delivery}",
                orjson.dumps(event),
                now,
                self._max_unfinished,
                ENQUEUE_WITHIN_S,
                orjson.dumps(received),
                task,
                ID_PLACE,
            ],
        )
        match answer:
            case b"recorded":
                return Recorded(value.decode())
            case b"duplicate":
                return Duplicate(value.decode())
            case _:
                return Full(int(value))

    def mark_enqueued(self, id: str, *stages: Stage) -> None:
        """Say that a task for the delivery is on the queue, and add `stages` to its time line.

        Changes nothing when a worker holds the delivery already or it is finished.
        """
        self._mark_enqueued([_delivery(id), _stages(id), _UNFINISHED], [id, *map(orjson.dumps, stages)])

    def begin(self, id: str, worker: str, lease_s: float, more: int = 0) -> Begun:
        """Take the delivery for `worker` until `lease_s` seconds from now.

        With a delivery that nobody has tried before come up to `more` that were received right after it and
        wait untried: a burst is then looked at in one go, and their own tasks find nothing left to do.
        """
        try:
            attempt, *told = cast(
                "list[Any]", self._begin([_DELIVERIES, _UNFINISHED], [LEDGER, id, worker, lease_s, more])
            )
        except StoreGarbled:
            self.discard(id)
            return Begun(0, ())
        waiting, broken = list[Waiting](), list[str]()
        for each, event, received_at in zip(told[::3], told[1::3], told[2::3], strict=True):
            try:
                waiting.append(Waiting(each.decode(), _event(event), _seconds(received_at)))
            except (KeyError, TypeError, ValueError):
                broken.append(each.decode())
        self.finish(broken, False, _UNREADABLE)
        return Begun(int(attempt), tuple(waiting))

    def discard(self, id: str) -> None:
        """Forget a delivery that is none."""
        self._redis.delete(_delivery(id), _stages(id))
        self._redis.zrem(_UNFINISHED, id)

    def renew(self, id: str, worker: str, lease_s: float) -> bool:
        """Extend the lease to `lease_s` seconds from now. False when it is not `worker`'s any more."""
        return bool(self._hold([_UNFINISHED], [LEDGER, worker, lease_s, id]))

    def put_off(self, ids: Sequence[str], worker: str, seconds: float) -> None:
        """Give deliveries back that `worker` could not work on, to be enqueued again in `seconds`.

        That counts as no attempt: nobody died of them.
        """
        for some in batches(ids):
            self._put_off([_UNFINISHED], [LEDGER, worker, seconds, *some])

    def hand_over(self, ids: Sequence[str], worker: str) -> int:
        """Keep deliveries running without a lease: tasks and waiting steps of their own finish them.

        From here on those who hold the work look after them. Gives how many were still `worker`'s.
        """
        return sum(int(self._hold([_UNFINISHED], [LEDGER, worker, "inf", *some])) for some in batches(ids))

    def stage(self, id: str, stage: Stage) -> None:
        """Add `stage` to the delivery's time line."""
        self.stages([(id, stage)])

    def stages(self, told: Iterable[tuple[str, Stage]]) -> None:
        """Add stages to the time lines of deliveries, given by their ids, in this order."""
        lines: dict[Stage, bytes] = {}  # mostly one, told to all deliveries of a burst
        for some in batches(list(told)):
            args: list[str | bytes] = [LEDGER]
            for id, stage in some:
                if stage not in lines:
                    lines[stage] = orjson.dumps(stage)
                args += (id, lines[stage])
            self._stages([], args)

    def finish(self, ids: Sequence[str], succeeded: bool, outcome: str) -> None:
        """Close deliveries with one line on how they ended. The first end counts, later ones do not."""
        state = DeliveryState.SUCCEEDED if succeeded else DeliveryState.FAILED
        keys = [_DELIVERIES, _SEEN, _UNFINISHED, _FINISHED]
        for some in batches(ids):
            self._finish(keys, [LEDGER, state.value, outcome, self._keep_finished, *some])

    def reopen(self, id: str) -> bool:
        """Make a finished delivery a received one, for a replay; the caller enqueues it then.

        False when it is unknown or not finished.
        """
        return bool(
            self._reopen([_delivery(id), _stages(id), _UNFINISHED, _FINISHED], [id, ENQUEUE_WITHIN_S])
        )

    def get(self, id: str) -> Delivery | None:
        """The delivery, or None when there is none of that id (any more)."""
        return next(iter(self._read([id])), None)

    def recent(self, limit: int) -> tuple[Delivery, ...]:
        """The last `limit` deliveries, newest first."""
        entries = cast("list[tuple[bytes, Any]]", self._redis.xrevrange(_DELIVERIES, count=limit))
        return self._read([id.decode() for id, _ in entries])

    def mend(self) -> None:
        """Delete what stands in the place of our keys and is of another kind: nothing could be recorded."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in _KINDS:
            pipeline.type(key)
        found = zip(_KINDS.items(), pipeline.execute(), strict=True)
        if wrong := [key for (key, kind), there in found if there not in (kind, b"none")]:
            self._redis.delete(*wrong)

    def overdue(self, now: float, limit: int = 1000) -> tuple[str, ...]:
        """Ids of deliveries that somebody must enqueue again, the longest overdue first.

        Those not marked as enqueued within 5 s, and those begun by a worker whose lease has ended;
        never one that merely waits.
        """
        ids = cast("list[bytes]", self._redis.zrangebyscore(_UNFINISHED, "-inf", now, start=0, num=limit))
        if nonsense := [id for id in ids if not _ID.match(id)]:
            self._redis.zrem(_UNFINISHED, *nonsense)
        return tuple(id.decode() for id in ids if _ID.match(id))

    def without_end(self) -> tuple[str, ...]:
        """Ids of all deliveries without an end; how many there can be is bounded."""
        ids = cast("list[bytes]", self._redis.zrange(_UNFINISHED, 0, -1))
        return tuple(id.decode() for id in ids if _ID.match(id))

    def stranded(self, before: float, limit: int = 100) -> tuple[str, ...]:
        """Ids of deliveries received before `before` (seconds since the epoch) whose task is said to wait.

        Only when the queue is empty does that mean that they are lost: a worker had reserved the task
        and was killed before it began. Redis would give it to another worker only after 15 minutes.
        """
        waiting = cast(
            "list[bytes]", self._redis.zrange(_UNFINISHED, "+inf", "+inf", byscore=True, offset=0, num=1000)
        )
        told = [id for id in waiting if _ID.match(id) and int(id.partition(b"-")[0]) < before * 1000]
        ids = [id.decode() for id in told[:limit]]
        pipeline = self._redis.pipeline(transaction=False)
        for id in ids:
            pipeline.hget(_delivery(id), "state")
        states = pipeline.execute(raise_on_error=False) if ids else []
        return tuple(id for id, state in zip(ids, states, strict=True) if state == b"enqueued")

    def unfinished(self) -> int:
        """How many deliveries are not finished."""
        return self._redis.zcard(_UNFINISHED)

    def _read(self, ids: list[str]) -> tuple[Delivery, ...]:
        pipeline = self._redis.pipeline(transaction=False)
        for id in ids:
            pipeline.hgetall(_delivery(id))
            pipeline.lrange(_stages(id), 0, -1)
        answers = pipeline.execute(raise_on_error=False)
        found = (
            _parse(id, fields, lines)
            for id, fields, lines in zip(ids, answers[::2], answers[1::2], strict=True)
            if fields and isinstance(fields, dict) and isinstance(lines, list)
        )
        return tuple(delivery for delivery in found if delivery is not None)


def _parse(id: str, fields: dict[bytes, bytes], lines: list[bytes]) -> Delivery | None:
    """None for what cannot be read."""
    try:
        return Delivery(
            id=id,
            event=_event(fields[b"event"]),
            state=DeliveryState(fields[b"state"].decode()),
            received_at=_seconds(fields[b"received_at"]),
            outcome=fields.get(b"outcome", b"").decode(),
            stages=tuple(_stage(orjson.loads(line)) for line in lines),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _event(text: bytes) -> Event:
    return Event.from_json(orjson.loads(text))


def _stage(data: Any) -> Stage:
    at, took_ms = _seconds(data["at"]), _seconds(data["took_ms"])
    return Stage(str(data["name"]), at, took_ms, str(data["app"]), str(data["note"]))


def _seconds(value: Any) -> float:
    found = float(value)
    if not math.isfinite(found) or abs(found) > 1e11:
        raise ValueError("no time that a clock shows")
    return found


def _delivery(id: str) -> str:
    return f"{LEDGER}delivery:{id}"


def _stages(id: str) -> str:
    return f"{LEDGER}stages:{id}"


def _script(name: str) -> str:
    return (Path(__file__).parent / "lua" / f"ledger_{name}.lua").read_text(encoding="utf-8")
