"""Carries a plan out wave by wave: the next one is written once all objects of those before it are healthy.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/#how-does-it-work
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from workers.apply import Applied, Outcome, Result, held_back
from workers.health import Health, HealthStatus, assess
from workers.plan import Plan, Step


def in_waves(plan: Plan, write: Callable[[Plan], Applied]) -> Applied:
    """What `write` makes of each wave of `plan`, together.

    What is unhealthy in a wave that others follow is waited for: `Applied.waiting`, and those others are held
    back. What is degraded there has failed, though it was written. Raises what `write` does.
    """
    outcomes: list[Outcome] = []
    waves = cut(plan)
    for number, wave in enumerate(waves):
        applied, later = write(wave), waves[number + 1 :]
        if not later:
            return Applied((*outcomes, *applied.outcomes))
        found = tuple(_judged(outcome) for outcome in applied.outcomes)
        outcomes += found
        if any(outcome.result is Result.FAILED for outcome in found):
            return Applied((*outcomes, *_held_back(later, "an earlier wave failed")))
        waiting = tuple(
            outcome.key for outcome in found if _health(outcome).status is not HealthStatus.HEALTHY
        )
        if waiting:
            return Applied((*outcomes, *_held_back(later, "an earlier wave is not healthy yet")), waiting)
    return Applied(tuple(outcomes))


def cut(plan: Plan) -> tuple[Plan, ...]:
    """A plan for each wave, the last one with the deletions; then one for those that come last of all. One
    plan where there are no waves."""
    numbers = sorted({step.wave for step in plan.steps}) or [0]
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


def _prunes(plan: Plan, *, last: bool) -> tuple[tuple[Step, ...], ...]:
    groups = (tuple(step for step in group if step.last is last) for group in plan.prunes)
    return tuple(group for group in groups if group)


def _judged(outcome: Outcome) -> Outcome:
    health = _health(outcome)
    if health.status is not HealthStatus.DEGRADED or outcome.result is Result.FAILED:
        return outcome
    return replace(outcome, result=Result.FAILED, message=health.message or "is degraded")


def _health(outcome: Outcome) -> Health:
    """Of a kind that has no health of its own, to be there is to be healthy; of what left Git, to be gone."""
    there = outcome.desired is not None and outcome.live is not None and outcome.live.body
    return (assess(there) if there else None) or Health(HealthStatus.HEALTHY, "")


def _held_back(waves: Sequence[Plan], why: str) -> list[Outcome]:
    return [held_back(step, why) for wave in waves for step in wave.steps]
