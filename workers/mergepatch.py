"""JSON merge patches: how one is made, and what it makes of a value. Pure.

https://www.rfc-editor.org/rfc/rfc7396
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SCALARS: Final = frozenset((str, int, bool, float))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes `after` of `before`; empty when they are the same.

    Lists are replaced whole. Neither may hold a null in a mapping, as a patch cannot say it: see
    `without_nulls`.
    """
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        now = before.get(name)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            if inner := difference(now, value):
                patch[name] = inner
        elif value != now:
            patch[name] = value
    return patch


def merge(target: Any, patch: Any) -> Any:
    """`target` after `patch`; neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def without_nulls(value: Any) -> Any:
    """`value` without the mappings' nulls, at any depth: to the API server they mean absent."""
    if type(value) in _SCALARS:  # most are, and whether it is a mapping is asked slowly
        return value
    if isinstance(value, Mapping):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]
    return value
