"""What is sent so that ignored fields stay as they are: Git's manifest, with those fields as they are live.

To leave a field out of an apply is not enough: what only we own would be removed. And to send it as it is
live would make it ours, and bring whoever applies it into conflict with us. So of what is ignored we hand
back just what we own already, at its live value; what others have made theirs is left out, and stays theirs.
What is owned as a whole (an atomic list) is sent whole, its ignored parts as they are live. Pure.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workers.cluster.live import Live
from workers.ignore.paths import Fields, Paths, children, has_keys, named, without

ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Owners:
    """What managedFields say of one place: `ours` is our entry's node (None: it is not ours), `all` are those
    of every entry. `inside`: it is a part of something that is owned as a whole."""

    ours: Fields | None
    all: tuple[Fields, ...]
    inside: bool = False

    @classmethod
    def of(cls, live: Live) -> Owners:
        """Those of the whole object."""
        entry = live.manager_entry()
        every = tuple(entry.get("fieldsV1") or {} for entry in live.managed_fields)
        return cls((entry.get("fieldsV1") or {}) if entry else None, every)

    @property
    def whole(self) -> bool:
        """Whether nobody owns a part of what is here."""
        return self.inside or not any(children(node) for node in self.all)

    @property
    def keys(self) -> tuple[str, ...]:
        """By which fields the items of a list are told apart; none where they are not, or are values."""
        found = (json.loads(name[2:]) for name in self._names if name.startswith("k:"))
        return tuple(dict.fromkeys(key for keys in found for key in keys))

    @property
    def is_set(self) -> bool:
        """Whether the items of a list are values, each there once."""
        return any(name.startswith("v:") for name in self._names)

    def field(self, name: str) -> Owners:
        """Of the field of this name."""
        return self._below(lambda node: node.get(f"f:{name}"))

    def item(self, items: Sequence[Any], index: int) -> Owners:
        """Of the item at `index` of `items`, the live list that is here."""
        return self._below(
            lambda node: next((node[name] for name in children(node) if named(name, items) == index), None)
        )

    @property
    def _names(self) -> Iterator[str]:
        return (name for node in self.all for name in children(node))

    def _below(self, get: Callable[[Fields], Fields | None]) -> Owners:
        ours = get(self.ours) if self.ours is not None else None
        every = tuple(found for node in self.all if (found := get(node)) is not None)
        return Owners(ours, every, self.whole)


# Of an object that is not written by apply: there, what is left out is removed, whoever it belongs to.
NOBODY: Final = Owners(None, (), inside=True)


def kept(git: Any, live: Any, ignored: Paths, there: Paths, owners: Owners) -> Any:
    """What is to be sent in place of `git`, so that what is ignored stays as it is in `live`.

    `ignored` is what is ignored of `git`, `there` of `live`: a place that is ignored in either is left alone
    in both. An item of a list that is not live yet is sent as Git has it.
    """
    if isinstance(git, Mapping):
        return _mapping(git, live if isinstance(live, Mapping) else {}, ignored, there, owners)
    if isinstance(git, list) and isinstance(live, list):
        return _list(git, live, ignored, there, owners)
    return git


def _mapping(
    git: Mapping[str, Any], live: Mapping[str, Any], ignored: Paths, there: Paths, owners: Owners
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in dict.fromkeys((*git, *map(str, there))):
        own, now = git.get(name, ABSENT), live.get(name, ABSENT)
        in_git, in_live = ignored.get(name), there.get(name)
        below = owners.field(name)
        if in_git is None and in_live is None:
            value = own
        elif in_git == {} or in_live == {}:
            value = _left_alone(now, below)
        elif own is ABSENT:
            value = _rest(now, in_live or {}, below)
        else:
            value = kept(own, now, in_git or {}, in_live or {}, below)
            if own and value in ({}, []):
                value = ABSENT
        if value is not ABSENT:
            result[name] = value
    return result


def _list(git: list[Any], live: list[Any], ignored: Paths, there: Paths, owners: Owners) -> list[Any]:
    if owners.whole and without(git, ignored) == without(live, there):
        return live
    keys, pairs = owners.keys, _pairs(git, live, ignored, there, owners)
    result = []
    for index, item in enumerate(git):
        at = pairs.get(index)
        in_git, in_live = ignored.get(index), None if at is None else there.get(at)
        if in_git == {} or in_live == {}:
            value = ABSENT if at is None else _left_alone(live[at], owners.item(live, at))
        elif at is None:
            value = item
        else:
            value = kept(item, live[at], in_git or {}, in_live or {}, owners.item(live, at))
        if isinstance(value, dict) and value is not item:
            value |= {key: item[key] for key in keys if key in item}
        result.append(value)
    met = set(pairs.values())
    result += [
        _left_alone(item, owners.item(live, at))
        for at, item in enumerate(live)
        if at not in met and there.get(at) == {}
    ]
    return [value for value in result if value is not ABSENT]


def _left_alone(now: Any, owners: Owners) -> Any:
    """What is sent of `now`, which is ignored: what is ours of it."""
    if now is ABSENT or owners.inside:
        return now
    return ABSENT if owners.ours is None else _picked(now, owners.ours)


def _rest(now: Any, there: Paths, owners: Owners) -> Any:
    """What is sent of `now`, which Git does not have, and of which only `there` is ignored."""
    if not there:
        return _left_alone(now, owners)
    if not isinstance(now, Mapping):
        return ABSENT
    found = {
        str(name): value
        for name, below in there.items()
        if (value := _rest(now.get(str(name), ABSENT), below, owners.field(str(name)))) is not ABSENT
    }
    return found or ABSENT


def _picked(value: Any, fields: Fields) -> Any:
    """The part of `value` that `fields` own."""
    below = children(fields)
    if not below or not isinstance(value, dict | list):
        return value
    places = [(key, node) for name, node in below.items() if (key := named(name, value)) is not None]
    if isinstance(value, list):
        return [_picked(value[int(at)], node) for at, node in sorted(places, key=lambda place: int(place[0]))]
    return {str(key): _picked(value[key], node) for key, node in places}


def _pairs(git: list[Any], live: list[Any], ignored: Paths, there: Paths, owners: Owners) -> dict[int, int]:
    """Which item of `live` each one of `git` is, where it is one."""
    keys = owners.keys
    if keys or owners.is_set:

        def same(item: Any, other: Any) -> bool:
            if not keys:
                return bool(item == other)
            return isinstance(other, Mapping) and has_keys(item, {k: other[k] for k in keys if k in other})

        return {
            index: at
            for index, item in enumerate(git)
            if (at := next((at for at, other in enumerate(live) if same(item, other)), None)) is not None
        }
    # Nothing names them: it is the one that is the same but for what is ignored, else the one in its place.
    rests = [without(item, there.get(at) or {}) for at, item in enumerate(live)]
    pairs: dict[int, int] = {}
    for index, item in enumerate(git):
        rest = without(item, ignored.get(index) or {})
        at = next((at for at, other in enumerate(rests) if other == rest and at not in pairs.values()), None)
        if at is not None and ignored.get(index) != {}:
            pairs[index] = at
    if len(git) == len(live):
        free = set(range(len(live))) - set(pairs.values())
        pairs |= {index: index for index in range(len(git)) if index not in pairs and index in free}
    return pairs
