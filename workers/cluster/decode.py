"""JSON of an API server, which takes more levels than our parser: what one object is nested too deep for must
not hide all others in the same list."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_DEEPEST: Final = 500  # levels that are read; the parser knows 1024, Git and Applications may have far fewer
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
