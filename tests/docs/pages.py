"""The pages, and what stands in them as code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_OTHERS: Final = ("README.md", "CHANGELOG.md", "charts/mooring/README.md")
PAGES: Final = tuple(sorted([*(ROOT / page for page in _OTHERS), *(ROOT / "docs").glob("*.md")]))
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", text)


def code(text: str) -> Iterator[str]:
    """Each line of shell code, and each `inline` piece; comments are left out."""
    for language, block in _FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ")
    yield from re.findall(r"`([^`\n]+)`", prose(text))


def calls(text: str, program: str) -> Iterator[list[str]]:
    """The words of each call of `program` in the code of a page, without the program itself."""
    for piece in code(text):
        # Placeholders as <id> and … are words like others here.
        plain = re.sub(r"<[^>]*>", "PLACEHOLDER", piece)
        try:
            words = shlex.split(plain, comments=True)
        except ValueError:
            continue
        if words and words[0].removeprefix(".venv/bin/") == program:
            yield words[1:]


def anchors(text: str) -> frozenset[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def blocks(page: str) -> list[str]:
    """The blocks of commands on a page, as they stand."""
    return [block for language, block in _FENCE.findall(read(page)) if language in ("sh", "bash", "console")]
