"""Carries out a plan: writes and deletes, each under the state that it was planned for.

The API server decides. An update carries the uid and resourceVersion that were planned on, a create
succeeds only where nothing is, a deletion names both: whatever changed meanwhile is answered with 409 and
planned anew. So a worker that wakes up late changes nothing that exists, and what it created it takes
back once it sees that the operation is not its own any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from mooring.errors import (
    ClusterUnavailable,
    Conflict,
    MooringError,
    Refused,
    Retryable,
    Superseded,
)
from mooring.keys import ObjectKey
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.desired import CRD, Desired, kinds_of_crd
from workers.hooks.ran import Ran
from workers.ownership import judged_alike
from workers.plan import Plan, Step, Verb, Viewpoint, without_prunes, write_step
from workers.threads import together
from workers.write import Written, write

# A 409 means that somebody else wrote in between; more of them in a row than this is a fight.
_TRIES = 5
_ESTABLISHED_S = 30.0
# The claim is read again before writing when it was last seen longer ago than this.
_FENCE_S = 1.0
TAKEN_OVER = "another worker has taken over this operation"
_NO_ANSWER = (Retryable, Refused)  # to the question whether the claim is held
_UNASKED = "whether the operation is still ours could not be asked"


class Result(StrEnum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object. `live` is what the server answered; `message` is for people."""

    key: ObjectKey
    version: str
    result: Result
    message: str = ""
    live: Live | None = None
    desired: Desired | None = None
    warning: str = ""  # to be shown as a condition
    retry: bool = False  # failed in a way that may pass
    merged: bool = False  # written by a merge since the schema refused an apply


@dataclass(frozen=True, slots=True)
class Applied:
    """Every object's outcome, none lost. `waiting`: what has to become healthy before the next wave. `hooks`:
    how those stand that have begun."""

    outcomes: tuple[Outcome, ...]
    waiting: tuple[ObjectKey, ...] = ()
    hooks: tuple[Ran, ...] = ()
    begun: bool = True  # False: refused by its trial, so that nothing was written

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.result is Result.FAILED)

    @property
    def failed(self) -> bool:
        """Whether an object or a hook has failed."""
        return bool(self.failures) or any(ran.failed for ran in self.hooks)

    @property
    def waits(self) -> bool:
        """Whether something is to be waited for before it goes on, or ends."""
        return bool(self.waiting) or any(ran.running for ran in self.hooks)


def apply(
    plan: Plan,
    api: Api,
    executor: Executor,
    view: Viewpoint,
    fence: Fence,
) -> Applied:
    """Carry out `plan`; objects of one group in parallel, groups one after the other.

    `fence` is the operation's, one for all of its plans; the next write of the status is to be `Fence.around`
    it. After a failed object the rest of its group is still tried, later groups are not. An API
    server that goes away is an outcome of the objects it leaves undone, to be tried again. Raises Superseded
    when the operation is lost, having taken back what was created and is wanted by nobody.
    """
    outcomes: list[Outcome] = [unchanged(step) for step in plan.kept]
    outcomes += [refused(step) for step in plan.refused]
    created: list[Outcome] = []
    failed = False
    for group in plan.writes:
        if failed:
            outcomes += [held_back(step, "an earlier object failed") for step in group]
            continue
        try:
            fence.check(created, api)
        except _NO_ANSWER as error:
            outcomes += [_unknown(step, error) for step in group]
            failed = True
            continue
        done = together(executor, lambda step: _write(step, api, view, fence), group)
        outcomes += done
        created += [outcome for outcome in done if outcome.result is Result.CREATED]
        if fence.lost:
            fence.check(created, api, always=True)
        failed = any(outcome.result is Result.FAILED for outcome in done)
        if not failed and (late := _await_crds(done, api)):
            outcomes = [late if outcome.key == late.key else outcome for outcome in outcomes]
            failed = True
    if created:
        try:
            fence.settle(created, api)
        except _NO_ANSWER as error:  # if it was lost, the newer operation finds them and judges them
            ours = {outcome.key for outcome in created}
            outcomes = [_doubted(outcome, error) if outcome.key in ours else outcome for outcome in outcomes]
            failed = True
    if plan.prunes and (failed or plan.refused):
        plan = without_prunes(plan)
    for group in plan.prunes:
        try:
            fence.check([], api, always=True)
        except _NO_ANSWER as error:
            outcomes += [_unknown(step, error) for step in group]
            continue
        outcomes += executor.map(lambda step: _prune(step, api, fence), group)
    return Applied(tuple(outcomes))


