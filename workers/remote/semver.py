"""Version ranges as Helm and Argo CD understand them, who both leave that to Masterminds/semver.

https://github.com/Masterminds/semver#checking-version-constraints says what the operators mean; where it is
silent (`<=1.x`, `!=1.2.x-0`), `helm` is asked by a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Final

_LONGEST_VERSION: Final = 256
_LONGEST_RANGE: Final = 512
_MOST_ALTERNATIVES: Final = 32
_LARGEST: Final = (1 << 64) - 1

_TAIL: Final = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION: Final = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_TAIL}")
_STEP: Final = r"(?:[0-9]+|[xX*])"
_PARTIAL: Final = rf"v?({_STEP})(?:\.({_STEP}))?(?:\.({_STEP}))?{_TAIL}"
_HYPHEN: Final = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*")
_ONE: Final = re.compile(rf"\s*(!=|>=|=>|<=|=<|~>|[=<>~^]|)\s*{_PARTIAL}\s*")
_WILD: Final = frozenset(("x", "X", "*"))


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A semantic version, of which minor and patch may be missing. What follows a `+` does not count."""

    text: str  # as it was written
    numbers: tuple[int, int, int]
    pre: str

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """None when it is no version."""
        match = _VERSION.fullmatch(text) if len(text) <= _LONGEST_VERSION else None
        if match is None:
            return None
        major, minor, patch = (int(number or 0) for number in match.group(1, 2, 3))
        pre = match[4] or ""
        if max(major, minor, patch) > _LARGEST or any(_zero_padded(part) for part in pre.split(".")):
            return None
        return cls(text, (major, minor, patch), pre)

    @property
    def _order(self) -> tuple[object, ...]:
        # https://semver.org/#spec-item-11
        return (*self.numbers, not self.pre, _pre_order(self.pre))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order == other._order

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)


def _pre_order(pre: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in (pre.split(".") if pre else ())
    )


def _zero_padded(part: str) -> bool:
    return part.isdigit() and len(part) > 1 and part[0] == "0"


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One operator and a version of which only `given` numbers are given: 1 of `1.x`, 0 of `*`."""

    operator: str
    bound: Version
    given: int

    def holds(self, version: Version) -> bool:
        bound, given = self.bound, self.given
        if self.operator in (">", "=>", ">=", "<", "<=", "=<"):
            return self._orders(version)
        if self.operator == "!=":
            if given == 2 and version.numbers[:2] == bound.numbers[:2] and (version.pre or bound.pre):
                return version.pre != bound.pre
            return version.numbers[:given] != bound.numbers[:given] if given in (1, 2) else version != bound
        if self.operator in ("", "=") and given == 3:
            return version == bound
        return version >= bound and self._same(version, self._fixed())

    def _fixed(self) -> int:
        """How many of the leading numbers `~` and `^` hold on to."""
        major, minor, patch = self.bound.numbers
        if self.operator == "^":
            if major or self.given == 1:
                return 1
            return 2 if minor or self.given == 2 else 3
        if self.given in (0, 3) and not (major or minor or patch):
            return 0
        return 1 if self.given == 1 else 2

    def _same(self, version: Version, count: int) -> bool:
        return version.numbers[:count] == self.bound.numbers[:count]

    def _orders(self, version: Version) -> bool:
        bound, given = self.bound, self.given
        if self.operator == "<":
            return version < bound
        if self.operator in (">=", "=>"):
            return version >= bound
        if self.operator == ">":
            return version.numbers[:given] > bound.numbers[:given] if given in (1, 2) else version > bound
        if given == 3:
            return version <= bound
        count = 1 if given == 1 else 2
        return version.numbers[:count] <= bound.numbers[:count]


@dataclass(frozen=True, slots=True)
class Range:
    """What `^1.2 || >=3 <4` permits: any of the alternatives, each of which has all its comparisons hold.

    Pre-releases are permitted only by an alternative that names one.
    """

    alternatives: tuple[tuple[_Comparison, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range | None:
        """None when it is no range. The empty text permits every release, as `*` does."""
        if len(text) > _LONGEST_RANGE:
            return None
        text = _HYPHEN.sub(lambda found: f">= {found[1]}, <= {found[7]} ", text)
        parts = text.split("||")
        alternatives = [_comparisons(part) for part in parts]
        if len(parts) > _MOST_ALTERNATIVES or not all(alternatives):
            return None
        return cls(tuple(alternatives))

    def permits(self, version: Version) -> bool:
        return any(
            all(comparison.holds(version) for comparison in comparisons)
            for comparisons in self.alternatives
            if not version.pre or any(comparison.bound.pre for comparison in comparisons)
        )


def _comparisons(text: str) -> tuple[_Comparison, ...]:
    """Of one alternative; none when it makes no sense."""
    text = text.strip() or "*"
    found: list[_Comparison] = []
    at = 0
    while at < len(text):
        match = _ONE.match(text, at)
        bound = _bound(match) if match else None
        if match is None or bound is None:
            return ()
        found.append(bound)
        at = match.end()
        if at < len(text):
            if text[at] == ",":
                at += 1
                if at == len(text):
                    return ()
            elif not match[0][-1:].isspace():
                return ()
    return tuple(found)


def _bound(match: re.Match[str]) -> _Comparison | None:
    numbers = list[str]()
    for number in match.group(2, 3, 4):
        if number is None or number in _WILD:
            break
        numbers.append(number)
    pre = f"-{match[5]}" if match[5] else ""
    version = Version.parse(".".join([*numbers, "0", "0", "0"][:3]) + pre)
    return _Comparison(match[1], version, len(numbers)) if version else None


def newest(texts: Iterable[str], wanted: str) -> str | None:
    """Which of the versions `texts` a `targetRevision` means; None when none fits.

    A version that is there as it was written is meant itself. Otherwise the newest that the range permits,
    where "" permits every release; what is no version is passed over. Raises ValueError when `wanted` is
    neither there nor a range.
    """
    candidates = list(texts)
    if wanted and wanted in candidates:
        return wanted
    permitted = Range.parse(wanted)
    if permitted is None:
        raise ValueError(wanted)
    best: Version | None = None
    for text in candidates:
        version = Version.parse(text)
        if version and permitted.permits(version) and (best is None or version > best):
            best = version
    return best.text if best else None
