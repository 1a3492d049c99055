"""Which objects an app has in a cluster: grown before the first create, shrunk after the last look.

Pure. What cannot be understood is refused and never read as "nothing": an empty inventory would orphan
all that the app has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from mooring.errors import Refused
from mooring.keys import ObjectKey

Origin = Literal["created", "adopted"]
Writer = Literal["apply", "merge", "replace"]
VERSION: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where objects of one kind are. `namespace` is "" for those that are in none."""

    group: str
    kind: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.group}/{self.kind}/{self.namespace}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Inverse of `str`. Raises ValueError for anything else."""
        group, kind, namespace = text.split("/")
        if not kind:
            raise ValueError(f"no kind in {text!r}")
        return cls(group, kind, namespace)


@dataclass(frozen=True, slots=True)
class Entry:
    """`origin`: made by the app, or there before it. `writer`: how it is written, which decides what
    managedFields of ours look like."""

    origin: Origin = "created"
    writer: Writer = "apply"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of one app in one cluster, and where its hooks have ever been: those are none of them."""

    entries: Mapping[ObjectKey, Entry] = field(default_factory=dict)
    hooks: frozenset[Place] = frozenset()

    def with_(self, entries: Mapping[ObjectKey, Entry], hooks: Iterable[Place] = ()) -> Inventory:
        """With `entries` and `hooks` added; where a key is there already, the new entry counts."""
        return Inventory({**self.entries, **entries}, self.hooks.union(hooks))

    def without(self, keys: Iterable[ObjectKey]) -> Inventory:
        """Without `keys`; those that are not there are no error."""
        gone = set(keys)
        return replace(self, entries={key: one for key, one in self.entries.items() if key not in gone})

    @property
    def group_kinds(self) -> tuple[str, ...]:
        """`<Kind>.<Group>`, or `<Kind>` of the core group; sorted."""
        return tuple(sorted({f"{key.kind}.{key.group}" if key.group else key.kind for key in self.entries}))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where the objects are; sorted, without the cluster scope."""
        return tuple(sorted({key.namespace for key in self.entries if key.namespace}))

    def to_json(self) -> dict[str, Any]:
        """`{"version": 1, "objects": {"<group>/<kind>": {"<namespace>/<name>": "created apply"}}}`: the
        entries alone."""
        objects: dict[str, dict[str, str]] = {}
        for key, entry in self.entries.items():
            names = objects.setdefault(f"{key.group}/{key.kind}", {})
            names[f"{key.namespace}/{key.name}"] = f"{entry.origin} {entry.writer}"
        return {"version": VERSION, "objects": objects}

    @classmethod
    def from_json(cls, data: Any) -> Inventory:
        """Inverse of `to_json`. Raises Refused for anything else, wholly: half an inventory is none."""
        if not isinstance(data, dict) or set(data) != {"version", "objects"} or data["version"] != VERSION:
            raise Refused("the inventory is not of a form that this version of Mooring knows")
        if not isinstance(data["objects"], dict):
            raise Refused("the inventory's objects are not a mapping")
        entries: dict[ObjectKey, Entry] = {}
        for group_kind, names in data["objects"].items():
            if not isinstance(names, dict):
                raise Refused(f"the inventory's {group_kind!r} is not a mapping")
            for name, words in names.items():
                entries[_key(group_kind, name)] = _entry(words)
        return cls(entries)


def _key(group_kind: str, name: str) -> ObjectKey:
    try:
        key = ObjectKey.parse(f"{group_kind}/{name}")
    except ValueError as error:
        raise Refused(f"the inventory names no object with {group_kind!r} {name!r}") from error
    if group_kind.count("/") != 1 or not key.kind or not key.name:
        raise Refused(f"the inventory names no object with {group_kind!r} {name!r}")
    return key


def _entry(words: Any) -> Entry:
    for origin in get_args(Origin):
        for writer in get_args(Writer):
            if words == f"{origin} {writer}":
                return Entry(origin, writer)
    raise Refused(f"the inventory has an entry that means nothing: {words!r}")
