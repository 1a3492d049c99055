"""Says which fields of an object cannot be changed, and how they differ from Git. Pure.

The server answers with the whole value of such a field, thousands of characters for a pod template. People
want to know what of it is not the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_SHOWN = 3  # differences
_LONGEST = 60  # characters of a value
# Values of these may be credentials, or are too long to be read.
_UNSHOWN: Final = frozenset(("args", "command", "data", "binaryData", "stringData", "env", "annotations"))
_EXCEPT = re.compile(r"(?:other than|except) (.+)")
_NAMES = re.compile(r"[a-z]\w+")
Path = tuple[str | int, ...]


def told(
    causes: Sequence[tuple[str, str]],
    wanted: Mapping[str, Any],
    live: Mapping[str, Any] | None,
    *,
    secret: bool = False,
) -> str:
    """`spec.template (containers[0].image is "a:1", Git has "a:2")` for what the server said: `causes` are
    its fields and words. No value of a `secret` object is told."""
    parts = []
    for field, words in dict(causes).items():
        path = _path(field)
        differing = () if live is None else _differing(_at(wanted, path), _at(live, path), _allowed(words))
        found = [_line(at, theirs, ours, secret=secret, above=path) for at, theirs, ours in differing]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        shown = ", ".join([*found[:_SHOWN], *more])
        parts.append(f"{field} ({shown})" if shown else field)
    return ", ".join(parts)


def _path(field: str) -> Path:
    """`spec.ports[0].nodePort`, as the API server names fields."""
    return tuple(
        int(part) if part.isdecimal() else part for part in re.split(r"[.\[\]]+", field.strip(".")) if part
    )


def _at(value: Any, path: Path) -> Any:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(str(part))
        elif isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _allowed(words: str) -> frozenset[str]:
    """Fields below that may be changed all the same, where the server names them."""
    found = _EXCEPT.search(words)
    return frozenset(_NAMES.findall(found[1])) if found else frozenset()


def _differing(
    ours: Any, theirs: Any, allowed: frozenset[str] = frozenset(), at: Path = ()
) -> Iterator[tuple[Path, Any, Any]]:
    """Where Git says something that the object does not have: the path, what it has, what Git has."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name, value in ours.items():
            if not (at == () and name in allowed):
                yield from _differing(value, theirs.get(name), at=(*at, name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differing(mine, its, at=(*at, number))
    elif ours != theirs and ours is not None:
        yield at, theirs, ours


def _line(at: Path, theirs: Any, ours: Any, *, secret: bool, above: Path) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(".")
    hidden = secret or not _UNSHOWN.isdisjoint(str(part) for part in (*above, *at))
    if hidden or isinstance(ours, Mapping | list) or isinstance(theirs, Mapping | list):
        return f"{name} differs".strip()
    has = "has none" if theirs is None else f"is {_value(theirs)}"
    return f"{name} {has}, Git has {_value(ours)}".strip()


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
