"""How an app differs from Git, found without writing: proof where there is one, a dry-run where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mooring.errors import ClusterUnavailable, Conflict, MooringError
from mooring.keys import ObjectKey
from mooring.store.proofs import Proof
from mooring.text import few_reasons
from workers.apps.conditions import FOREIGN_FIELDS
from workers.cluster.api import Api
from workers.cluster.live import Live, comparable
from workers.desired import Desired
from workers.foreign import Foreign, drift
from workers.ignore.ahead import ahead, learn
from workers.plan import Notice, Plan, Step, Verb
from workers.proof import record
from workers.report import Seen
from workers.write import tried

_SHOWN: Final = 5  # foreign fields of one object


@dataclass(frozen=True, slots=True)
class Difference:
    """One object before and after an apply that was only tried; None means it does not exist."""

    key: ObjectKey
    before: Mapping[str, Any] | None = field(repr=False)
    after: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Compared:
    """Every desired object, what differs, and proofs for those that were found equal by a dry-run; `foreign`
    are the fields that others have set, of the objects where that is drift."""

    seen: tuple[Seen, ...]
    differences: tuple[Difference, ...]
    proofs: Mapping[ObjectKey, Proof]
    notices: tuple[Notice, ...]
    drifted: frozenset[ObjectKey]  # what a sync may write and would change
    foreign: Mapping[ObjectKey, tuple[Foreign, ...]]


def compare(plan: Plan, api: Api, executor: Executor, schema: Callable[[Desired], str]) -> Compared:
    """Compare what `plan` would write with what is there, but for what is ignored. Raises ClusterUnavailable,
    and Refused for rules that cannot be applied."""
    seen: list[Seen] = []
    differences: list[Difference] = []
    proofs: dict[ObjectKey, Proof] = {}
    notices: list[Notice] = []
    drifted: set[ObjectKey] = set()
    foreign: dict[ObjectKey, tuple[Foreign, ...]] = {}
    for step in (*plan.kept, *plan.refused):
        assert step.desired is not None
        seen.append(Seen(step.desired, step.live, step.verb is Verb.KEEP))
    steps = [step for group in ahead(plan, api, executor, to_write=False).writes for step in group]
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
            differences.append(Difference(one.item.key, before, after))
            if one.live is not None and (fields := drift(one.item, one.live)):
                foreign[one.item.key] = fields
                notices.append(_told(one.item.key, fields))
        elif one.live is not None and one.proves:
            proofs[one.item.key] = record(one.item.digest, schema(one.item), one.live)
    return Compared(tuple(seen), tuple(differences), proofs, tuple(notices), frozenset(drifted), foreign)


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

    @property
    def differs(self) -> bool:
        return not self.error and self.before != self.after

    @property
    def proves(self) -> bool:
        """Whether a sync has nothing to do here. It writes what is ignored as Git has it, unless it is told
        not to: where that is another value, it must find no proof."""
        ignored, options = self.item.ignored, self.item.options
        ignored = ignored.written if ignored else None
        if ignored is None or options.respect_ignore_differences or options.apply_out_of_sync_only:
            return True
        assert self.live is not None
        return not self.differs and ignored.sent(self.item.body, self.live) == self.item.body

    def compared(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Before and after, without what is ignored of an object that is there."""
        before, after, live, ignored = self.before, self.after, self.live, self.item.ignored
        if ignored is None or live is None or before is None or after is None:
            return before, after
        return ignored.compared(before, after, live)


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
                return _Tried(item, live, comparable(live.body), comparable(made))
            except Conflict:  # it is not as it was seen
                live = replace(live, body=None)
    except ClusterUnavailable:
        raise
    except MooringError as error:
        return _Tried(item, step.live, error=str(error))
    raise ClusterUnavailable(f"{item.key.title} keeps changing while it is compared", after=2)
