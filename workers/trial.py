"""Dry run first: what an operation would write is tried before its first write, so that one bad object
leaves the cluster untouched.

https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Protocol

from mooring.errors import ClusterRefused, Conflict, MooringError, Refused, Retryable
from mooring.keys import ObjectKey
from mooring.model.status import OperationState
from mooring.text import few_reasons
from workers.anew import Manifested, tried_as_new
from workers.apply import Applied, Outcome, Result, held_back, refused
from workers.awaits import awaits, untried
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.cluster.rights import NotPermitted
from workers.desired import CRD, kinds_of_crd
from workers.plan import Plan, Step, Verb, Viewpoint, write_step
from workers.schema.check import Schema, of_definition
from workers.schema.openapi import Schemas
from workers.write import Unchangeable, Written, write

_UNPREPARED = (403, 404)
# What these define says what they are called: as new objects of another name they would be refused.
_NAMED = (CRD, ("apiregistration.k8s.io", "APIService"))
_SHOWN = 5  # problems of one object
_TRIES = 3
_SPARED = "not written, since other objects of this sync were refused"


class Wanted(Manifested, Protocol):
    """What a sync may write: Desired, and hooks."""

    @property
    def where(self) -> str: ...
    @property
    def served(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one object that was tried: `written` as it would be, None where the server could not be
    asked; `failure` what speaks against it. `step` is None of a hook."""

    step: Step | None
    written: Written | None = None
    failure: Outcome | None = None


_Given = tuple[Step | None, Wanted, Live | None]


def begun(state: OperationState | None) -> bool:
    """Whether the operation has written something already: then it is too late for a trial. What it has found
    in order was not written."""
    result = state.sync_result if state is not None else None
    return any(
        one.hook_type or (one.status in ("Synced", "Pruned") and one.message != Result.UNCHANGED)
        for one in (result.resources if result else ())
    )


def needed(plan: Plan, *, alone: bool) -> bool:
    """Whether `plan` is to be tried first. The only write of a sync is its own trial; `alone` says that
    nothing else comes before it."""
    count = sum(map(len, plan.writes))
    return count > 1 or (count == 1 and not (alone and not plan.prunes))


def trial(
    plan: Plan,
    api: Api,
    executor: Executor,
    view: Viewpoint,
    schemas: Schemas,
    missing: Collection[str],
    hooks: Collection[Wanted] = (),
) -> tuple[Tried, ...]:
    """Try all that `plan` would write and all `hooks`, in parallel. `missing` are namespaces that will be
    there by then. Hooks are new objects each time, whatever is there of them; and what they do when they run
    may be what an object waits for, so none is refused that merely is not permitted or misses something.

    What is in these, or of a kind that the plan itself defines, the server cannot judge yet: it is held
    against the schema of its kind, which says less.
    """
    steps = [step for group in plan.writes for step in group]
    written = {step.key for step in steps} | {ObjectKey("", "Namespace", "", name) for name in missing}
    written |= {hook.key for hook in hooks}
    absent = {*missing, *_coming(steps)}
    defined = _defined([*(step.desired for step in steps if step.desired is not None), *hooks])

    def early(item: Wanted, live: Live | None) -> bool:
        return (live is None and item.key.namespace in absent) or _named(item) in defined

    given: list[_Given] = [(step, step.desired, step.live) for step in steps if step.desired is not None]
    given += [(None, hook, None) for hook in hooks]
    public = {item.kind for _, item, live in given if early(item, live)}
    known = {(kind.api_version, kind.kind): found for kind, found in schemas.of(public, api).items()}
    known |= {name: found for name, found in defined.items() if found is not None}

    def one(of: _Given) -> Tried:
        step, item, live = of

        def attempt() -> Written | None:
            if early(item, live):
                _read(item, known.get(_named(item)))
            elif step is None:
                if (item.key.group, item.key.kind) not in _NAMED:
                    tried_as_new(item, api)
            else:
                return _written(step, api, view)
            return None

        return _tried(step, item, live, attempt, written, prepared=bool(hooks))

    # What is held against a schema waits for nobody, and is handed to no other thread.
    waiting = [None if early(*of[1:]) else executor.submit(one, of) for of in given]
    return tuple(
        one(of) if other is None else other.result() for of, other in zip(given, waiting, strict=True)
    )


