"""What one app leaves to others of each of its objects: for comparing, and for writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from mooring.names import APPLYSET_PART_OF, ID
from mooring.settings import Settings
from workers.cluster.live import Live
from workers.ignore.jq import Jq
from workers.ignore.keep import NOBODY, Owners, kept
from workers.ignore.paths import Paths, put, put_owned, without
from workers.ignore.rules import Expression, Rule, rules_of

# Whose an object is, and which one it is, is never left to others.
_NAMES: Final = ("name", "namespace")
_MARKS: Final = (("labels", APPLYSET_PART_OF), ("annotations", ID))


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules that speak of one object. May raise, as `Jq` does, Refused and Retryable."""

    rules: tuple[Rule, ...]
    jq: Jq

    @property
    def expressions(self) -> list[Expression]:
        """Those of all rules."""
        return [each for rule in self.rules for each in rule.expressions]

    @property
    def words(self) -> list[list[object]]:
        """The rules as JSON: with others, an object is to be compared anew."""
        return [
            [rule.pointers, [each.text for each in rule.expressions], rule.managers] for rule in self.rules
        ]

    def rest(self, body: dict[str, Any], live: Live) -> dict[str, Any]:
        """`body`, a version of `live`, without what is ignored."""
        return _identified(without(body, self._paths(body, live)), body)

    def sent(self, body: dict[str, Any], live: Live, *, merged: bool = False) -> dict[str, Any]:
        """What to write in place of the manifest `body`, so that what is ignored stays as it is in `live`,
        which must have its body. `merged`: it is written by a merge or a replacement, not by an apply."""
        assert live.body is not None
        owners = NOBODY if merged else Owners.of(live)
        there = self._paths(live.body, live)
        return _identified(kept(body, live.body, self._paths(body, live), there, owners), body)

    def _paths(self, body: dict[str, Any], live: Live) -> Paths:
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
    """The rules of one app, for as long as it is looked at."""

    def __init__(self, rules: tuple[Rule, ...], jq: Jq) -> None:
        self._rules = rules
        self._jq = jq

    def of(self, key: ObjectKey) -> Ignored | None:
        """The rules that speak of the object; None where none does."""
        found = tuple(rule for rule in self._rules if rule.concerns(key))
        return Ignored(found, self._jq) if found else None


def ignoring(written: Sequence[IgnoreDifference], settings: Settings) -> Ignore:
    """What `spec.ignoreDifferences` says. Raises Refused, naming the place, for what makes no sense there."""
    rules, jq = rules_of(written), Jq(settings)
    jq.check([each for rule in rules for each in rule.expressions])
    return Ignore(rules, jq)


def _identified(body: dict[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with what identifies the object taken from its version `of`."""
    metadata, given = dict(body.get("metadata") or {}), of["metadata"]
    metadata |= {name: given[name] for name in _NAMES if name in given}
    for field, mark in _MARKS:
        if mark in (given.get(field) or {}):
            metadata[field] = {**(metadata.get(field) or {}), mark: given[field][mark]}
    kind = {name: of[name] for name in ("apiVersion", "kind") if name in of}
    return {**body, **kind, "metadata": metadata}