class Fence:
    """Reads the claim of an operation, made just now, again when it was not read just before.

    `holds()` asks the API server whether the operation is still this worker's; `wanted(key)` whether the
    operation that has superseded it has the object too. Of what was created within a second of the claim's
    last reading, the write of the status that follows tells as well: it succeeds only with the claim.
    """

    def __init__(
        self, holds: Callable[[], bool], wanted: Callable[[ObjectKey], bool] = lambda _: False
    ) -> None:
        self._holds = holds
        self._wanted = wanted
        self._seen = time.monotonic()
        self._open: list[Outcome] = []  # created, and the claim not read since
        self.lost = False  # once lost, a claim is never ours again

    def check(self, created: Sequence[Outcome], api: Api, *, always: bool = False) -> None:
        """Raises Superseded when the claim is lost, after taking `created` back."""
        if not always and time.monotonic() - self._seen < _FENCE_S:
            return
        if not self.holds():
            self._take_back(created, api)
            raise Superseded(TAKEN_OVER)
        self._open.clear()

    def settle(self, created: Sequence[Outcome], api: Api) -> None:
        """`check` what a plan has created, or leave it to what is asked or written next."""
        if not self.lost and time.monotonic() - self._seen < _FENCE_S:
            self._open += created
        else:
            self.check(created, api, always=True)

    @contextmanager
    def around(self, api: Api) -> Iterator[None]:
        """Around a write that the claim guards: where it is lost, what was created before is taken back."""
        try:
            yield
        except Superseded:
            self.lost = True
            self._take_back((), api)
            raise

    def _take_back(self, created: Sequence[Outcome], api: Api) -> None:
        _take_back([*self._open, *created], api, self._wanted)
        self._open.clear()

    def holds(self) -> bool:
        """Whether the claim is held right now."""
        if not self.lost:
            self.lost = not self._holds()
            self._seen = time.monotonic()
        return not self.lost


def _take_back(created: Sequence[Outcome], api: Api, wanted: Callable[[ObjectKey], bool]) -> None:
    for outcome in created:
        assert outcome.live is not None
        try:
            if wanted(outcome.key):
                continue  # the newer operation has found it there, and left it or made it its own
            # Whatever status a controller has written since: by its uid it is still what we made.
            api.delete(outcome.live.kind, outcome.live, "background", any_version=True)
        except MooringError:
            continue  # gone, or out of reach: then the newer operation prunes it


def _write(step: Step, api: Api, view: Viewpoint, fence: Fence) -> Outcome:
    assert step.desired is not None
    item = step.desired
    try:
        for _ in range(_TRIES):
            try:
                return _outcome(step, write(step, api, view, fence.holds))
            except Conflict:
                if not fence.holds():  # what is there now is newer than what we were to write
                    version = item.kind.version
                    return Outcome(item.key, version, Result.FAILED, TAKEN_OVER, step.live, retry=True)
                found = api.get(item.kind, item.key.namespace, item.key.name)
                before, step = step, replace(write_step(item, found, None, "", view), writer=step.writer)
                if step.verb in (Verb.REFUSE, Verb.AWAIT):
                    return refused(step)
                if step.adopts and not before.adopts:
                    # That it was adopted has to be in the inventory first: the next plan sees to it.
                    message = "appeared while it was about to be created; it is planned anew"
                    return Outcome(item.key, item.kind.version, Result.FAILED, message, found, retry=True)
        message = "somebody else keeps changing this object while we write it; it is tried again"
        return Outcome(item.key, item.kind.version, Result.FAILED, message, step.live, retry=True)
    except ClusterUnavailable as error:
        return Outcome(item.key, item.kind.version, Result.FAILED, str(error), step.live, retry=True)
    except MooringError as error:
        return Outcome(item.key, item.kind.version, Result.FAILED, f"{item.where}: {error}", step.live)


