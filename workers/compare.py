"""How an app differs from Git, found without writing: proof where there is one, a dry-run where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mooring.errors import ClusterUnavailable, Conflict, MooringError
from mooring.keys import ObjectKey
from mooring.names import APPLYSET_PART_OF
from mooring.store.proofs import Proof
from mooring.text import few_reasons
from workers.apps.conditions import FOREIGN_FIELDS
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live, comparable
from workers.desired import Desired
from workers.foreign import Foreign, drift
from workers.ignore.ahead import ahead, learn
from workers.plan import Notice, Plan, Step, Verb
from workers.proof import record
from workers.removed import taken
from workers.report import Seen
from workers.write import tried

_SHOWN: Final = 5  # foreign fields of one object
_MANY: Final = 10  # objects of one kind, to read which one by one costs the API server more than a LIST


@dataclass(frozen=True, slots=True)
class Difference:
    """One object before and after an apply that was only tried; None means it does not exist."""

    key: ObjectKey
    before: Mapping[str, Any] | None = field(repr=False)
    after: Mapping[str, Any] | None = field(repr=False)
    live: Live | None = None  # as it was found, with its managedFields


@dataclass(frozen=True, slots=True)
class Compared:
    """Every desired object, what differs, and proofs for those that were found equal by a dry-run; `foreign`
    are the fields that others have set, of the objects where that is drift. `taken` are equal, but others
    have taken fields of theirs (workers/removed.py): a sync has those to take back, so nothing proves them.
    `ignored` is what differs of equal objects, and is left to others."""

    seen: tuple[Seen, ...]
    differences: tuple[Difference, ...]
    proofs: Mapping[ObjectKey, Proof]
    notices: tuple[Notice, ...]
    drifted: frozenset[ObjectKey]  # what a sync may write and would change
    foreign: Mapping[ObjectKey, tuple[Foreign, ...]]
    taken: frozenset[ObjectKey] = frozenset()
    ignored: tuple[Difference, ...] = ()


def compare(plan: Plan, api: Api, executor: Executor, schema: Callable[[Desired], str]) -> Compared:
    """Compare what `plan` would write with what is there, but for what is ignored. Raises ClusterUnavailable,
    and Refused for rules that cannot be applied."""
    seen: list[Seen] = []
    differences: list[Difference] = []
    proofs: dict[ObjectKey, Proof] = {}
    notices: list[Notice] = []
    drifted: set[ObjectKey] = set()
    foreign: dict[ObjectKey, tuple[Foreign, ...]] = {}
    ignored: list[Difference] = []
    for step in (*plan.kept, *plan.refused):
        assert step.desired is not None
        seen.append(Seen(step.desired, step.live, step.verb is Verb.KEEP))
    steps = [step for group in ahead(plan, api, executor, to_write=False).writes for step in group]
    steps = _whole(steps, api, executor)
    found = list(executor.map(lambda step: _try(step, api), steps))
    learn((one.item, body) for one in found if one.differs for body in (one.before, one.after) if body)
    for one in found:
        if one.error:
            notices.append(Notice("ComparisonError", f"{one.item.where}: {one.error}"))
            seen.append(Seen(one.item, one.live, False))
            continue
        before, after = one.compared() if one.differs else (one.before, one.after)
        equal = before is not None and before == after
        seen.append(Seen(one.item, one.live, equal))
        if not equal:
            drifted.add(one.item.key)
            differences.append(Difference(one.item.key, before, after, one.live))
            if one.live is not None and (fields := drift(one.item, one.live)):
                foreign[one.item.key] = fields
                notices.append(_told(one.item.key, fields))
        elif one.live is not None and one.proves and not one.taken:
            proofs[one.item.key] = record(one.item.digest, schema(one.item), one.live)
        if equal and (left := one.left_to_others) is not None:
            ignored.append(left)
    lost = frozenset(one.item.key for one in found if one.taken) - drifted
    return Compared(
        seen=tuple(seen),
        differences=tuple(differences),
        proofs=proofs,
        notices=tuple(notices),
        drifted=frozenset(drifted),
        foreign=foreign,
        taken=lost,
        ignored=tuple(ignored),
    )


def _told(key: ObjectKey, fields: Sequence[Foreign]) -> Notice:
    shown = few_reasons([str(one) for one in fields], _SHOWN)
    return Notice(FOREIGN_FIELDS, f"{key.title}: {shown}; Git does not have it, and a sync takes it off")


@dataclass(frozen=True, slots=True)
class _Tried:
    """An object, and what writing it would make of it, or why that was refused. What is ignored was left
    alone in this: to write it could be refused, as a change of what cannot change is."""

    item: Desired
    live: Live | None
    before: dict[str, Any] | None = field(default=None, repr=False)
    after: dict[str, Any] | None = field(default=None, repr=False)
    error: str = ""
    taken: bool = False  # whether others have taken fields of ours

    @property
    def differs(self) -> bool:
        return not self.error and self.before != self.after

    @property
    def proves(self) -> bool:
        """Whether a sync has nothing to do here. It writes what is ignored as Git has it, unless it is told
        not to: where that is another value, it must find no proof."""
        ignored, options = self.item.ignored, self.item.options
        if ignored is None or options.respect_ignore_differences or options.apply_out_of_sync_only:
            return True
        assert self.live is not None
        return not self.differs and ignored.sent(self.item.body, self.live) == self.item.body

    @property
    def left_to_others(self) -> Difference | None:
        """What would be sent, and what Git has, which is otherwise where it is ignored; None for nothing."""
        if self.item.ignored is None or self.live is None or self.live.body is None:
            return None
        there = self.item.ignored.sent(self.item.body, self.live)
        if there == self.item.body:
            return None
        return Difference(self.item.key, there, self.item.body, self.live)

    def compared(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Before and after, without what is ignored of an object that is there."""
        before, after, live, ignored = self.before, self.after, self.live, self.item.ignored
        if ignored is None or live is None or before is None or after is None:
            return before, after
        return ignored.compared(before, after, live)


