"""How an app differs from Git, found without writing: proof where there is one, a dry-run where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from mooring.errors import ClusterUnavailable, Conflict, MooringError
from mooring.keys import ObjectKey
from mooring.store.proofs import Proof
from workers.cluster.api import Api
from workers.cluster.live import Live, comparable
from workers.desired import Desired
from workers.plan import Notice, Plan, Step, Verb
from workers.proof import record
from workers.report import Seen
from workers.write import tried


@dataclass(frozen=True, slots=True)
class Difference:
    """One object before and after an apply that was only tried; None means it does not exist."""

    key: ObjectKey
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Compared:
    """Every desired object, what differs, and proofs for those that were found equal by a dry-run."""

    seen: tuple[Seen, ...]
    differences: tuple[Difference, ...]
    proofs: Mapping[ObjectKey, Proof]
    notices: tuple[Notice, ...]
    drifted: frozenset[ObjectKey]  # what a sync may write and would change


def compare(plan: Plan, api: Api, executor: Executor, schema: Callable[[Desired], str]) -> Compared:
    """Compare what `plan` would write with what is there. Raises ClusterUnavailable."""
    seen: list[Seen] = []
    differences: list[Difference] = []
    proofs: dict[ObjectKey, Proof] = {}
    notices: list[Notice] = []
    drifted: set[ObjectKey] = set()
    for step in (*plan.kept, *plan.refused):
        assert step.desired is not None
        seen.append(Seen(step.desired, step.live, step.verb is Verb.KEEP))
    steps = [step for group in plan.writes for step in group]
    for step, (live, after, error) in zip(steps, executor.map(lambda s: _try(s, api), steps), strict=True):
        assert step.desired is not None
        if error:
            notices.append(Notice("ComparisonError", f"{step.desired.where}: {error}"))
            seen.append(Seen(step.desired, live, False))
            continue
        before = comparable(live.body) if live is not None and live.body is not None else None
        equal = before is not None and before == after
        seen.append(Seen(step.desired, live, equal))
        if not equal:
            drifted.add(step.key)
            differences.append(Difference(step.key, before, after))
        elif live is not None:
            proofs[step.key] = record(step.desired.digest, schema(step.desired), live)
    return Compared(tuple(seen), tuple(differences), proofs, tuple(notices), frozenset(drifted))


def _try(step: Step, api: Api) -> tuple[Live | None, dict[str, Any] | None, str]:
    """The live object, what an apply would make of it, and why that was refused ("" when it was not)."""
    item = step.desired
    assert item is not None
    if step.live is None:
        return None, comparable(item.body), ""
    try:
        for _ in range(3):
            live = api.get(item.kind, item.key.namespace, item.key.name)
            if live is None:
                return None, comparable(item.body), ""
            try:
                after = tried(item, live, api)
                # What is to be deleted and created anew becomes what Git has.
                return live, comparable(item.body if after is None else after.body or {}), ""
            except Conflict:
                continue
    except ClusterUnavailable:
        raise
    except MooringError as error:
        return step.live, None, str(error)
    raise ClusterUnavailable(f"{item.key.title} keeps changing while it is compared", after=2)
