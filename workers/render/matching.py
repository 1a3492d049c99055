"""Paths of a commit that fit a pattern, as Go's filepath.Glob finds them on a disk.

https://pkg.go.dev/path/filepath#Match
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from mooring.errors import GitRefused
from mooring.text import printable
from workers.render.files import Files

_MAGIC: Final = re.compile(r"[*?\[\\]")
_TOKEN: Final = re.compile(
    r"\\(?P<escaped>.)|(?P<any>\*)|(?P<one>\?)|\[(?P<not>\^?)(?P<set>[^\]]+)\]", re.DOTALL
)


def glob(files: Files, pattern: str, start: str) -> list[str]:
    """What fits `pattern`, a path from the root of the repository; given from `start`, sorted by step.

    Raises GitRefused for a pattern that makes no sense.
    """
    found = [""]
    for step in pattern.split("/"):
        if not _MAGIC.search(step):
            found = [posixpath.join(path, step) for path in found]
            continue
        regex = _regex(step)
        found = [
            entry.path
            for path in found
            for entry in sorted(files.walk(path, recurse=False), key=lambda entry: entry.name)
            if regex.fullmatch(entry.name)
        ]
    return [posixpath.relpath(f"/{path}", f"/{start}") for path in found if files.locate(path) is not None]


def _regex(pattern: str) -> re.Pattern[str]:
    out, at = "", 0
    try:
        while at < len(pattern):
            token = _TOKEN.match(pattern, at)
            if token is None:
                out, at = out + re.escape(pattern[at]), at + 1
                continue
            at = token.end()
            if token["any"]:
                out += ".*"
            elif token["one"]:
                out += "."
            elif token["escaped"]:
                out += re.escape(token["escaped"])
            else:
                inner = token["set"].replace("[", r"\[")
                out += f"[{token['not']}{inner}]"
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise GitRefused(f"{printable(pattern)!r} is no pattern: {error}") from error
