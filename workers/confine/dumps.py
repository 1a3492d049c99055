"""Cuts off what a tool prints of whole objects, when a Secret is among them: `fail (toYaml .)` in a chart,
`error std.toString(x)` in Jsonnet, a value that it could not decode.

Where such an object ends cannot be told from words that go on, so all that follows goes with it.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
# As JSON, as YAML, or as Go prints a map.
_SECRET: Final = re.compile(r"""\bkind\b["'\\]*+\s*+[:=]\s*+["'\\]*+Secret\b|\bstringData\b["'\\]*+\s*+:""")
_BEGIN: Final = re.compile(
    r"""[{\[]|\bmap\[|\b(?:apiVersion|kind|metadata|type|immutable|data|stringData)\b["'\\]*+\s*+[:=]"""
)
# How a stack of calls ends the words of Jsonnet: it names files and lines, and quotes nothing.
_CALL: Final = re.compile(r"""\t(?:[^\t"'{}\[\]]++(?<=\d)[-)]?|\.\.\.)(?=\t|$)""")


def apart(words: str) -> tuple[str, str]:
    """The words themselves, and the stack of calls behind them, reduced to its places."""
    lines = words.rstrip().split("\n")
    end = len(lines)
    while end > 1 and (lines[end - 1].startswith("\tDuring ") or _CALL.match(lines[end - 1])):
        end -= 1
    calls = [found[0] for line in lines[end:] if (found := _CALL.match(line)) and ":" in found[0]]
    return "\n".join(lines[:end]), "".join(f"\n{call}" for call in calls)


def without_secrets(words: str) -> str:
    """`words` up to the first object that is printed in them, if one of those is a Secret."""
    if _SECRET.search(words) is None:
        return words
    begin = _BEGIN.search(words)
    return words if begin is None else words[: begin.start()] + MASK
