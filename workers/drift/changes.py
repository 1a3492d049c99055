"""Two versions of an object into changes of fields, and who owns each by managedFields. Pure.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mooring.drift import Change
from mooring.names import FIELD_MANAGER
from mooring.text import printable
from workers.ignore.paths import Fields, children, named

_LONGEST: Final = 100  # characters of a value
_NAME: Final = 120  # and of a name that somebody gave
_DEEPEST: Final = 60  # below that, all is one field

# Who logs in and with what, of a URL; on doubt more, for a password may have any character.
_LOGIN: Final = re.compile(r"://(?:[^/\s\"]*|[^/\s\":]*:[^\s\"]*)@")
_READ: Final = 4096  # characters of a value, in which that is looked for

Place = tuple[str | int, ...]  # keys and indexes in the body that was found


@dataclass(frozen=True, slots=True)
class _Absent:
    """Where there is nothing, not even null."""


_NOTHING: Final = _Absent()


def changes(
    found: Mapping[str, Any], wanted: Mapping[str, Any], managed: Sequence[Mapping[str, Any]]
) -> tuple[Change, ...]:
    """What of `found` is not as in `wanted`, field by field and in the order of their names; of `managed`,
    the managedFields of what was found, who owns each.

    An item of a list is named by its `name`, where each has one of its own; else by its index. Secrets are
    not masked here: what is given has to be. Of URLs, user and password are left out.
    """
    return tuple(
        _change(field, wants, has, _owner(managed, found, place) if has is not _NOTHING else {})
        for place, field, has, wants in _differences(found, wanted, (), "")
    )


def _change(field: str, wanted: Any, found: Any, owner: Mapping[str, Any]) -> Change:
    manager, operation, subresource, time = (
        printable(str(owner.get(name) or ""))[:_NAME]
        for name in ("manager", "operation", "subresource", "time")
    )
    return Change(field, _shown(wanted), _shown(found), manager, operation, subresource, time)


def _differences(found: Any, wanted: Any, place: Place, said: str) -> Iterator[tuple[Place, str, Any, Any]]:
    """Each place and its name, with what is found there and what is wanted."""
    if found is not _NOTHING and wanted is not _NOTHING and found == wanted:
        return
    if len(place) < _DEEPEST and isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}):
            below = found.get(key, _NOTHING), wanted.get(key, _NOTHING)
            yield from _differences(*below, (*place, key), _below(said, key))
    elif len(place) < _DEEPEST and isinstance(found, list) and isinstance(wanted, list):
        yield from _items(found, wanted, place, said)
    else:
        yield place, said, found, wanted


def _items(
    found: list[Any], wanted: list[Any], place: Place, said: str
) -> Iterator[tuple[Place, str, Any, Any]]:
    here, there = _by_name(found), _by_name(wanted)
    if here is None or there is None:
        if len(found) != len(wanted):
            yield place, said, found, wanted
            return
        for index, (has, wants) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(has, wants, (*place, index), f"{said}[{index}]")
        return
    if [name for name in here if name in there] != [name for name in there if name in here]:
        yield place, said, found, wanted  # in another order
        return
    for name in dict.fromkeys((*here, *there)):
        at = here.get(name, len(found))
        has = found[at] if name in here else _NOTHING
        wants = wanted[there[name]] if name in there else _NOTHING
        yield from _differences(has, wants, (*place, at), f"{said}[name={_cut(printable(name))}]")


def _by_name(items: list[Any]) -> dict[str, int] | None:
    """Where each item is by its name; None unless each has one of its own."""
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    given = {name: index for index, name in enumerate(names) if isinstance(name, str)}
    return given if len(given) == len(items) else None


def _below(said: str, key: str) -> str:
    """`spec.replicas`, or `metadata.annotations["a.b/c"]` for what is no plain word."""
    shown = _cut(printable(key))
    if shown.replace("-", "").replace("_", "").isalnum():
        return f"{said}.{shown}" if said else shown
    return f"{said}[{json.dumps(shown, ensure_ascii=False)}]"


def _owner(managed: Sequence[Mapping[str, Any]], body: Any, place: Place) -> Mapping[str, Any]:
    """The entry that owns the place: of several the one that wrote last, and others before ours, since what
    we wrote is what Git wants; none, where nobody owns it."""
    owners = [entry for entry in managed if _owns(entry.get("fieldsV1") or {}, body, place)]
    latest = sorted(owners, key=lambda one: (one.get("manager") != FIELD_MANAGER, str(one.get("time") or "")))
    return latest[-1] if latest else {}


def _owns(fields: Fields, body: Any, place: Place) -> bool:
    """Whether the place, or all around it, or some of what is below, is among `fields`."""
    for step in place:
        under = next((below for name, below in children(fields).items() if named(name, body) == step), None)
        if under is None:
            return False
        if not children(under):
            return True
        fields, body = under, body[step]
    return True


def _shown(value: Any) -> str | None:
    if value is _NOTHING:
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:_READ]
        return _cut(printable(_LOGIN.sub("://***@", text)))
    except RecursionError:
        return "…"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
