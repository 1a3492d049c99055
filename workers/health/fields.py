"""Reading fields of an object nobody has validated: absent and null are alike, a wrong type is `Malformed`.

The readers follow Kubernetes' own decoding: a missing field has its type's zero value.
"""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


class Malformed(ValueError):
    """A field has a type that its kind's schema does not allow. The message names the field."""


def _at(body: Body, path: tuple[str, ...], expected: type, called: str) -> Any:
    value: Any = body
    for depth, name in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Malformed(f"{'.'.join(path[:depth])} is not an object")
        value = value.get(name)
    # bool is an int to Python, but not to a schema.
    if value is not None and (
        not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
    ):
        raise Malformed(f"{'.'.join(path)} is not {called}")
    return value


def text(body: Body, *path: str) -> str:
    """The string at `path`, or empty."""
    return _at(body, path, str, "a string") or ""


def maybe_number(body: Body, *path: str) -> int | None:
    """The integer at `path`, or None where zero and absent differ."""
    value: int | None = _at(body, path, int, "an integer")
    return value


def number(body: Body, *path: str) -> int:
    """The integer at `path`, or 0."""
    return maybe_number(body, *path) or 0


def flag(body: Body, *path: str) -> bool:
    """The boolean at `path`, or False."""
    return bool(_at(body, path, bool, "a boolean"))


def mapping(body: Body, *path: str) -> Body | None:
    """The object at `path`, or None; an empty object is not None."""
    value: Body | None = _at(body, path, dict, "an object")
    return value


def items(body: Body, *path: str) -> list[Any]:
    """The list at `path`, or an empty one."""
    return _at(body, path, list, "a list") or []


def objects(body: Body, *path: str) -> list[Body]:
    """The list of objects at `path`, or an empty one."""
    found = items(body, *path)
    if not all(isinstance(item, dict) for item in found):
        raise Malformed(f"{'.'.join(path)} holds something that is not an object")
    return found


def condition(body: Body, kind: str) -> Body | None:
    """The first entry of `status.conditions` of type `kind`, or None."""
    return next((c for c in objects(body, "status", "conditions") if text(c, "type") == kind), None)


def is_observed(body: Body) -> bool:
    """Has the controller seen the newest spec? Until then its status speaks of an older one."""
    return number(body, "metadata", "generation") <= number(body, "status", "observedGeneration")
