"""Globs as the rules of projects are written, which are those of https://github.com/gobwas/glob."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def glob(pattern: str, separator: str = "") -> re.Pattern[str]:
    """A glob with `*` (not over `separator`), `**`, `?`, `[a-z]`, `[!a]`, `{a,b}` and `\\`.

    One that makes no sense matches nothing but itself.
    """
    one = f"[^{re.escape(separator)}]" if separator else "."
    out, depth, at = "", 0, 0
    while at < len(pattern):
        here = pattern[at]
        at += 1
        if here == "*":
            double = pattern.startswith("*", at)
            out, at = out + (".*" if double else f"{one}*"), at + double
        elif here == "?":
            out += one
        elif here == "\\" and at < len(pattern):
            out, at = out + re.escape(pattern[at]), at + 1
        elif here == "[" and (end := pattern.find("]", at + 1)) > 0:
            inside = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out, at = f"{out}[{'^' + inside[1:] if inside[0] in '!^' else inside}]", end + 1
        elif here == "{":
            out, depth = out + "(?:", depth + 1
        elif here == "}" and depth:
            out, depth = out + ")", depth - 1
        else:
            out += "|" if here == "," and depth else re.escape(here)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))
