"""Schedules in the five fields of cron, read as robfig/cron reads them for Argo CD. Pure.

Libraries read other dialects: a weekday 7, `L`, ranges that wrap round, or another rule for days. With one of
them a window would open at another time than in Argo CD, or one that Argo CD refuses would open.

https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("weekday", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
_LONGEST_MONTH: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes at which something begins. `both`: day of the month and weekday must fit, else one of them
    suffices."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises ValueError saying what is wrong with `text`, and where in it."""
        parts = text.split()
        if text.startswith("@"):
            raise ValueError(
                f"{text!r} is not five fields: write 0 * * * * for @hourly, 0 0 * * * for @daily"
            )
        if len(parts) != len(_FIELDS):
            raise ValueError(f"{text!r} has {len(parts)} fields, not five: minute hour day month weekday")
        read = [_read(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
        minutes, hours, days, months, weekdays = (values for values, _ in read)
        found = cls(minutes, hours, days, months, weekdays, both=read[2][1] or read[4][1])
        if found.both and not any(min(found.days) <= _LONGEST_MONTH.get(month, 31) for month in found.months):
            raise ValueError(f"{text!r} never comes: no such day in that month")
        return found

    def on(self, day: date) -> bool:
        """Whether anything begins on `day`."""
        if day.month not in self.months:
            return False
        fits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return all(fits) if self.both else any(fits)


def _read(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """The values that a field means, and whether it leaves its values open, as `*` does."""
    values: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        span, slash, step = part.partition("/")
        low, dash, high = span.partition("-")
        by = _number(step, text, field) if slash else 1
        if not by:
            raise ValueError(f"{text!r}, the {field.name}: a step of 0 leads nowhere")
        if span in ("*", "?"):
            first, last = field.least, field.most
            star = star or by == 1  # of `*/2`, the rule for days says that it restricts
        else:
            first = _number(low, text, field)
            last = _number(high, text, field) if dash else field.most if slash else first
        if not field.least <= first <= last <= field.most:
            raise ValueError(
                f"{text!r}, the {field.name}: no range that goes upwards from {field.least} to {field.most}"
            )
        values.update(range(first, last + 1, by))
    if not values:
        raise ValueError(f"{text!r}, the {field.name}: names no value")
    return frozenset(values), star


def _number(text: str, whole: str, field: _Field) -> int:
    if _NUMBER.fullmatch(text):
        return int(text)
    if text.lower() in field.names:
        return field.names[text.lower()]
    raise ValueError(f"{whole!r}, the {field.name}: {text!r} is no value of it")
