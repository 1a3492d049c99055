"""Which ref a `targetRevision` means: a branch, a tag, HEAD, a commit or a range of versions on tags.

Ranges are those of Argo CD, which are those of https://github.com/Masterminds/semver#checking-version-constraints
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z", re.IGNORECASE)
_DIGEST = re.compile(r"(sha256|sha512):[0-9a-f]{64,128}\Z")
_SHORT = 12  # hexadecimal digits of an id that people see
_NUMBER = r"\d{1,18}"  # a push can name a tag of any length
_REST = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(
    rf"v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_REST}", re.ASCII
)
_COMPARATOR = re.compile(
    r"(?P<op>=|!=|>|<|>=|=>|<=|=<|~>|~|\^|)\s*"
    rf"v?(?P<major>{_NUMBER}|[xX*])(?:\.(?P<minor>{_NUMBER}|[xX*]))?(?:\.(?P<patch>{_NUMBER}|[xX*]))?{_REST}",
    re.ASCII,
)
# Blanks bind an operator to its version and otherwise separate, like commas.
_SEPARATOR = re.compile(r"\s*,\s*|(?<![\s=<>~^!,])\s+(?=[\dvxX*=<>~^!])")
_HYPHEN = re.compile(r"(?P<low>\S+)\s+-\s+(?P<high>\S+)")


@dataclass(frozen=True, slots=True)
class _Version:
    numbers: tuple[int, int, int]
    prerelease: str = ""

    @property
    def order(self) -> tuple[object, ...]:
        """https://semver.org/#spec-item-11"""
        steps = tuple(
            (0, len(step.lstrip("0")), step.lstrip("0")) if step.isdecimal() else (1, 0, step)
            for step in (self.prerelease.split(".") if self.prerelease else ())
        )
        return (*self.numbers, not self.prerelease, steps)


def _version(text: str) -> _Version | None:
    match = _VERSION.fullmatch(text)
    if not match:
        return None
    major, minor, patch = (int(match[part] or 0) for part in ("major", "minor", "patch"))
    return _Version((major, minor, patch), match["pre"] or "")


@dataclass(frozen=True, slots=True)
class _Comparator:
    """One `>=1.2`. `given` counts the numbers that were written: 2 here, 0 for `*`."""

    operator: str
    version: _Version
    given: int

    def allows(self, v: _Version) -> bool:
        if v.prerelease and not self.version.prerelease:
            return False
        mine, given = self.version, self.given
        prefix = v.numbers[:given] == mine.numbers[:given]
        match self.operator:
            case "" | "=":
                return v.order == mine.order if given == 3 else prefix
            case "!=":
                return v.order != mine.order if given == 3 else not prefix
            case ">":
                return v.order > mine.order if given == 3 else v.numbers[:given] > mine.numbers[:given]
            case "<":
                return v.order < mine.order
            case ">=" | "=>":
                return v.order >= mine.order
            case "<=" | "=<":
                return v.order <= mine.order if given == 3 else v.numbers[:given] <= mine.numbers[:given]
            case "~" | "~>":
                same = min(given, 2)
                return v.order >= mine.order and v.numbers[:same] == mine.numbers[:same]
            case _:  # ^: up to the next change of the first number that is not zero
                first = next((i for i in range(given) if mine.numbers[i]), max(given - 1, 0))
                same = min(first + 1, given)
                return v.order >= mine.order and v.numbers[:same] == mine.numbers[:same]


def _comparator(text: str) -> _Comparator | None:
    match = _COMPARATOR.fullmatch(text)
    if not match:
        return None
    numbers = []
    for part in ("major", "minor", "patch"):
        if match[part] is None or not match[part].isdecimal():
            break
        numbers.append(int(match[part]))
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return _Comparator(match["op"], _Version((major, minor, patch), match["pre"] or ""), len(numbers))


@lru_cache(maxsize=1024)
def _range(text: str) -> Callable[[_Version], bool] | None:
    """The range that `text` writes down, or None when it is a plain version or no range at all."""
    if _version(text):
        return None
    alternatives: list[list[_Comparator]] = []
    for part in text.split("||"):
        spelled = _HYPHEN.sub(r">=\g<low> <=\g<high>", part.strip())
        comparators = [_comparator(one) for one in _SEPARATOR.split(spelled)]
        if not all(comparators):
            return None
        alternatives.append([one for one in comparators if one])
    return lambda version: any(all(one.allows(version) for one in group) for group in alternatives)


def is_commit(target_revision: str) -> bool:
    """Whether it is a whole commit id: never moved by a push, never looked up among refs."""
    return bool(_COMMIT.match(target_revision))


def is_version(target_revision: str) -> bool:
    """Whether it is one whole version: of a chart, there is no other tomorrow."""
    match = _VERSION.fullmatch(target_revision)
    return match is not None and match["patch"] is not None


def is_digest(target_revision: str) -> bool:
    """Whether it is the digest of an artifact, `sha256:…`."""
    return bool(_DIGEST.match(target_revision))


def shortened(revision: str) -> str:
    """The revision as people see it: the beginning of a commit id or digest, a version as it is."""
    if is_commit(revision):
        return revision[:_SHORT]
    if is_digest(revision):
        algorithm, _, digits = revision.partition(":")
        return f"{algorithm}:{digits[:_SHORT]}"
    return revision


def is_range(target_revision: str) -> bool:
    """Whether it is a range of versions, as `1.*`, `>=1.2 <2`, `^1.4 || 3.x`."""
    return _range(target_revision) is not None


def concerns(target_revision: str, event_ref: str, default_branch: str) -> bool:
    """Whether a push that moved `event_ref` (`refs/heads/main`) may change what the revision means.

    `default_branch` is what HEAD means, "" when not known: then any branch may be it. For a range, any
    tag that lies in it concerns, also one that is not the highest or was deleted.
    """
    target = target_revision.strip()
    if is_commit(target):
        return False
    if target in ("", "HEAD"):
        head = default_branch.removeprefix("refs/heads/")
        return event_ref == f"refs/heads/{head}" if head else event_ref.startswith("refs/heads/")
    if within := _range(target):
        version = (
            _version(event_ref.removeprefix("refs/tags/")) if event_ref.startswith("refs/tags/") else None
        )
        if version and within(version):
            return True
    return event_ref in _spellings(target)


def resolve(target_revision: str, refs: Mapping[str, str]) -> str | None:
    """The ref that is meant, out of `refs` (name, as `refs/heads/main` or `HEAD`, to commit).

    The highest matching tag for a range; a branch before a tag of the same name. None when there is no
    such ref, and for commit ids, which are no refs.
    """
    target = target_revision.strip() or "HEAD"
    if is_commit(target):
        return None
    if within := _range(target):
        tags = (ref for ref in refs if ref.startswith("refs/tags/"))
        found = [(v.order, tag) for tag in tags if (v := _version(tag[10:])) and within(v)]
        if found:
            return max(found)[1]
    return next((ref for ref in _spellings(target) if ref in refs), None)


def _spellings(target: str) -> tuple[str, ...]:
    return (target, f"refs/heads/{target}", f"refs/tags/{target}", f"refs/{target}")
