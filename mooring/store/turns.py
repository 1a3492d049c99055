"""Turns: at most one worker at a time on one thing, and nothing newer is ever forgotten.

A thing is an application, or a repository at a revision. Whoever wants work done on it says so with
`want`, which never waits; a worker gets the turn with `take` and gives it back with `release`. What is
wanted and who holds the turn are compared in one Lua script, so a wish that arrives while a worker is
busy is either seen by that worker's release or starts a turn of its own, never lost between the two.
A burst of 200 wishes therefore costs two turns: the one that runs, and one more for all the others.

The turn only saves work. What may be written is decided by the API server (see workers/apply.py), so a
worker that loses its turn without noticing can do no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.commands.core import Script

from mooring.errors import StoreGarbled
from mooring.store.connection import healed
from mooring.store.waiters import waiting_for

PREFIX = "mooring:turn:"
OPEN = "mooring:turns"

# KEYS: the turn's hash, its wishes, the set of open turns. Times are milliseconds since the epoch.
# ARGV: name, now, in the background?, standing?, number of wishes, wish and value of each, delivery…
_WANT = """
local now, background, standing = tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local wishes = 5 + 2 * tonumber(ARGV[5])
if standing then
  local turn = redis.call('HMGET', KEYS[1], 'wanted', 'done')
  local news = tonumber(turn[1] or '0') <= tonumber(turn[2] or '0')
  for i = 6, wishes, 2 do news = news or redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[i + 1] end
  if not news then return 0 end
end
redis.call('HINCRBY', KEYS[1], 'wanted', 1)
redis.call('PERSIST', KEYS[1])
for i = 6, wishes, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('SADD', KEYS[3], ARGV[1])
for i = wishes + 1, #ARGV do redis.call('RPUSH', KEYS[4], ARGV[i]) end
local held = tonumber(redis.call('HGET', KEYS[1], 'expires') or '0') > now
local queued = redis.call('HEXISTS', KEYS[1], 'queued') == 1
local patient = redis.call('HEXISTS', KEYS[1], 'background') == 1
if held or queued and (background or not patient) then return 0 end
redis.call('HSET', KEYS[1], 'queued', now)
if background then redis.call('HSET', KEYS[1], 'background', 1)
else redis.call('HDEL', KEYS[1], 'background') end
return 1
"""

_TAKE = """
local now, token, ttl = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local turn = redis.call('HMGET', KEYS[1], 'wanted', 'done', 'expires')
redis.call('HDEL', KEYS[1], 'queued', 'background')
if tonumber(turn[3] or '0') > now then return {} end
local wanted, done = tonumber(turn[1] or '0'), tonumber(turn[2] or '0')
if wanted <= done then redis.call('SREM', KEYS[3], ARGV[4]) return {} end
redis.call('HSET', KEYS[1], 'holder', token, 'expires', now + ttl)
redis.call('HDEL', KEYS[1], 'parked')
local tries = redis.call('HINCRBY', KEYS[1], 'tries', 1)
local waits = tonumber(redis.call('HGET', KEYS[1], 'waits') or '0')
return {wanted, redis.call('HGETALL', KEYS[2]), redis.call('LRANGE', KEYS[4], 0, -1), tries, waits}
"""

_RENEW = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'expires', tonumber(ARGV[1]) + tonumber(ARGV[3]))
return 1
"""

# A turn given back with its work done forgets the wishes it served; with newer ones, or not done, the
# wishes stay and the caller enqueues again. KEYS[5]: who waits for its end; whoever comes to that later sees
# that it has ended.
_RELEASE = """
local awaited = redis.call('EXISTS', KEYS[5])
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return {0, awaited} end
-- The holder lived to give it back: whatever is counted as a death was none.
redis.call('HDEL', KEYS[1], 'holder', 'expires', 'tries')
local seq, told, again = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local done = tonumber(redis.call('HGET', KEYS[1], 'done') or '0')
local wanted = tonumber(redis.call('HGET', KEYS[1], 'wanted') or '0')
if told > 0 then redis.call('LTRIM', KEYS[4], told, -1) end
if ARGV[7] == '1' then
  if seq > done then redis.call('HSET', KEYS[1], 'done', seq) done = seq end
  redis.call('HDEL', KEYS[1], 'parked', 'waits')
elseif again == 0 then
  redis.call('HINCRBY', KEYS[1], 'waits', 1)
end
if wanted > done then
  if again == 0 and wanted <= seq then return {0, awaited} end
  redis.call('HSET', KEYS[1], 'queued', tonumber(ARGV[1]))
  return {1, awaited}
end
redis.call('DEL', KEYS[2])
redis.call('SREM', KEYS[3], ARGV[5])
redis.call('EXPIRE', KEYS[1], 86400)
return {0, awaited}
"""

