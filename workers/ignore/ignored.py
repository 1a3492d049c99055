"""What one app leaves to others of each of its objects: for comparing, and for writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from mooring.names import APPLYSET_PART_OF, ID, LAST_APPLIED
from mooring.settings import Settings
from workers.cluster.live import Live
from workers.ignore import comparing
from workers.ignore.comparing import Comparing, KnownField
from workers.ignore.jq import Jq
from workers.ignore.keep import NOBODY, Owners, kept
from workers.ignore.known_types import Types, alike
from workers.ignore.paths import Paths, put, put_owned, without
from workers.ignore.rules import Expression, Rule, rules_of

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
# Whose an object is, and which one it is, is never left to others.
_NAMES: Final = ("name", "namespace")
_MARKS: Final = (("labels", APPLYSET_PART_OF), ("annotations", ID))
# What a merge writes down of all that it has sent, what is ignored included.
_RECORD: Final = ("metadata", "annotations", LAST_APPLIED)


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules that speak of one object; `known` are its fields of `types` in which different words mean the
    same. May raise, as `Jq` and `Types` do, Refused and Retryable."""

    rules: tuple[Rule, ...]
    jq: Jq
    known: tuple[KnownField, ...] = ()
    types: Types | None = None

    @property
    def expressions(self) -> list[Expression]:
        """Those of all rules."""
        return [each for rule in self.rules for each in rule.expressions]

    @property
    def words(self) -> list[object]:
        """The rules as JSON: with others, an object is to be compared anew."""
        rules: list[object] = [
            [rule.pointers, [each.text for each in rule.expressions], rule.managers] for rule in self.rules
        ]
        return [rules, [[one.path, one.type] for one in self.known]]

    def compared(
        self, before: dict[str, Any], after: dict[str, Any], live: Live
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """These two versions of `live` without what is ignored; what means the same is written the same."""
        before, after = self.rest(before, live), self.rest(after, live)
        if self.known and self.types is not None and before != after:
            after = alike(after, before, self.known, self.types.of(self.known))
        return before, after

    def rest(self, body: dict[str, Any], live: Live) -> dict[str, Any]:
        """`body`, a version of `live`, without what is ignored."""
        paths = self.paths(body, live)
        put(paths, body, _RECORD)
        return _identified(without(body, paths), body)

    def sent(self, body: dict[str, Any], live: Live, *, merged: bool = False) -> dict[str, Any]:
        """What to write in place of the manifest `body`, so that what is ignored stays as it is in `live`,
        which must have its body. `merged`: it is written by a merge or a replacement, not by an apply."""
        assert live.body is not None
        owners = NOBODY if merged else Owners.of(live)
        there = self.paths(live.body, live)
        return _identified(kept(body, live.body, self.paths(body, live), there, owners), body)

    def paths(self, body: dict[str, Any], live: Live) -> Paths:
        """What is ignored of `body`, a version of `live`."""
        paths: Paths = {}
        for place in self.jq.places(self.expressions, body):
            put(paths, body, place)
        for rule in self.rules:
            for pointer in rule.pointers:
                put(paths, body, pointer)
            for entry in live.managed_fields if rule.managers else ():
                if entry.get("manager") in rule.managers:
                    put_owned(paths, body, entry.get("fieldsV1") or {})
        return paths


class Ignore:
    """The rules of one app and of all, for as long as it is looked at."""

    def __init__(self, rules: tuple[Rule, ...], jq: Jq, of_all: Comparing, types: Types | None) -> None:
        self._rules = (*rules, *of_all.rules)
        self._jq = jq
        self._of_all = of_all
        self._types = types

    def of(self, key: ObjectKey) -> Ignored | None:
        """The rules that speak of the object; None where none does."""
        found = tuple(rule for rule in self._rules if rule.concerns(key))
        known = self._of_all.known.get((key.group, key.kind), ())
        return Ignored(found, self._jq, known, self._types) if found or known else None


def ignoring(
    written: Sequence[IgnoreDifference],
    settings: Settings,
    config: Mapping[str, str] = _NOTHING,
    types: Types | None = None,
) -> Ignore:
    """What `spec.ignoreDifferences` says, and `config`, the data of ConfigMap argocd-cm. Raises Refused,
    naming the place, for what makes no sense there."""
    rules, jq, of_all = rules_of(written), Jq(settings), comparing.read(comparing.written(config))
    jq.check([each for rule in (*rules, *of_all.rules) for each in rule.expressions])
    return Ignore(rules, jq, of_all, types)


def _identified(body: dict[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with what identifies the object taken from its version `of`."""
    metadata, given = dict(body.get("metadata") or {}), of["metadata"]
    metadata |= {name: given[name] for name in _NAMES if name in given}
    for field, mark in _MARKS:
        if mark in (given.get(field) or {}):
            metadata[field] = {**(metadata.get(field) or {}), mark: given[field][mark]}
    kind = {name: of[name] for name in ("apiVersion", "kind") if name in of}
    return {**body, **kind, "metadata": metadata}
