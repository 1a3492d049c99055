"""A drift: an object that was as Git wants it, and was found to be so no more. What, who, when, and what was
done about it.

Who is a field manager: the name that whoever wrote a field gave itself. Anybody may use any name, so nothing
is ever concluded from it.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from mooring.keys import ObjectKey
from mooring.text import few

_SHOWN = 5  # fields, where one line has to do


class What(StrEnum):
    CHANGED = "changed"
    MISSING = "missing"  # it was deleted


class Done(StrEnum):
    """What was done about it."""

    HEALING = "healing"  # self-heal puts it back
    HEALED = "healed"  # put back by a sync
    LEFT = "left"  # until somebody syncs
    CONTESTED = "contested"  # somebody sets it again whenever it is put back: self-heal waits
    IGNORED = "ignored"  # it is to be left to others
    SETTLED = "settled"  # as Git wants it again, by others, by Git, or for it left Git


@dataclass(frozen=True, slots=True)
class Change:
    """One field, as Git wants it and as it was found: JSON, shortened and masked; None where it is absent.

    `manager` is who owns the field as it was found, `time` (RFC 3339) when that manager last wrote any of
    its fields; both "" where nobody owns it, as a field that was removed.
    """

    field: str
    wanted: str | None
    found: str | None
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""

    @property
    def by(self) -> str:
        """Who set it, as it calls itself; "" where nobody says so."""
        return f"{self.manager} ({self.subresource})" if self.subresource else self.manager


@dataclass(frozen=True, slots=True)
class Drift:
    """One drift of one object. It is one as long as it lasts, however often it is looked at; so is one that
    is contested, however often it comes.

    Times are seconds since the epoch: `since` is when the object was last seen as Git wants it (0: nobody
    knows), `seen` when the drift was first found, `last` when it was last looked at, `ended` when it was
    over (0: it is not). `times` is how often it came, `more` how many changes are not kept, `why` says for
    people what was done.
    """

    key: ObjectKey
    what: What
    changes: tuple[Change, ...]
    more: int
    since: float
    seen: float
    last: float
    done: Done
    why: str
    times: int = 1
    ended: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the object is still not as Git wants it."""
        return not self.ended

    @property
    def managers(self) -> tuple[str, ...]:
        """Who set the fields, each once, as they call themselves."""
        return tuple(dict.fromkeys(change.by for change in self.changes if change.by))

    @property
    def fields(self) -> str:
        """The fields in a line: `data.a, data.b and 3 more`; "" where the whole object is gone."""
        names = [change.field for change in self.changes]
        return few([*names, *[""] * self.more], _SHOWN)

    @property
    def summary(self) -> str:
        """What, and by whom: `data.a, set by kubectl-edit`; without a value."""
        if self.what is What.MISSING:
            return "deleted"
        return f"{self.fields}, {set_by(self.managers)}"

    def when(self, change: Change | None = None) -> str:
        """When it happened, as far as that is known: of one field, or of the object."""
        if change is not None and change.time:
            return change.time
        before = at(self.since) if self.since else "nobody knows when"
        return f"between {before} and {at(self.seen)}"


def set_by(managers: Iterable[str]) -> str:
    """`set by a, b`, with the words that say how much that is worth."""
    told = ", ".join(managers)
    return f"set by {told} (as it calls itself)" if told else "by whom is unknown"


def at(moment: float) -> str:
    """RFC 3339, in seconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