# The wish is not done, and not newer than it was: whoever comes in between is not in its way.
_LEAVE = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'holder', 'expires', 'tries')
redis.call('HSET', KEYS[1], 'parked', ARGV[4])
redis.call('HSET', KEYS[2], unpack(ARGV, 5))
if tonumber(redis.call('HGET', KEYS[1], 'wanted') or '0') <= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'queued', tonumber(ARGV[1]))
return 1
"""

# Left by a dead worker, or its task never reached a queue. `patience` keeps a task that merely waits
# from being sent twice (twice would do no harm: the second finds nothing to do).
_ORPHANS = """
local now, patience, idle = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4] == '1'
local orphans = {}
local function number(text) return tonumber(text or '0') or 0 end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local key = ARGV[3] .. name
  -- What is no turn counts as one that nobody wants: one of them must not be in the way of all others.
  local turn = redis.pcall('HMGET', key, 'expires', 'queued', 'wanted', 'done', 'parked')
  local expires, queued = number(turn[1]), number(turn[2])
  if number(turn[3]) <= number(turn[4]) then
    redis.call('SREM', KEYS[3], name)
  elseif expires > 0 and expires < now
    or idle and expires == 0 and queued + patience < now and number(turn[5]) < now then
    redis.call('HDEL', key, 'holder', 'expires', 'background')
    redis.call('HSET', key, 'queued', now)
    orphans[#orphans + 1] = name
  end
end
return orphans
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to work on `name`, until `release` or until it has not been renewed for its lease."""

    name: str
    token: str
    seq: int
    wishes: Mapping[str, str]  # what is wanted; later wishes have replaced earlier ones field by field
    deliveries: tuple[str, ...]  # the deliveries that this turn answers
    tries: int  # how often it was taken since it was last given back, counted before the work begins
    waits: int  # how often it was put off since it was last done
    sure_until: int  # in milliseconds since the epoch: before that it is nobody else's

    @property
    def first(self) -> bool:
        """Whether nobody has worked on it before, as far as Redis remembers."""
        return (self.seq, self.tries, self.waits) == (1, 1, 0)


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left to do when a turn was given back with its work done: `again`, newer work is wanted,
    enqueue a task for it; `awaited`, somebody waits for its end (mooring/store/waiters.py)."""

    again: bool
    awaited: bool


class Turns:
    """Turns kept in Redis. `clock` gives seconds since the epoch."""

    def __init__(self, client: redis.Redis, clock: Callable[[], float], lease_s: float = 8.0) -> None:
        self._redis = client
        self._clock = clock
        self._lease_ms = int(lease_s * 1000)
        self._want = client.register_script(_WANT)
        self._take = client.register_script(_TAKE)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)
        self._leave = client.register_script(_LEAVE)
        self._orphans = client.register_script(_ORPHANS)

    def want(
        self,
        name: str,
        wishes: Mapping[str, str],
        deliveries: Sequence[str] = (),
        *,
        background: bool = False,
        standing: bool = False,
    ) -> bool:
        """Ask for work on `name`, which answers `deliveries`. True: the caller enqueues the task that takes
        the turn.

        False: a task is queued already, or the holder will see the wish when it gives the turn back.

        `background`: the task goes on a queue whose work has time. Who is in a hurry does not wait for that
        one, and sends another. `standing`: the wish is written somewhere and seen again and again; while it
        is known it is none, so that it neither wakes a turn that was put off nor counts as a newer one.
        """
        flat: list[str] = []
        for field, value in wishes.items():
            flat += [field, value]
        how = [name, self._now(), int(background), int(standing), len(wishes)]
        return bool(self._ask(self._want, name, [*how, *flat, *deliveries]))

    def take(self, name: str) -> Turn | None:
        """The turn, or None when somebody holds it or nothing is wanted any more."""
        token, now = secrets.token_hex(8), self._now()
        answer = cast("list[Any]", self._ask(self._take, name, [now, token, self._lease_ms, name]))
        if not answer:
            return None
        seq, flat, deliveries, tries, waits = answer
        texts = [item.decode(errors="replace") for item in flat]
        wishes = dict(zip(texts[::2], texts[1::2], strict=True))
        told = tuple(delivery.decode(errors="replace") for delivery in deliveries)
        sure_until = now + self._lease_ms // 2
        return Turn(name, token, int(seq), wishes, told, int(tries), int(waits), sure_until)

    def renew(self, turn: Turn) -> bool:
        """Hold the turn for another lease. False: it is lost."""
        return bool(self._ask(self._renew, turn.name, [self._now(), turn.token, self._lease_ms]))

    def holds(self, turn: Turn) -> bool:
        """Whether the turn is held still. Where the first half of its lease is not over, nobody else can have
        it, and Redis is not asked; else it is held for another lease."""
        return self._now() < turn.sure_until or self.renew(turn)

    def release(self, turn: Turn, *, done: bool, again: bool = True) -> bool:
        """Give the turn back. True: newer work is wanted (or this was not `done`), enqueue a task for it.

        `again=False` for a caller that has put the next try among the due steps instead: True then only
        when something newer is wanted, which does not wait for that.
        """
        return self._give_back(turn, done=done, again=again).again

    def end(self, turn: Turn) -> Ended:
        """Give the turn back with its work done."""
        return self._give_back(turn, done=True, again=True)

    def _give_back(self, turn: Turn, *, done: bool, again: bool) -> Ended:
        told = len(turn.deliveries) if done else 0
        args: list[str | int] = [self._now(), turn.token, turn.seq, told, turn.name, int(again), int(done)]
        left = cast("list[int]", self._ask(self._release, turn.name, args, waiting_for(turn.name)))
        return Ended(*map(bool, left))

    def leave(self, turn: Turn, wishes: Mapping[str, str], until: float) -> bool:
        """Give the turn back half done, with `wishes` for who goes on: the caller sends a task for that.
        It is no orphan before `until` (seconds since the epoch).

        True: something newer is wanted, which does not wait for that: enqueue a task now.
        """
        flat = [text for wish in wishes.items() for text in wish]
        args: list[str | int] = [self._now(), turn.token, turn.seq, int(until * 1000), *flat]
        return bool(self._ask(self._leave, turn.name, args))

    def park(self, name: str, until: float) -> None:
        """Not an orphan before `until` (seconds since the epoch): its next try is among the due steps.

        Whoever takes the turn earlier ends that: its death is to be seen by its lease.
        """
        until_ms = str(int(until * 1000))
        healed(self._redis, [PREFIX + name], lambda: self._redis.hset(PREFIX + name, "parked", until_ms))

    def wanted(self, name: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What is wished for `name` as of now, and the deliveries that wait for it; nothing is taken."""
        _, wishes, _, deliveries = self._keys(name)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(wishes)
        pipeline.lrange(deliveries, 0, -1)
        found, told = cast("tuple[dict[bytes, bytes], list[bytes]]", pipeline.execute())
        fields = {
            key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()
        }
        return fields, tuple(delivery.decode(errors="replace") for delivery in told)

    def any_open(self, names: Sequence[str]) -> bool:
        """Whether anything is wanted of one of these, and not done yet."""
        found = healed(self._redis, [OPEN], lambda: self._redis.smismember(OPEN, list(names)))
        return any(cast("list[int]", found))

    def held(self, names: Sequence[str]) -> frozenset[str]:
        """Those of these on which somebody works right now, in one round trip."""
        keys = [PREFIX + name for name in names]

        def ask() -> list[bytes | None]:
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hget(key, "expires")
            return cast("list[bytes | None]", pipeline.execute())

        now = self._now()
        until = healed(self._redis, keys, ask) if keys else []
        return frozenset(
            name for name, at in zip(names, until, strict=True) if at and at.isdigit() and int(at) > now
        )

    def orphans(self, *, idle: bool = True, patience_s: float = 10.0) -> tuple[str, ...]:
        """Turns that nobody holds or waits for although work is wanted; each is to be enqueued once.

        Those of holders that died, always. Those whose task was lost on its way only when the queues are
        `idle`: while they are not, a task merely waits.
        """
        args: list[str | int] = [self._now(), int(patience_s * 1000), PREFIX, int(idle)]
        found = healed(self._redis, [OPEN], lambda: self._orphans([OPEN, OPEN, OPEN], args))
        return tuple(name.decode(errors="replace") for name in cast("list[bytes]", found))

    def _ask(self, script: Script, name: str, args: list[Any], *beside: str) -> Any:
        """A turn that is none is forgotten and begun anew: the poll wants it again. `beside`: keys that are
        none of the turn's own."""
        keys = self._keys(name)
        try:
            return script([*keys, *beside], args)
        except StoreGarbled:
            if self._redis.type(OPEN) not in (b"set", b"none"):
                self._redis.delete(OPEN)  # no reason to forget this turn too
            own = [key for key in keys if key != OPEN]
            return healed(self._redis, own, lambda: script([*keys, *beside], args))

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _keys(self, name: str) -> list[str]:
        key = PREFIX + name
        return [key, f"{key}:wishes", OPEN, f"{key}:deliveries"]
