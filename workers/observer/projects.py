"""What AppProjects say, kept just far enough to see that one says something else. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import orjson

from workers.cluster.live import Live
from workers.cluster.watch import Change, Changed, Gone, Listed


class Projects:
    """By name, the digest of the spec of each that there is."""

    def __init__(self) -> None:
        self._known: Mapping[str, bytes] = {}

    def hear(self, change: Change) -> bool:
        """Whether any of them says something else now. What stands beside its spec decides nothing."""
        match change:
            case Listed(objects):
                now = {live.key.name: _digest(live) for live in objects}
            case Changed(live):
                now = {**self._known, live.key.name: _digest(live)}
            case Gone(live):
                now = {name: said for name, said in self._known.items() if name != live.key.name}
        news = now != self._known
        self._known = now
        return news


def _digest(live: Live) -> bytes:
    return sha256(orjson.dumps((live.body or {}).get("spec"), option=orjson.OPT_SORT_KEYS)).digest()