def _outcome(step: Step, written: Written) -> Outcome:
    item, before, after = step.desired, step.live, written.after
    assert item is not None
    result = Result.CONFIGURED
    if before is None:
        result = Result.CREATED
    elif before.resource_version == after.resource_version:
        result = Result.UNCHANGED
    message = written.warning or f"{item.key.kind.lower()}/{item.key.name} {written.how or result}"
    return Outcome(
        item.key, item.kind.version, result, message, after, item, written.warning, merged=written.merged
    )


def _prune(step: Step, api: Api, fence: Fence) -> Outcome:
    live = step.live
    assert live is not None
    try:
        for _ in range(_TRIES):
            try:
                api.delete(live.kind, live, step.propagation)
                return Outcome(step.key, live.kind.version, Result.PRUNED, "pruned", live)
            except Conflict:
                found = api.get(live.kind, live.key.namespace, live.key.name, metadata_only=True)
                if found is None:
                    return Outcome(step.key, live.kind.version, Result.PRUNED, "pruned", live)
                if not judged_alike(live, found) or not fence.holds():
                    break
                live = found  # only its status has moved, or what no judgement rests on
        message = "changed while it was about to be pruned; it is looked at again"
        return Outcome(step.key, live.kind.version, Result.SKIPPED, message, live, retry=True)
    except ClusterUnavailable as error:
        return Outcome(step.key, live.kind.version, Result.FAILED, str(error), live, retry=True)
    except MooringError as error:
        return Outcome(step.key, live.kind.version, Result.FAILED, str(error), live)


def _await_crds(done: Sequence[Outcome], api: Api) -> Outcome | None:
    """Wait until the CRDs just written serve their kinds. The outcome of one that does not get there."""
    names = [outcome for outcome in done if (outcome.key.group, outcome.key.kind) == CRD]
    if not any(outcome.result in (Result.CREATED, Result.CONFIGURED) for outcome in names):
        return None
    deadline = time.monotonic() + _ESTABLISHED_S
    for outcome in names:
        try:
            while not _established(outcome, api):
                if time.monotonic() > deadline:
                    message = f"was not established within {_ESTABLISHED_S:.0f} s"
                    return replace(outcome, result=Result.FAILED, message=message, retry=True)
                time.sleep(0.02)
            for kind in kinds_of_crd(outcome.live.body if outcome.live else None):
                api.discovery.await_kind(kind.api_version, kind.kind)
        except MooringError as error:
            message = f"{outcome.result}, but is not known to be established: {error}"
            passes = isinstance(error, Retryable)
            return replace(outcome, result=Result.FAILED, message=message, retry=passes)
    return None


def _established(outcome: Outcome, api: Api) -> bool:
    assert outcome.live is not None
    crd = api.get(outcome.live.kind, "", outcome.key.name)
    status = (crd.body or {}).get("status") if crd else None
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(
        c.get("type") == "Established" and c.get("status") == "True"
        for c in conditions or ()
        if isinstance(c, dict)
    )


def held_back(step: Step, why: str) -> Outcome:
    """The outcome of a step that is not its turn yet: what is in order already is that all the same."""
    if step.verb is Verb.KEEP:
        return unchanged(step)
    return Outcome(step.key, _version(step), Result.SKIPPED, why, step.live)


def refused(step: Step) -> Outcome:
    """The outcome of a step that is somebody else's, or that waits for a deletion."""
    waits = step.verb is Verb.AWAIT
    return Outcome(step.key, _version(step), Result.FAILED, step.reason, step.live, retry=waits)


def _unknown(step: Step, error: MooringError) -> Outcome:
    """Left alone, since nobody could say whether the operation is still this worker's."""
    passes = isinstance(error, Retryable)
    return Outcome(step.key, _version(step), Result.FAILED, f"{_UNASKED}: {error}", step.live, retry=passes)


def _doubted(outcome: Outcome, error: MooringError) -> Outcome:
    """Written, but perhaps after the operation was lost: a success is what nobody doubts."""
    message = f"{outcome.message}, but {_UNASKED}: {error}"
    return replace(outcome, result=Result.FAILED, message=message, retry=isinstance(error, Retryable))


def unchanged(step: Step) -> Outcome:
    """The outcome of a step that is proved to be as Git wants it."""
    assert step.desired is not None
    return Outcome(step.key, _version(step), Result.UNCHANGED, "unchanged", step.live, step.desired)


def _version(step: Step) -> str:
    if step.desired is not None:
        return step.desired.kind.version
    return step.live.kind.version if step.live is not None else ""
