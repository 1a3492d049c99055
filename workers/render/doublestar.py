"""Patterns in which `**` is any number of directories, as Argo CD has them for value files.

https://github.com/bmatcuk/doublestar#patterns
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mooring.errors import RenderFailed
from mooring.text import printable
from workers.git.tree import Entry
from workers.render.files import Files
from workers.render.globs import alternatives, regex

_MOST_LOOKED_AT: Final = 50_000
_META: Final = re.compile(r"[*?\[]")
_TOKEN: Final = re.compile(
    r"\\(?P<escaped>.)|(?P<any>\*+)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<set>(?:\\.|[^\]\\])+)\]", re.DOTALL
)
_RANGE: Final = re.compile(r"\\?(.)-\\?(.)|\\?(.)", re.DOTALL)


def is_pattern(path: str) -> bool:
    """Whether `path` names files by a pattern, and not one file by its name."""
    return _META.search(path) is not None


def expand(files: Files, pattern: str) -> list[str]:
    """The paths of the files that fit `pattern`, from the root of the repository, in the order in which later
    ones win: directory by directory, the files of one before those below it.

    Directories that are looked through are read as a whole. Raises RenderFailed for a pattern that is none,
    and where too much would be looked at.
    """
    try:
        patterns = alternatives(pattern)
        search = _Search(files)
        found = [path for each in patterns for path in search.paths(each.split("/"))]
    except ValueError as error:
        raise RenderFailed(f"pattern {printable(pattern)}: {error}") from error
    return found if len(patterns) == 1 else sorted(set(found))


def fits(pattern: str, path: str) -> bool:
    """Whether `path` fits a pattern without `**`, in which a star stays within one name.

    Raises ValueError for a pattern that is none. https://pkg.go.dev/path/filepath#Match
    """
    parts, names = pattern.split("/"), path.split("/")
    regexes = [_compiled(part) for part in parts]
    return len(parts) == len(names) and all(
        each.match(name) for each, name in zip(regexes, names, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Spot:
    """A directory or a file: `path` as the pattern leads there, `found` what is behind its links."""

    path: str
    found: Entry


class _Search:
    def __init__(self, files: Files) -> None:
        self._files = files
        self._looked_at = 0

    def paths(self, parts: list[str]) -> list[str]:
        *above, last = parts
        root = self._files.find("")
        spots = [] if root is None else [_Spot("", root)]
        for part in above:
            spots = [below for spot in spots for below in self._folders(spot, part)]
        return [below.path for spot in spots for below in self._matching(spot, last)]

    def _folders(self, spot: _Spot, part: str) -> Iterator[_Spot]:
        if part == "**":
            yield from self._all_folders(spot)
        else:
            yield from (below for below in self._in(spot, part) if below.found.is_tree)

    def _matching(self, spot: _Spot, part: str) -> Iterator[_Spot]:
        folders = self._all_folders(spot) if part == "**" else (spot,)
        for folder in folders:
            yield from (below for below in self._in(folder, part) if below.found.is_file)

    def _all_folders(self, spot: _Spot, above: tuple[str, ...] = ()) -> Iterator[_Spot]:
        yield spot
        for below in self._in(spot, "*"):
            # A link to a directory that we are in would lead in circles.
            if below.found.is_tree and below.found.path not in (*above, spot.found.path):
                yield from self._all_folders(below, (*above, spot.found.path))

    def _in(self, folder: _Spot, part: str) -> Iterator[_Spot]:
        """What is in a directory and fits."""
        if not is_pattern(part):
            name = re.sub(r"\\(.)", r"\1", part)
            found = self._files.find(posixpath.join(folder.found.path, name))
            if found is not None:
                yield _Spot(posixpath.join(folder.path, name), found)
            return
        fitting = _compiled(part)
        for entry in self._files.walk(folder.found.path, recurse=False):
            self._looked_at += 1
            if self._looked_at > _MOST_LOOKED_AT:
                raise RenderFailed(
                    "a pattern leads through too many directories", where=printable(folder.path)
                )
            if fitting.match(entry.name):
                behind = self._files.find(entry.path) if entry.is_link else entry
                if behind is not None:
                    yield _Spot(posixpath.join(folder.path, entry.name), behind)


@lru_cache(maxsize=256)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(regex(part, _TOKEN, _set), re.DOTALL)


def _set(text: str) -> str:
    return "".join(_members(text))


def _members(text: str) -> Iterable[str]:
    for found in _RANGE.finditer(text):
        low, high, one = found.groups()
        if one is not None:
            yield re.escape(one)
        elif low > high:
            raise ValueError(f"has the range {low}-{high}, which is backwards")
        else:
            yield f"{re.escape(low)}-{re.escape(high)}"
