"""Where what was fetched for a render came from: as text for read-sets, and to be asked for again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

_SAFE = "/:@?&=+,;~!$'()*[]^<>|"


@dataclass(frozen=True, slots=True)
class Address:
    """`kind` is "git" (of URL, revision), "chart" (of repository, chart, revision) or "file" (of URL)."""

    kind: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Address:
        """Inverse of `str`."""
        kind, *parts = text.split(" ")
        return cls(kind, tuple(unquote(part) for part in parts))

    def __str__(self) -> str:
        return " ".join((self.kind, *(quote(part, safe=_SAFE) for part in self.parts)))