def _written(step: Step, api: Api, view: Viewpoint) -> Written:
    """The write of `step`, tried. What has changed since it was planned, as controllers do all the time, is
    tried as it is now: else nobody would have tried it before the first write. Raises as `write` does."""
    item, tries = step.desired, _TRIES
    assert item is not None
    while True:
        try:
            return write(step, api, view, lambda: True, dry_run=True)
        except Conflict:
            tries -= 1
            found = api.get(item.kind, item.key.namespace, item.key.name)
            step = replace(write_step(item, found, None, "", view), writer=step.writer)
            if not tries or step.verb in (Verb.REFUSE, Verb.AWAIT):
                raise


def spared(plan: Plan, tried: Collection[Tried]) -> Applied | None:
    """The outcomes of a sync that is not begun, since some of its objects were refused; None for none."""
    failures = {one.failure.key: one.failure for one in tried if one.failure is not None}
    if not failures:
        return None
    outcomes = [
        refused(step) if step in plan.refused else failures.get(step.key) or held_back(step, _SPARED)
        for step in plan.steps
    ]
    hooks = failures.keys() - {step.key for step in plan.steps}
    return Applied((*outcomes, *(failures[key] for key in sorted(hooks))), begun=False)


def _tried(
    step: Step | None,
    item: Wanted,
    live: Live | None,
    attempt: Callable[[], Written | None],
    written: Collection[ObjectKey],
    *,
    prepared: bool,
) -> Tried:
    def failed(message: str, *, retry: bool = False) -> Tried:
        outcome = Outcome(item.key, item.kind.version, Result.FAILED, message, live, retry=retry)
        return Tried(step, failure=outcome)

    try:
        return Tried(step, attempt())
    except Conflict:
        return Tried(step)  # it keeps changing: its write is planned anew
    except Unchangeable as error:
        return failed(f"{item.where}: {error}")
    except MooringError as error:
        # Whom the project names gets his rights from nothing that he writes himself.
        lacks = isinstance(error, NotPermitted)
        refusal = error if isinstance(error, ClusterRefused) and not lacks else None
        waits = refusal is not None and awaits(refusal, item.key, written)
        if waits or untried(error) or (prepared and refusal is not None and refusal.code in _UNPREPARED):
            return Tried(step)
        if isinstance(error, Retryable):
            return failed(str(error), retry=True)
        return failed(f"{item.where}: {error}")


def _read(item: Wanted, schema: Schema | None) -> None:
    """Hold the object against its schema. Unknown fields are no failure where its write drops them.

    Raises Refused with all that is wrong.
    """
    found = schema.problems(item.body) if schema is not None else ()
    options = item.options
    applied = options.server_side_apply is None and not (options.replace and not options.force)
    told = [str(one) for one in found if not (one.unknown and (applied or not options.validate))]
    if told:
        raise Refused(few_reasons(told, _SHOWN))


def _named(item: Wanted) -> tuple[str, str]:
    return item.kind.api_version, item.kind.kind


def _coming(steps: Collection[Step]) -> set[str]:
    """Namespaces that these steps create."""
    return {
        step.key.name
        for step in steps
        if (step.key.group, step.key.kind) == ("", "Namespace") and step.verb is Verb.CREATE
    }


def _defined(items: Collection[Wanted]) -> dict[tuple[str, str], Schema | None]:
    """API version and kind of what the CRDs among these items define, with the schema that they will have:
    the server knows only how they were."""
    return {
        (kind.api_version, kind.kind): of_definition(item.body, kind.version)
        for item in items
        if (item.key.group, item.key.kind) == CRD
        for kind in kinds_of_crd(item.body)
    }
