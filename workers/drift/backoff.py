"""How often self-heal puts an object back that somebody changes again and again. Pure.

Nobody wins a fight, and each round costs all who watch the object. The first times it is put back at once;
then after two seconds, then four, up to five minutes. Once it has been left alone for a while, all begins
anew. A new commit, or a sync by hand, waits for none of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mooring.keys import ObjectKey

AT_ONCE: Final = 3  # times
_FIRST_S, _MOST_S = 2.0, 300.0
_QUIET_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Tries:
    """How often an object was put back in a row, and when last (seconds since the epoch)."""

    count: int
    last: float

    @property
    def until(self) -> float:
        """When it may be put back again."""
        if self.count < AT_ONCE:
            return self.last
        return self.last + min(_FIRST_S * 2.0 ** min(self.count - AT_ONCE, 30), _MOST_S)


def quiet_s(reconcile_s: float) -> float:
    """For how long an object must have been left alone for its next drift to be a first one. Drift may be
    seen no sooner than with the next full reconciliation, which comes every `reconcile_s`."""
    return max(_QUIET_S, 2.0 * reconcile_s)


def in_a_row(tries: Tries | None, now: float, quiet: float) -> Tries | None:
    """`tries`, unless they were so long ago that what drifts `now` has nothing to do with them."""
    return tries if tries is not None and now - tries.last <= quiet else None


def once_more(
    known: Mapping[ObjectKey, Tries], keys: Iterable[ObjectKey], now: float
) -> dict[ObjectKey, Tries]:
    """What to remember of `keys`, which are put back `now`, where `known` are those in a row."""
    return {key: Tries((known[key].count if key in known else 0) + 1, now) for key in keys}
