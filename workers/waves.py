"""Carries a plan out stage by stage: hooks before it, wave by wave what stays and the hooks beside it, hooks
after it. A stage begins once all objects of those before it are healthy and their hooks have succeeded.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/#how-does-it-work
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from mooring.keys import ObjectKey
from mooring.model.hooks import Phase
from workers.apply import Applied, Outcome, Result, held_back
from workers.health import BUILT_IN, Health, HealthStatus, Judge
from workers.hooks.ran import Ran
from workers.plan import Plan, Step


class Hooks(Protocol):
    """The hooks of one operation (workers/hooks/runner.py)."""

    def waves(self, phase: Phase) -> Collection[int]:
        """The waves in which hooks of `phase` run."""
        ...

    def advance(self, phase: Phase, wave: int, *, start: bool = True) -> tuple[Ran, ...]:
        """Take the hooks of one wave one step further: how each stands then. Without `start` none begins."""
        ...


class _None:
    def waves(self, phase: Phase) -> Collection[int]:
        return ()

    def advance(self, phase: Phase, wave: int, *, start: bool = True) -> tuple[Ran, ...]:
        return ()


NO_HOOKS: Final[Hooks] = _None()


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done at one time: the hooks of a wave of a phase and, in phase Sync, the wave of what stays.
    `wave` is None of what comes last of all, without hooks."""

    phase: Phase
    wave: int | None
    plan: Plan | None = None


def in_waves(
    plan: Plan, write: Callable[[Plan], Applied], hooks: Hooks = NO_HOOKS, judge: Judge = BUILT_IN
) -> Applied:
    """What `write` makes of each wave of `plan`, and what becomes of the `hooks` around them, together.

    What is unhealthy, as `judge` has it, in a stage that others follow is waited for: `Applied.waiting`, and
    those others are held back. What is degraded there has failed, though it was written. Hooks are waited for
    in any stage, also where something beside them has failed: none runs on by itself. Raises what `write` and
    `hooks` do.
    """
    outcomes: list[Outcome] = []
    ran: list[Ran] = []
    todo = stages(plan, hooks)
    for number, stage in enumerate(todo):
        later = [one.plan for one in todo[number + 1 :] if one.plan is not None]
        last = number + 1 == len(todo)
        found = write(stage.plan).outcomes if stage.plan is not None else ()
        unhealthy: dict[ObjectKey, Health] = {}
        if not last:
            unhealthy = {one.key: how for one in found if (how := _unhealthy(one, judge)) is not None}
            found = tuple(_judged(outcome, unhealthy.get(outcome.key)) for outcome in found)
        outcomes += found
        failed = any(outcome.result is Result.FAILED for outcome in found)
        beside = hooks.advance(stage.phase, stage.wave, start=not failed) if stage.wave is not None else ()
        ran += beside
        if failed or any(one.failed for one in beside):
            return Applied((*outcomes, *_held_back(later, "an earlier wave failed")), hooks=tuple(ran))
        waiting = tuple(unhealthy)
        if waiting or any(one.running for one in beside):
            why = "an earlier wave is not healthy yet" if waiting else "an earlier hook has not ended yet"
            return Applied((*outcomes, *_held_back(later, why)), waiting, tuple(ran))
    return Applied(tuple(outcomes), hooks=tuple(ran))


def after_failure(hooks: Hooks) -> tuple[Ran, ...]:
    """Take the hooks that run once a sync has failed one step further, wave by wave: how each stands then."""
    ran: list[Ran] = []
    for wave in sorted(hooks.waves(Phase.SYNC_FAIL)):
        beside = hooks.advance(Phase.SYNC_FAIL, wave)
        ran += beside
        if any(one.running or one.failed for one in beside):
            break
    return tuple(ran)


def stages(plan: Plan, hooks: Hooks = NO_HOOKS) -> tuple[Stage, ...]:
    """All stages of a sync that does not fail, in their order."""
    beside = hooks.waves(Phase.SYNC)
    parts = cut(plan, beside)
    numbers: list[int | None] = [*_numbers(plan, beside)]
    numbers += [None] * (len(parts) - len(numbers))
    return (
        *(Stage(Phase.PRE_SYNC, wave) for wave in sorted(hooks.waves(Phase.PRE_SYNC))),
        *(Stage(Phase.SYNC, wave, part) for wave, part in zip(numbers, parts, strict=True)),
        *(Stage(Phase.POST_SYNC, wave) for wave in sorted(hooks.waves(Phase.POST_SYNC))),
    )


def cut(plan: Plan, beside: Collection[int] = ()) -> tuple[Plan, ...]:
    """A plan for each wave, those of the hooks `beside` it too, the last one with the deletions; then one for
    those that come last of all. One plan where there are no waves."""
    numbers = _numbers(plan, beside)
    waves = [
        replace(
            plan,
            writes=tuple(group for group in plan.writes if group[0].wave == number),
            kept=tuple(step for step in plan.kept if step.wave == number),
            refused=tuple(step for step in plan.refused if step.wave == number),
            prunes=_prunes(plan, last=False) if number == numbers[-1] else (),
        )
        for number in numbers
    ]
    if at_last := _prunes(plan, last=True):
        waves.append(replace(plan, writes=(), kept=(), refused=(), prunes=at_last))
    return tuple(waves)


def _numbers(plan: Plan, beside: Collection[int]) -> list[int]:
    return sorted({step.wave for step in plan.steps}.union(beside)) or [0]


def _prunes(plan: Plan, *, last: bool) -> tuple[tuple[Step, ...], ...]:
    groups = (tuple(step for step in group if step.last is last) for group in plan.prunes)
    return tuple(group for group in groups if group)


def _judged(outcome: Outcome, unhealthy: Health | None) -> Outcome:
    degraded = unhealthy is not None and unhealthy.status is HealthStatus.DEGRADED
    if unhealthy is None or not degraded or outcome.result is Result.FAILED:
        return outcome
    return replace(outcome, result=Result.FAILED, message=unhealthy.message or "is degraded")


def _unhealthy(outcome: Outcome, judge: Judge) -> Health | None:
    """What is to be waited for. Of a kind that has no health of its own, to be there is to be healthy; of
    what left Git, to be gone."""
    there = outcome.desired is not None and outcome.live is not None and outcome.live.body
    health = judge.assess(there) if there else None
    return health if health is not None and health.status is not HealthStatus.HEALTHY else None


def _held_back(waves: Sequence[Plan], why: str) -> list[Outcome]:
    return [held_back(step, why) for wave in waves for step in wave.steps]
