"""What a Jsonnet file may import, found without evaluating it: the language has no computed imports.

So the files of a program, and the places where it looks for them, are known before it runs. What is found
here is copied for the evaluator; what is not found here does not exist for it.

https://jsonnet.org/ref/spec.html#lexing
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mooring.errors import RenderFailed
from mooring.text import printable
from workers.render.files import Files

_MOST_IMPORTS: Final = 50_000
_MOST_BYTES: Final = 64 << 20  # of what is searched for imports
_KEYWORDS: Final = frozenset(("import", "importstr", "importbin"))
# Where something begins in which a quote or a word is not what it looks like, and words themselves.
_BEGIN: Final = re.compile(r"""//|\#|/\*|\|\|\|-?[ \t\r]*\n\n*([ \t]+)|@?["']|[A-Za-z_]\w*""", re.ASCII)
# Possessive: no text makes them look at a character twice.
_STRINGS: Final = {
    '"': re.compile(r'((?:[^"\\]|\\.)*+)"', re.DOTALL),
    "'": re.compile(r"((?:[^'\\]|\\.)*+)'", re.DOTALL),
    '@"': re.compile(r'((?:[^"]|"")*+)"'),
    "@'": re.compile(r"((?:[^']|'')*+)'"),
}
_BLOCK_CLOSES: Final = re.compile(r"[ \t]*+\|\|\|")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Import:
    """One `import`, `importstr` or `importbin`, as it is written."""

    path: str
    is_code: bool  # its own imports count too
    line: int  # counted from 1


def imports_of(text: str) -> Iterator[Import]:
    """The imports that stand in a Jsonnet text, in linear time. A text that is no Jsonnet has those before
    the place where it ceases to be: it is the evaluator's to say what is wrong."""
    keyword, end, line, counted = "", 0, 1, 0
    while begin := _BEGIN.search(text, end):
        if text[end : begin.start()].strip():
            keyword = ""
        opening, end = begin[0], begin.end()
        if opening in ("//", "#"):
            end = text.find("\n", end)
        elif opening == "/*":
            close = text.find("*/", end)
            end = close + 2 if close >= 0 else -1
        elif begin[1]:
            keyword, end = "", _block_end(text, end, begin[1])
        elif quoted := _STRINGS.get(opening):
            string = quoted.match(text, end)
            if string is None:
                return
            if keyword:
                line, counted = line + text.count("\n", counted, begin.start()), begin.start()
                yield Import(_value(opening, string[1]), keyword == "import", line)
            keyword, end = "", string.end()
        else:
            keyword = opening if opening in _KEYWORDS else ""
        if end < 0:
            return


def closure(
    files: Files, entries: Sequence[str], snippets: Sequence[tuple[str, str]], folders: Sequence[str]
) -> list[str]:
    """The files that the Jsonnet files `entries` are made of, themselves included: all that may be imported,
    searched for where the evaluator does: beside the importing file, then in `folders`, the last one first.
    `snippets` are pairs of a name for messages and Jsonnet that lies in no file, but at the root.

    Every place that is looked at is among the reads of `files`. What is found nowhere is left out: it may
    never be evaluated. Raises RenderFailed, naming file and line, for an import that leads out of the
    repository, and for programs that are too large.
    """
    places = tuple(reversed(folders))
    found: dict[str, bool] = {}  # and whether it was searched for imports
    pending = list(entries)
    texts = [(name, "", text) for name, text in snippets]
    seen = size = 0
    while texts or pending:
        if not texts:
            path = pending.pop()
            found[path] = True
            data = files.read(path)
            size += len(data)
            if size > _MOST_BYTES:
                raise RenderFailed(f"more than {_MOST_BYTES >> 20} MiB of Jsonnet are imported", where=path)
            texts.append((printable(path), posixpath.dirname(path), data.decode(errors="replace")))
        name, folder, text = texts.pop()
        for wanted in imports_of(text):
            seen += 1
            if seen > _MOST_IMPORTS:
                raise RenderFailed(f"there are more than {_MOST_IMPORTS} imports in Jsonnet", where=name)
            path = _looked_up(files, wanted, (folder, *places), f"{name}:{wanted.line}")
            if path and not found.get(path):
                found[path] = wanted.is_code
                if wanted.is_code:
                    pending.append(path)
    return sorted(found)


def _looked_up(files: Files, wanted: Import, folders: Sequence[str], where: str) -> str:
    """The path of the file that is imported, "" when there is none."""
    if wanted.path.startswith("/") or any(ord(character) < 32 for character in wanted.path):
        raise _leads_out(wanted, where)
    for folder in folders:
        # As text, before any symbolic link is followed: so does the evaluator.
        path = posixpath.normpath(posixpath.join(folder, wanted.path))
        if path.startswith("../") or path in ("..", "."):
            raise _leads_out(wanted, where)
        found = files.find(path)
        if found is not None:
            return path if found.is_file else ""
    return ""


def _leads_out(wanted: Import, where: str) -> RenderFailed:
    return RenderFailed(
        f"the import of {wanted.path[:200]!r} leads out of the repository: give a path inside, from the file "
        "that imports or from one of directory.jsonnet.libs",
        where=where,
    )


def _block_end(text: str, at: int, indent: str) -> int:
    # A text block goes on while lines begin with the indent of its first one, or are empty.
    while (end := text.find("\n", at) + 1) > 0:
        while text.startswith("\n", end):
            end += 1
        at = end
        if not text.startswith(indent, at):
            closes = _BLOCK_CLOSES.match(text, at)
            return closes.end() if closes else -1
    return -1


def _value(opening: str, inside: str) -> str:
    quote = opening[-1]
    if opening[0] == "@":
        return inside.replace(quote * 2, quote)
    units = _ESCAPE.sub(
        lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2]), inside
    )
    # Two escapes may be the halves of one character.
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
