"""What a delivery still waits for: it is finished when its last part is.

A set per delivery, so that telling twice (every stage may run twice) counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from mooring.store.connection import batches

PREFIX = "mooring:parts:"  # not in the ledger: the web tier has no business here
_KEEP_S = 7 * 86400

# ARGV: prefix, seconds to keep, number of parts, part…, delivery…
_ADD = """
local first = 4 + tonumber(ARGV[3])
for i = first, #ARGV do
  redis.call('SADD', ARGV[1] .. ARGV[i], unpack(ARGV, 4, first - 1))
  redis.call('EXPIRE', ARGV[1] .. ARGV[i], ARGV[2])
end
"""

# ARGV: prefix, seconds to keep, part, failure, delivery…   Gives each that waits no more, and its failures.
_DONE = """
local ended = {}
for i = 5, #ARGV do
  local parts = ARGV[1] .. ARGV[i]
  local failures = parts .. ':failures'
  redis.call('SREM', parts, ARGV[3])
  if ARGV[4] == '' then redis.call('HDEL', failures, ARGV[3])
  else
    redis.call('HSET', failures, ARGV[3], ARGV[4])
    redis.call('EXPIRE', failures, ARGV[2])
  end
  if redis.call('EXISTS', parts) == 0 then
    ended[#ended + 1] = {ARGV[i], redis.call('HGETALL', failures)}
  end
end
return ended
"""


class Outstanding:
    """Parts of deliveries, by names of the caller's choosing (`push:…`, `app:…`)."""

    def __init__(self, client: redis.Redis) -> None:
        self._add = client.register_script(_ADD)
        self._done = client.register_script(_DONE)

    def add(self, deliveries: Sequence[str], parts: Sequence[str]) -> None:
        """Each of `deliveries` waits for each of `parts` too."""
        for names in batches(parts):
            for some in batches(deliveries):
                self._add([], [PREFIX, _KEEP_S, len(names), *names, *some])

    def done(self, deliveries: Sequence[str], part: str, failure: str = "") -> dict[str, dict[str, str]]:
        """`part` has ended. Gives those of `deliveries` that wait for no other, with their failures by part
        (none: all well).

        A failure it had before counts no more when there is none now: deliveries may be replayed.
        """
        ended: dict[str, dict[str, str]] = {}
        for some in batches(deliveries):
            answer = self._done([], [PREFIX, _KEEP_S, part, failure, *some])
            for delivery, flat in cast("list[tuple[bytes, list[bytes]]]", answer):
                texts = [item.decode() for item in flat]
                ended[delivery.decode()] = dict(zip(texts[::2], texts[1::2], strict=True))
        return ended
