"""Places in one body, as a tree, and the body without them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

# By the key of a mapping or the index of a list; an empty tree is the whole of what is there.
Paths: TypeAlias = "dict[str | int, Paths]"
Fields: TypeAlias = Mapping[str, Any]  # FieldsV1, or a part of it

_ABSENT: Final = object()


def put(paths: Paths, body: Any, path: Sequence[Any]) -> None:
    """Enter into `paths` what `path` names in `body`: keys, indexes, and slices as jq has them.

    A key that is not there is entered all the same, an index is not. The empty path is all of `body`.
    """
    if not path:
        if isinstance(body, Mapping):
            paths.update({name: {} for name in body})
        return
    step, rest = path[0], path[1:]
    for key in _keys(body, step):
        inner = body[int(key)] if isinstance(body, list) else _get(body, key)
        if not rest:
            paths[key] = {}
        elif paths.get(key) != {}:
            below: Paths = paths.get(key, {})
            put(below, inner, rest)
            if below:
                paths[key] = below


def put_owned(paths: Paths, body: Any, fields: Fields) -> None:
    """Enter into `paths` what `fields`, a manager's entry, names in `body`.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ (FieldsV1)
    """
    for name, below in children(fields).items():
        key = named(name, body)
        if key is None:
            continue
        if not children(below):
            paths[key] = {}
        elif paths.get(key) != {}:
            inner: Paths = paths.get(key, {})
            put_owned(inner, body[key], below)
            if inner:
                paths[key] = inner


def children(fields: Fields) -> Fields:
    """What is owned below a node; nothing where the node is owned as a whole, or itself only."""
    return {name: below for name, below in fields.items() if name != "."}


def named(name: str, body: Any) -> str | int | None:
    """The key or index in `body` that a name of FieldsV1 (`f:…`, `k:…`, `v:…`, `i:…`) means; None: none."""
    kind, _, text = name.partition(":")
    if kind == "f":
        return text if isinstance(body, Mapping) and text in body else None
    if not isinstance(body, list):
        return None
    value = json.loads(text)
    if kind == "i":
        return int(value) if 0 <= int(value) < len(body) else None
    for index, item in enumerate(body):
        if (kind == "v" and item == value) or (kind == "k" and has_keys(item, value)):
            return index
    return None


def has_keys(item: Any, keys: Mapping[str, Any]) -> bool:
    """Whether `item` is the one that merge keys name. One that has a default may be left out in Git."""
    if not isinstance(item, Mapping):
        return False
    given = [name for name in keys if name in item]
    return bool(given) and all(item[name] == keys[name] for name in given)


def without(value: Any, paths: Paths) -> Any:
    """`value` without what is at `paths` and what became empty by that; nothing is changed in place."""
    if not paths:
        return value
    if isinstance(value, Mapping):
        return dict(_left(value, paths))
    if isinstance(value, list):
        return [
            without(item, paths.get(index) or {})
            for index, item in enumerate(value)
            if paths.get(index) != {}
        ]
    return value


def _left(value: Mapping[str, Any], paths: Paths) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        below = paths.get(name)
        if below is None:
            yield name, item
        elif below:
            inner = without(item, below)
            if inner or not isinstance(inner, dict | list):
                yield name, inner


def _keys(body: Any, step: Any) -> Sequence[str | int]:
    if isinstance(body, list):
        if isinstance(step, Mapping):
            return _slice(step, len(body))
        if isinstance(step, str):  # a JSON pointer does not say what it means
            if not (step.isascii() and step.isdigit()):
                return ()
            step = int(step[:12])
        index = int(step) + (len(body) if step < 0 else 0)
        return (index,) if 0 <= index < len(body) else ()
    if (isinstance(body, Mapping) or body is _ABSENT) and isinstance(step, str):
        return (step,)
    return ()


def _slice(step: Mapping[str, Any], length: int) -> Sequence[int]:
    bounds = (None if step.get(end) is None else int(step[end]) for end in ("start", "end"))
    return range(*slice(*bounds).indices(length))


def _get(body: Any, key: str | int) -> Any:
    return body.get(key, _ABSENT) if isinstance(body, Mapping) else _ABSENT
