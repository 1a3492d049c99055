"""When each repository is asked what is new, and how that went the last times.

A cache: what is lost is asked for once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final, cast

import orjson
import redis

from mooring.store.connection import healed

POLLS: Final = "mooring:polls"

# What is to be asked at once (due at 0) was wanted while the answer was awaited: it may be otherwise by now.
_ANSWER: Final = """
for i = 1, #ARGV, 2 do
    local known, said = pcall(cjson.decode, redis.call("HGET", KEYS[1], ARGV[i]) or "null")
    if not (known and type(said) == "table" and said[1] == 0) then
        redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1])
    end
end
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """`due` is when it is asked next, in seconds since the epoch; `failures` how often it could not be in a
    row, and `why` what the last of these said."""

    due: float
    failures: int = 0
    why: str = ""


class Polls:
    """One Redis hash: by repository, or host."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._answer = client.register_script(_ANSWER)

    def all(self) -> dict[str, Asked]:
        """All that is known. What cannot be read is not."""
        raw = cast("dict[bytes, bytes]", healed(self._redis, [POLLS], lambda: self._redis.hgetall(POLLS)))
        found: dict[str, Asked] = {}
        for key, value in raw.items():
            try:
                found[key.decode()] = _read(orjson.loads(value))
            except (ValueError, TypeError):
                continue
        return found

    def put(self, asked: Mapping[str, Asked]) -> None:
        """Remember these."""
        if asked:
            self._redis.hset(POLLS, mapping={key: orjson.dumps(astuple(one)) for key, one in asked.items()})

    def answer(self, asked: Mapping[str, Asked]) -> None:
        """Remember these, but of what is due at 0 by now: that is asked once more."""
        if asked:
            args = [part for key, one in asked.items() for part in (key, orjson.dumps(astuple(one)))]
            self._answer(keys=[POLLS], args=args)

    def drop(self, keys: Collection[str]) -> None:
        """Forget these."""
        if keys:
            self._redis.hdel(POLLS, *keys)


def _read(value: Any) -> Asked:
    due, failures, why = value
    return Asked(float(due), int(failures), str(why))
