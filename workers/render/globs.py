"""Argo CD's file patterns: those of github.com/gobwas/glob without a separator, so `*` crosses `/`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Final

_MOST_ALTERNATIVES: Final = 256
_TOKEN: Final = re.compile(
    r"\\(?P<escaped>.)|(?P<any>\*+)|(?P<one>\?)|\[(?P<not>!?)(?P<set>[^\]]+)\]", re.DOTALL
)


def matches(pattern: str, path: str) -> bool:
    """Whether `path` fits `pattern`: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `\\` before a plain one.

    Raises ValueError on a pattern with an open bracket, or with more than 256 alternatives.
    """
    return any(each.match(path) for each in _compiled(pattern))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(regex(alternative, _TOKEN, _set), re.DOTALL) for alternative in alternatives(pattern)
    )


def alternatives(pattern: str) -> list[str]:
    """The patterns without braces that `pattern` stands for: `{a,b{c,d}}e` is `ae`, `bce`, `bde`.

    Raises ValueError on an open brace, or when they are more than 256.
    """
    # Without braces, a pattern needs no backtracking (see _regex).
    found = [""]
    at = 0
    while at < len(pattern):
        if pattern[at] != "{":
            width = 2 if pattern[at] == "\\" else 1
            found = [text + pattern[at : at + width] for text in found]
            at += width
            continue
        end, commas = _closing(pattern, at)
        edges = [at, *commas, end]
        inner = [pattern[left + 1 : right] for left, right in pairwise(edges)]
        choices = [choice for part in inner for choice in alternatives(part)]
        if len(found) * len(choices) > _MOST_ALTERNATIVES:
            raise ValueError(f"has more than {_MOST_ALTERNATIVES} alternatives")
        found = [text + choice for text in found for choice in choices]
        at = end + 1
    return found


def _closing(pattern: str, start: int) -> tuple[int, list[int]]:
    depth, commas, at = 0, list[int](), start
    while at < len(pattern):
        match pattern[at]:
            case "\\":
                at += 1
            case "{":
                depth += 1
            case "}":
                depth -= 1
                if depth == 0:
                    return at, commas
            case "," if depth == 1:
                commas.append(at)
        at += 1
    raise ValueError("has a '{' without its '}'")


def regex(pattern: str, tokens: re.Pattern[str], set_: Callable[[str], str]) -> str:
    """A pattern without braces as a regular expression of whole names.

    `tokens` finds what is no plain character, by the groups `escaped`, `any`, `one`, `not` and `set`; `set_`
    gives what stands in the brackets of a set. Raises ValueError for what nothing ends.
    """
    # The first place where the text between two stars fits is as good as any later one, so each star
    # with its text is atomic: no pattern takes more than linear time for each of its stars.
    segments, at = [""], 0
    while at < len(pattern):
        token = tokens.match(pattern, at)
        if token is None:
            if pattern[at] in "[\\":
                raise ValueError(f"has a {pattern[at]!r} that nothing ends")
            segments[-1] += re.escape(pattern[at])
            at += 1
            continue
        at = token.end()
        if token["any"]:
            segments.append("")
        elif token["one"]:
            segments[-1] += "."
        elif token["escaped"] is not None:
            segments[-1] += re.escape(token["escaped"])
        else:
            segments[-1] += f"[{'^' if token['not'] else ''}{set_(token['set'])}]"
    if len(segments) == 1:
        return segments[0] + r"\Z"
    first, *middle, last = segments
    return first + "".join(f"(?>.*?{text})" for text in middle) + rf".*{last}\Z"


def _set(text: str) -> str:
    if len(text) == 3 and text[1] == "-":
        if text[0] > text[2]:
            raise ValueError(f"has the range {text}, which is backwards")
        return f"{re.escape(text[0])}-{re.escape(text[2])}"
    return "".join(re.escape(character) for character in text)