def _whole(steps: Sequence[Step], api: Api, executor: Executor) -> list[Step]:
    """`steps` with whole live objects where many of one kind are to be tried: one LIST instead of a GET for
    each. Whatever that does not show as it was seen is read by itself."""
    places: dict[tuple[Kind, str, str], list[ObjectKey]] = {}
    for step in steps:
        if step.live is not None and step.live.body is None:
            applyset = step.live.labels.get(APPLYSET_PART_OF, "")
            places.setdefault((step.live.kind, step.key.namespace, applyset), []).append(step.key)
    many = [place for place, keys in places.items() if place[2] and len(keys) >= _MANY]

    def listed(place: tuple[Kind, str, str]) -> tuple[Live, ...]:
        kind, namespace, applyset = place
        return api.list(kind, namespace, f"{APPLYSET_PART_OF}={applyset}", cached=True)

    read = {live.key: live for lives in executor.map(listed, many) for live in lives}

    def fuller(step: Step) -> Step:
        found, seen = read.get(step.key), step.live
        same = found and seen and (found.uid, found.resource_version) == (seen.uid, seen.resource_version)
        return replace(step, live=found) if same else step

    return [fuller(step) for step in steps]


def _try(step: Step, api: Api) -> _Tried:
    item = step.desired
    assert item is not None
    live = step.live
    try:
        for _ in range(3):
            if live is not None and live.body is None:
                live = api.get(item.kind, item.key.namespace, item.key.name)
            if live is None:
                return _Tried(item, None, after=comparable(item.body))
            assert live.body is not None
            try:
                after = tried(item.leaving, live, api)
                # What is to be deleted and created anew becomes what Git has.
                made = item.body if after is None else after.body or {}
                # What is ignored may be theirs.
                lost = after is not None and item.ignored is None and taken(live, after)
                return _Tried(item, live, comparable(live.body), comparable(made), taken=lost)
            except Conflict:  # it is not as it was seen
                live = replace(live, body=None)
    except ClusterUnavailable:
        raise
    except MooringError as error:
        return _Tried(item, step.live, error=str(error))
    raise ClusterUnavailable(f"{item.key.title} keeps changing while it is compared", after=2)
