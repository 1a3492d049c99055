"""Dry run first: what an operation would write is tried before its first write, so that one bad object
leaves the cluster untouched.

https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Executor
from dataclasses import dataclass

from mooring.errors import ClusterRefused, Conflict, MooringError, Retryable
from mooring.keys import ObjectKey
from mooring.model.status import OperationState
from workers.apply import Applied, Outcome, Result, held_back, refused
from workers.awaits import awaits, untried
from workers.cluster.api import Api
from workers.desired import CRD, kinds_of_crd
from workers.plan import Plan, Step, Verb, Viewpoint
from workers.write import Unchangeable, Written, write

_SPARED = "not written, since other objects of this sync were refused"


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one object that was tried: `written` as it would be, None where the server could not be
    asked; `failure` what speaks against it."""

    step: Step
    written: Written | None = None
    failure: Outcome | None = None


def begun(state: OperationState | None) -> bool:
    """Whether the operation has written something already: then it is too late for a trial."""
    result = state.sync_result if state is not None else None
    return any(one.status in ("Synced", "Pruned") for one in (result.resources if result else ()))


def needed(plan: Plan, *, alone: bool) -> bool:
    """Whether `plan` is to be tried first. The only write of a sync is its own trial; `alone` says that
    nothing else comes before it."""
    count = sum(map(len, plan.writes))
    return count > 1 or (count == 1 and not (alone and not plan.prunes))


def trial(
    plan: Plan, api: Api, executor: Executor, view: Viewpoint, missing: Collection[str]
) -> tuple[Tried, ...]:
    """Try all that `plan` would write, in parallel. `missing` are namespaces that will be there by then."""
    steps = [step for group in plan.writes for step in group]
    written = {step.key for step in steps} | {ObjectKey("", "Namespace", "", name) for name in missing}
    absent = {*missing, *_coming(steps)}
    defined = _defined(steps)

    def one(step: Step) -> Tried:
        assert step.desired is not None
        known = step.desired.served and (step.key.group, step.key.kind) not in defined
        if not known or (step.live is None and step.key.namespace in absent):
            return Tried(step)
        return _tried(step, api, view, written)

    return tuple(executor.map(one, steps))


def spared(plan: Plan, tried: Collection[Tried]) -> Applied | None:
    """The outcomes of a sync that is not begun, since some of its objects were refused; None for none."""
    failures = {one.step.key: one.failure for one in tried if one.failure is not None}
    if not failures:
        return None
    return Applied(
        tuple(
            refused(step) if step in plan.refused else failures.get(step.key) or held_back(step, _SPARED)
            for step in plan.steps
        )
    )


def _tried(step: Step, api: Api, view: Viewpoint, written: Collection[ObjectKey]) -> Tried:
    item = step.desired
    assert item is not None

    def failed(message: str, *, retry: bool = False) -> Tried:
        outcome = Outcome(step.key, item.kind.version, Result.FAILED, message, step.live, retry=retry)
        return Tried(step, failure=outcome)

    try:
        return Tried(step, write(step, api, view, lambda: True, dry_run=True))
    except Conflict:
        return Tried(step)  # it has just changed: its write is planned anew
    except Unchangeable as error:
        return failed(f"{item.where}: {error}")
    except MooringError as error:
        if untried(error) or (isinstance(error, ClusterRefused) and awaits(error, step.key, written)):
            return Tried(step)
        if isinstance(error, Retryable):
            return failed(str(error), retry=True)
        return failed(f"{item.where}: {error}")


def _coming(steps: Collection[Step]) -> set[str]:
    """Namespaces that these steps create."""
    return {
        step.key.name
        for step in steps
        if (step.key.group, step.key.kind) == ("", "Namespace") and step.verb is Verb.CREATE
    }


def _defined(steps: Collection[Step]) -> set[tuple[str, str]]:
    """Group and kind of what the CRDs among these steps define: the server knows only how they were."""
    return {
        (kind.group, kind.kind)
        for step in steps
        if (step.key.group, step.key.kind) == CRD and step.desired is not None
        for kind in kinds_of_crd(step.desired.body)
    }
