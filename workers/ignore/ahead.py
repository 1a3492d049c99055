"""What jq has to say of all objects of a plan, found out at once, before they are taken one by one."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.desired import Desired
from workers.plan import Plan, Step


def ahead(plan: Plan, api: Api, executor: Executor, *, to_write: bool) -> Plan:
    """`plan` with whole live objects wherever expressions have to be evaluated, which is done by then.

    `to_write`: only what is left alone when it is written. For an app without expressions this does nothing.
    What has changed since it was planned on stays as it was seen: the API server tells whoever writes it.
    Raises as `Jq` does, ClusterUnavailable and ClusterRefused.
    """
    asking = {
        step.key: step
        for group in plan.writes
        for step in group
        if step.live is not None and step.desired is not None and _asks(step.desired, to_write)
    }
    if not asking:
        return plan

    def whole(step: Step) -> Live | None:
        assert step.desired is not None
        return api.get(step.desired.kind, step.key.namespace, step.key.name)

    read = dict(zip(asking, executor.map(whole, asking.values()), strict=True))
    learn(
        (step.desired, body)
        for key, step in asking.items()
        if step.desired and (live := read[key]) and live.body
        for body in (step.desired.body, live.body)
    )

    def fuller(step: Step) -> Step:
        found, seen = read.get(step.key), step.live
        same = found and seen and (found.uid, found.resource_version) == (seen.uid, seen.resource_version)
        return replace(step, live=found) if same else step

    return replace(plan, writes=tuple(tuple(map(fuller, group)) for group in plan.writes))


def learn(versions: Iterable[tuple[Desired, dict[str, Any]]]) -> None:
    """Evaluate in one child what the rules of these objects ask of these versions of them."""
    asked = [(item.ignored, body) for item, body in versions if item.ignored is not None]
    if asked:
        asked[0][0].jq.learn((ignored.expressions, body) for ignored, body in asked)


def _asks(item: Desired, to_write: bool) -> bool:
    wanted = item.options.respect_ignore_differences or not to_write
    return wanted and item.ignored is not None and bool(item.ignored.expressions)
