"""Sync windows: whether an app may be synced now, and if not, why and until when. Pure.

A window goes by the clock on the wall of its time zone, as in Argo CD: one of eight hours that begins at
22:00 ends when that clock says 06:00, also in a night in which it is turned.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mooring.errors import Refused
from mooring.model.application import Application
from mooring.model.project import AppProject, Cluster, SyncWindow
from workers import durations
from workers.apps.conditions import INVALID_SPEC
from workers.cron import Cron

# Within this time every schedule has come: a 29 February may be eight years away.
_FAR: Final = timedelta(days=8 * 366)
# What goes on for longer than this has no end that anybody waits for.
_NO_END: Final = timedelta(days=366)
# Windows may take turns at holding an app; after so many turns there is no end in sight.
_TURNS: Final = 1000
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
# https://pkg.go.dev/github.com/robfig/cron/v3#hdr-Time_zones
_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S*)\s+")


@dataclass(frozen=True, slots=True)
class Times:
    """When a window is active. `stretches` begin on one day, told from its midnight on, and do not touch."""

    schedule: Cron
    lasts: timedelta
    zone: tzinfo
    stretches: tuple[tuple[timedelta, timedelta], ...]

    def active(self, at: datetime) -> bool:
        """Whether the window is active at the instant `at`."""
        return self._edge(self._wall(at))[0]

    def change(self, at: datetime) -> datetime | None:
        """The first instant after `at` at which the window becomes active, or ceases to be; None where that
        is not in sight."""
        was, edge = self._edge(self._wall(at))
        while edge is not None:
            then = at + (edge - self._wall(at))
            turned = self._turned(at, then)
            if turned is None:
                return then
            at = turned  # from here on the clock says something else
            is_, edge = self._edge(self._wall(at))
            if is_ != was:
                return at
        return None

    def _wall(self, at: datetime) -> datetime:
        """What the clock says at the instant `at`."""
        return at.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _edge(self, wall: datetime) -> tuple[bool, datetime | None]:
        """Whether the window is active when the clock says `wall`, and what it says at the next change, if it
        is not turned before."""
        end: datetime | None = None
        for since, until in self._from((wall - self.lasts).date()):
            if until <= wall:
                continue
            if end is None and since > wall:
                return False, since
            if end is not None and since > end:
                break
            end = until
            if end - wall > _NO_END:
                return True, None
        return end is not None, end

    def _from(self, first: date) -> Iterator[tuple[datetime, datetime]]:
        """From when to when the window is active, for each day from `first` on."""
        for number in range((self.lasts + _FAR).days + 1):
            day = first + timedelta(days=number)
            if self.schedule.on(day):
                midnight = datetime.combine(day, time())
                yield from ((midnight + since, midnight + until) for since, until in self.stretches)

    def _turned(self, at: datetime, then: datetime) -> datetime | None:
        """When the clock is turned after `at`, and not after `then`: whole seconds, as the rules have it."""
        offset = at.astimezone(self.zone).utcoffset()
        while at < then:
            later = min(at + _DAY, then)
            if later.astimezone(self.zone).utcoffset() != offset:
                before, after = int(at.timestamp()), int(later.timestamp())
                while after - before > 1:
                    middle = (before + after) // 2
                    if datetime.fromtimestamp(middle, self.zone).utcoffset() == offset:
                        before = middle
                    else:
                        after = middle
                return datetime.fromtimestamp(after, UTC)
            at = later
        return None


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a project, and when it is active."""

    spec: SyncWindow
    times: Times

    @property
    def allows(self) -> bool:
        return self.spec.kind == "allow"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Syncs may begin. `by` are the allow windows that are active, where there must be one."""

    by: tuple[Window, ...] = ()

    def __str__(self) -> str:
        return f"allowed by the {_told(self.by)}" if self.by else "allowed"


@dataclass(frozen=True, slots=True)
class Held:
    """No sync may begin before `until`; None: no end is in sight. `by`: the deny windows that are active, or
    the allow windows of which none is. `by_hand`: a sync that somebody asks for may."""

    by: tuple[Window, ...]
    until: datetime | None
    by_hand: bool

    def __str__(self) -> str:
        until = f"until {self.until.strftime('%Y-%m-%dT%H:%M:%SZ')}" if self.until else "with no end in sight"
        why = f"outside of the {_told(self.by)}" if self.by[0].allows else f"by the {_told(self.by)}"
        return f"held {until} {why}" + ("; a sync by hand is allowed" if self.by_hand else "")


def applying(project: AppProject, app: Application, cluster: Cluster) -> tuple[Window, ...]:
    """The windows of `project` that apply to `app`, which goes to `cluster`.

    Raises Refused (condition InvalidSpecError) when any of the project's makes no sense: no sync may begin
    before it is known what was meant.
    """
    windows = []
    for number, spec in enumerate(project.spec.sync_windows):
        try:
            windows.append(_window(spec))
        except ValueError as error:
            raise Refused(
                f"AppProject {project.metadata.name}: spec.syncWindows[{number}]: {error}; no app of the "
                "project is synced before that is corrected",
                condition=INVALID_SPEC,
            ) from error
    namespace = app.spec.destination.namespace
    return tuple(w for w in windows if w.spec.applies(app.metadata.name, cluster, namespace))


def verdict(
    windows: Sequence[Window], now: datetime, *, by_hand: bool = False, begun: datetime | None = None
) -> Allowed | Held:
    """Whether a sync may begin at the instant `now`, of an app to which `windows` apply.

    `by_hand`: somebody asks for it. `begun`: it is under way since then, and may go on where all windows that
    would hold it have `syncOverrun` and it was allowed to begin.
    """
    holding = _holding(windows, now, by_hand)
    if not holding:
        return Allowed(tuple(window for window in windows if window.allows and window.times.active(now)))
    overrun = all(window.spec.sync_overrun for window in holding)
    # No sync is under way for longer: a time before that was written by somebody else.
    known = begun if begun is not None and now - _NO_END < begun <= now else None
    if overrun and known is not None and not _holding(windows, known, by_hand):
        return Allowed()
    return Held(holding, _opening(windows, now, by_hand), not _holding(windows, now, by_hand=True))


def _holding(windows: Sequence[Window], at: datetime, by_hand: bool) -> tuple[Window, ...]:
    """The windows that hold a sync at the instant `at`: all that deny it, or else all that could allow it."""
    allow = tuple(window for window in windows if window.allows)
    deny = tuple(window for window in windows if not window.allows and window.times.active(at))
    if not deny and any(window.times.active(at) for window in allow):
        return ()
    holding = deny or allow
    return () if by_hand and all(window.spec.manual_sync for window in holding) else holding


def _opening(windows: Sequence[Window], at: datetime, by_hand: bool) -> datetime | None:
    """The first instant after `at`, at which a sync is held, at which it is not."""
    for _ in range(_TURNS):
        holding = _holding(windows, at, by_hand)
        if not holding:
            return at
        # Before one that allows is active, or before all are over that deny, nothing changes. To a sync by
        # hand, a deny window that lets it pass is one that allows.
        if holding[0].allows:
            allow = [window for window in windows if window.allows or (by_hand and window.spec.manual_sync)]
            nexts = [then for window in allow if (then := window.times.change(at)) is not None]
            if not nexts:
                return None
            at = min(nexts)
        else:
            ends = [w.times.change(at) for w in holding if not (by_hand and w.spec.manual_sync)]
            if None in ends:
                return None
            at = max(end for end in ends if end is not None)
    return None


def _told(windows: Sequence[Window]) -> str:
    more = len(windows) - 1
    return windows[0].spec.title + (f" and {more} more" if more else "")


def _window(spec: SyncWindow) -> Window:
    """Raises ValueError saying what is wrong with it."""
    if spec.kind not in ("allow", "deny"):
        raise ValueError(f"kind: {spec.kind!r} is neither allow nor deny")
    return Window(spec, _times(spec.schedule, spec.duration, spec.time_zone))


@lru_cache(maxsize=1024)  # asked for by every look at every app of the project
def _times(schedule: str, duration: str, time_zone: str) -> Times:
    in_schedule = _ZONE.match(schedule)
    if in_schedule and time_zone not in ("", in_schedule[1]):
        raise ValueError(f"timeZone: is {time_zone!r}, and the schedule names {in_schedule[1]!r}")
    zone = _zone(in_schedule[1] if in_schedule else time_zone)
    try:
        cron = Cron.parse(schedule[in_schedule.end() :] if in_schedule else schedule)
    except ValueError as error:
        raise ValueError(f"schedule: {error}") from error
    long = durations.seconds(duration)
    if not long:
        raise ValueError(f"duration: {duration!r} is no duration above zero, as 30m or 1h30m is")
    lasts = min(timedelta(seconds=long), _FAR)
    stretches: list[tuple[timedelta, timedelta]] = []
    for hour in sorted(cron.hours):
        for minute in sorted(cron.minutes):
            begin = timedelta(hours=hour, minutes=minute)
            since = stretches.pop()[0] if stretches and begin <= stretches[-1][1] else begin
            stretches.append((since, begin + lasts))
    return Times(cron, lasts, zone, tuple(stretches))


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"timeZone: {name!r} is not known: name it as Europe/Amsterdam is") from error
