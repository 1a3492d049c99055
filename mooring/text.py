"""Text as it may be shown to people: in a terminal, a log, a condition."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """`text` in which whatever is no visible character is spelt out: `\\x1b` for Escape.

    A file's name may hold what clears the screen, writes a line of its own into a log, or turns the
    direction of reading round: https://trojansource.codes
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def few(names: Sequence[str], most: int) -> str:
    """At most so many of the names, and how many others there are: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def few_reasons(reasons: Sequence[str], most: int) -> str:
    """At most so many of the reasons, and how many others there are: `a; b; and 3 more`."""
    more = [f"and {len(reasons) - most} more"] if len(reasons) > most else []
    return "; ".join([*reasons[:most], *more])
