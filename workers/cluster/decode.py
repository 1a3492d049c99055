"""JSON of an API server, which takes more levels than our parser: what one object is nested too deep for must
not hide all others in the same list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

_DEEPEST: Final = 500  # levels that are read; the parser knows 1024, Git and Applications may have far fewer
_ITEMS: Final = b'"items":['
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def decode(data: bytes) -> Any:
    """What `data` says. Of what is nested more than 500 levels deep, the rest is null. Raises
    orjson.JSONDecodeError for what is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        shallow = _shallow(data)
        if shallow == data:
            raise
        return orjson.loads(shallow)


def apart(data: bytes, begins: bytes) -> tuple[Any, Iterator[Any]]:
    """A list as a server writes it: what it says besides its items, and these, each decoded when its turn
    comes, so that they need not all be in memory at once. `begins`: as each of them does.

    Raises orjson.JSONDecodeError for what is no JSON, at once or later.
    """
    start, end = data.find(_ITEMS) + len(_ITEMS), data.rfind(b'}],"') + 1
    if start < end and data.startswith(begins, start):
        try:
            about = orjson.loads(data[:start] + data[end:])
            return about, _each(data[start:end].split(b"}," + begins), begins)
        except orjson.JSONDecodeError:  # it is written in another way
            pass
    about = decode(data)
    items = about.get("items") if isinstance(about, dict) else None
    return about, iter(items if isinstance(items, list) else ())


def _each(pieces: list[bytes], begins: bytes) -> Iterator[Any]:
    """The first piece has its beginning, the last one its end."""
    pieces[0] = pieces[0].removeprefix(begins)
    pieces[-1] = pieces[-1].removesuffix(b"}")
    pieces.reverse()
    while pieces:
        try:
            yield decode(begins + pieces[-1] + b"}")
        except orjson.JSONDecodeError:  # cut apart within: somebody has written just that into an object
            yield from decode(b"[" + begins + (b"}," + begins).join(reversed(pieces)) + b"}]")
            return
        pieces.pop()


def _shallow(data: bytes) -> bytes:
    """`data` with each array and object below the last level replaced by null."""
    kept: list[bytes] = []
    depth = begin = 0
    for token in _TOKEN.finditer(data):
        match token.group():
            case b"[" | b"{":
                depth += 1
                if depth == _DEEPEST + 1:
                    kept += [data[begin : token.start()], b"null"]
            case b"]" | b"}":
                if depth == _DEEPEST + 1:
                    begin = token.end()
                depth -= 1
    if depth > _DEEPEST:  # it ends in the midst of it
        return data
    return b"".join([*kept, data[begin:]])
