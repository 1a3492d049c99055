"""A sync that somebody asks for to see what it would do: `operation.sync.dryRun`. Nothing is written but
what is said about it.

https://argo-cd.readthedocs.io/en/stable/user-guide/commands/argocd_app_sync/
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from workers import report, tell
from workers.apply import Applied, Outcome, Result, refused, unchanged
from workers.compare import compare
from workers.engine import Engine
from workers.hooks.sync import to_run
from workers.look import Scene
from workers.plan import Step
from workers.tell import Ending, concluded, gave_way_to_less, now
from workers.timeline import Timeline
from workers.trial import Tried, trial

_WORDS = {Result.CREATED: "created", Result.CONFIGURED: "configured", Result.UNCHANGED: "unchanged"}


def dry_run(engine: Engine, scene: Scene, line: Timeline, missing: Collection[str]) -> Ending:
    """Try what `scene` would write, say what would become of each object, and end the operation.

    `missing` are namespaces that the sync would create. Raises what a claim raises.
    """
    before = scene.app.status.operation_state
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    begun = report.running(scene.decision.operation, scene.pinned, report.later(now(engine), before))
    claim = engine.applications.claim(scene.app, begun, gave_way_to_less(engine, scene))
    hooks = to_run(scene.hooks, scene.decision.operation)
    tried = trial(scene.plan, engine.api, engine.executor, scene.view, engine.schemas, missing, hooks)
    stay = [(one, one.step) for one in tried if one.step is not None]
    alike = {seen.desired.key for seen in found.seen if seen.synced}
    outcomes = [
        *(unchanged(step) for step in scene.plan.kept),
        *(refused(step) for step in scene.plan.refused),
        *(_would(one, step, step.key in alike) for one, step in stay),
        *(one.failure for one in tried if one.step is None and one.failure is not None),
        *(_pruned(step) for group in scene.plan.prunes for step in group),
    ]
    known = before.sync_result.managed_namespace_metadata if before and before.sync_result else None
    ended = report.finished(
        claim.state, scene.pinned, scene.plan, Applied(tuple(outcomes)), now(engine), known
    )
    if ended.phase == "Succeeded":
        ended = ended.model_copy(update={"message": "successfully synced (dry run)"})
    else:
        message = f"one or more objects failed to apply (dry run): {ended.message}"
        ended = ended.model_copy(update={"message": message})
    tell.synced(scene.app, ended)
    scene = replace(scene, app=claim.app, notices=(*scene.notices, *found.notices))
    after = concluded(engine, scene, line, ended, found.seen, scene.plan.extras, claim=claim)
    return Ending(failure=ended.message) if ended.phase == "Failed" else after


def _would(tried: Tried, step: Step, alike: bool) -> Outcome:
    written = tried.written
    assert step.desired is not None
    if tried.failure is not None:
        return tried.failure
    result = Result.CREATED if step.live is None else Result.UNCHANGED if alike else Result.CONFIGURED
    how = (written.how if written is not None and not alike else "") or _WORDS[result]
    weaker = "" if written is not None else ", not tried by the API server"
    message = f"{step.key.kind.lower()}/{step.key.name} {how} (dry run{weaker})"
    return Outcome(step.key, step.desired.kind.version, result, message, step.live, step.desired)


def _pruned(step: Step) -> Outcome:
    assert step.live is not None
    return Outcome(step.key, step.live.kind.version, Result.PRUNED, "pruned (dry run)", step.live)
