"""What strangers wrote, as it may be shown to people: in a terminal, a log, a condition."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` in which whatever is no visible character is spelt out: `\\x1b` for Escape.

    A file's name may hold what clears the screen, writes a line of its own into a log, or turns the
    direction of reading round: https://trojansource.codes
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
