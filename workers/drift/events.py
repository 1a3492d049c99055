"""The drifts of an app as a list that is kept: what a look has found, taken into what is known. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mooring.drift import Change, Done, Drift, What
from mooring.keys import ObjectKey

MOST: Final = 100  # drifts of one app
_CHANGES: Final = 10  # of one drift


@dataclass(frozen=True, slots=True)
class Found:
    """One object that has drifted, as a look has found it, and what is done about it."""

    key: ObjectKey
    what: What
    changes: tuple[Change, ...]
    done: Done
    why: str
    again: bool = False  # it is contested: of the same drift as the last one


@dataclass(frozen=True, slots=True)
class Log:
    """The drifts of an app, the newest first, and when all of its objects were last looked at (seconds since
    the epoch; 0: unknown)."""

    drifts: tuple[Drift, ...] = ()
    looked: float = 0.0

    def of(self, key: ObjectKey) -> Drift | None:
        """The newest one of an object."""
        return next((one for one in self.drifts if one.key == key), None)


def found(log: Log, seen: Iterable[Found], now: float) -> tuple[Log, tuple[Drift, ...]]:
    """`log` with what was seen at `now`, and which of it is news.

    An object that differs still, be it in other fields, has drifted once; so has one that is contested. Where
    as many as are kept are not over yet, others are left out.
    """
    drifts, news = {one.key: one for one in reversed(log.drifts)}, list[Drift]()
    kept = list(log.drifts)
    for one in seen:
        before = drifts.get(one.key)
        if before is not None and before.open and one.done is Done.IGNORED:
            continue  # what else had drifted is over: that is told first
        if one.done is Done.IGNORED:
            told = _ignored(kept, one)
            if told is not None and told.changes == one.changes[:_CHANGES]:
                continue  # there is nothing to write
            before = told or before
        same = before is not None and (before.open or _again(before, one))
        if before is not None and same:
            after = _seen_again(before, one, now)
            kept[next(index for index, other in enumerate(kept) if other is before)] = after
            if _is_news(before, after):
                news.append(after)
            continue
        since = max(log.looked, before.ended if before else 0.0)
        drift = Drift(
            key=one.key,
            what=one.what,
            changes=one.changes[:_CHANGES],
            more=max(0, len(one.changes) - _CHANGES),
            since=min(since, now),
            seen=now,
            last=now,
            done=one.done,
            why=one.why,
            ended=now if one.done is Done.IGNORED else 0.0,
        )
        if sum(other.open for other in kept) < MOST:
            kept.append(drift)
            news.append(drift)
    return replace(log, drifts=_bounded(kept)), tuple(news)


def settled(
    log: Log,
    synced: Mapping[ObjectKey, bool],
    written: Collection[ObjectKey],
    by: str,
    now: float,
) -> tuple[Log, tuple[Drift, ...]]:
    """`log` without what is over at `now`, and what that is.

    `synced` says of each object that Git has whether it is as Git wants it, `written` are those that have
    just been written, `by` what did that, in words. An object that has left Git has drifted no more.
    """
    after, over = list[Drift](), list[Drift]()
    for one in log.drifts:
        if one.open and synced.get(one.key, True):
            done, why = _how(one, synced, written, by)
            one = replace(one, last=now, ended=now, done=done, why=why)
            over.append(one)
        after.append(one)
    return replace(log, drifts=_bounded(after)), tuple(over)


def _how(
    one: Drift, synced: Mapping[ObjectKey, bool], written: Collection[ObjectKey], by: str
) -> tuple[Done, str]:
    if one.key not in synced:
        return Done.SETTLED, "the object has left Git"
    if one.key in written or one.done is Done.HEALING:
        return Done.HEALED, f"put back by {by or 'a sync'}"
    return Done.SETTLED, "as Git has it again, without a sync having written it"


def _again(before: Drift, one: Found) -> bool:
    """Whether what is over has come again, and is to be told as one."""
    if one.done is Done.IGNORED:
        return before.done is Done.IGNORED and _fields(before.changes) == _fields(one.changes)
    return one.again and before.done is Done.HEALED


def _ignored(kept: Iterable[Drift], one: Found) -> Drift | None:
    """What was told of the same fields of the object, whichever others have come in between."""
    return next((before for before in kept if before.key == one.key and _again(before, one)), None)


def _fields(changes: Sequence[Change]) -> list[str]:
    return [change.field for change in changes[:_CHANGES]]


def _seen_again(before: Drift, one: Found, now: float) -> Drift:
    return replace(
        before,
        what=one.what,
        changes=one.changes[:_CHANGES],
        more=max(0, len(one.changes) - _CHANGES),
        last=now,
        done=one.done,
        why=one.why,
        times=before.times + (not before.open and one.done is not Done.IGNORED),
        ended=now if one.done is Done.IGNORED else 0.0,
    )


def _is_news(before: Drift, after: Drift) -> bool:
    """Whether more than the time, and what is just being done, has changed."""
    told = (Done.HEALING, Done.HEALED)
    return (before.done is not after.done and after.done not in told) or before.what is not after.what


def _bounded(drifts: Sequence[Drift]) -> tuple[Drift, ...]:
    """As many as are kept, the newest first; what is left to others goes first, what is not over last."""
    newest = sorted(drifts, key=lambda one: (one.last, one.seen, one.key), reverse=True)
    kept = sorted(newest, key=lambda one: (not one.open, one.done is Done.IGNORED))[:MOST]
    ids = set(map(id, kept))
    return tuple(one for one in newest if id(one) in ids)
