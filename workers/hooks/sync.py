"""The hooks of an Application's syncs: the runner that one goes on with, what a sync waits for before it
begins, and how the hooks of one that is to end are ended."""

from __future__ import annotations

from mooring.model.application import Application
from mooring.model.hooks import Phase, hook_of
from mooring.model.spec import Operation
from mooring.model.status import OperationState
from workers import report
from workers.apply import Fence
from workers.applyset.parent import Parent
from workers.apps.store import Claim
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.engine import Engine
from workers.hooks.judge import outcome, why_not_our_hook
from workers.hooks.results import FAILED, POLICIES, RUNNING, Results, hook_results
from workers.hooks.runner import Grounds, HookRunner, deleted, released
from workers.hooks.seen import Hooks
from workers.hooks.wanted import WantedHook, occasion, runs, runs_hooks
from workers.impersonation import acting

_OF_A_SYNC = (Phase.PRE_SYNC, Phase.SYNC, Phase.POST_SYNC, Phase.SYNC_FAIL)


def to_run(hooks: Hooks, operation: Operation) -> tuple[WantedHook, ...]:
    """The hooks that a sync by `operation` may run, those for its failure included."""
    if not runs_hooks(operation):
        return ()
    return tuple(one for one in hooks.wanted if not set(_OF_A_SYNC).isdisjoint(one.hook.phases))


class HooksOfSync(HookRunner):
    """The hooks of one claimed sync. `state` is what is written down of it but for its hooks, `app` the
    Application as that has left it."""

    def __init__(self, engine: Engine, claim: Claim, hooks: Hooks, parent: Parent, fence: Fence) -> None:
        self.app = claim.app
        self._engine = engine
        self._claim = claim
        self.state = state = claim.state
        of = occasion(hooks.by, claim.uid, state.started_at)
        grounds = Grounds(
            engine.api,
            engine.executor,
            fence,
            hooks.by,
            parent.inventory,
            self._record,
            self._goes_on,
            hooks.judge,
        )
        wanted = runs(hooks.wanted, of, _OF_A_SYNC, hooks.judge) if runs_hooks(state.operation) else ()
        super().__init__(grounds, wanted, hook_results(state), hooks.lives)

    def _record(self, results: Results) -> None:
        state = report.with_hooks(self.state, results.values())
        status = self.app.status.model_copy(update={"operation_state": state})
        applications = self._engine.applications
        with self._on.fence.around(self._on.api):
            self.app = applications.report(self.app, status, applications.state(self.app), self._claim)

    def _goes_on(self) -> bool:
        app = self._engine.applications.get(self._claim.key)
        state = app.status.operation_state if app is not None else None
        same = app is not None and app.metadata.uid == self._claim.uid
        return same and state is not None and state.started_at == self._claim.state.started_at

    @property
    def since(self) -> str:
        """When the last of those that run was created (RFC 3339); "" where none runs."""
        running = [one.key for one in self.results if one.hook_phase == RUNNING]
        lives = [live for key, live in self.lives.items() if key in running and live.body is not None]
        return max((live.body["metadata"]["creationTimestamp"] for live in lives if live.body), default="")


def still_busy(engine: Engine, hooks: Hooks) -> str:
    """What a new sync has to wait for: hooks of the one before it that have not come to their end, since no
    two syncs of an app ever run hooks at once. "" for nothing; those that have ended are let go of.

    Raises ClusterUnavailable or ClusterRefused when any request fails.
    """
    waits: list[tuple[str, Live]] = []
    known = (hooks.lives.get(key) for key in {one.key for one in hooks.before.values()})
    ours = [live for live in known if live is not None and not why_not_our_hook(live, hooks.by)]
    for live in (*ours, *hooks.strays):
        ended, _ = outcome(live, hooks.judge)
        if ended != RUNNING:
            left = let_go(engine.api, live, ended)
            if left is not None and left.deletion_timestamp:
                waits.append(("deletion", left))
        elif live.deletion_timestamp:
            waits.append(("deletion", live))
        else:
            waits.append(("completion", live))
    if not waits:
        return ""
    what, live = waits[0]
    name = f"{live.key.group}/{live.key.kind}/{live.key.name}"
    return f"waiting for {what} of hook {name} of an earlier sync: end that, or delete the hook, to go on"


def let_strays_go(engine: Engine, app: Application, hooks: Hooks) -> None:
    """Let go of hooks that have ended and that nothing is written down about: of an app of this name that is
    gone, or whose status was lost.

    Raises ClusterUnavailable or ClusterRefused when any request fails.
    """
    state = app.status.operation_state
    ended = [(live, how) for live in hooks.strays if (how := outcome(live, hooks.judge)[0]) != RUNNING]
    if not ended or (state is not None and state.phase == "Running"):
        return
    # Asked after they were seen: those of an operation that began since are not ours to judge.
    now = engine.applications.get(app.key)
    if now is None or now.metadata.uid != app.metadata.uid or now.status.operation_state != state:
        return
    for live, how in ended:
        let_go(engine.api, live, how)


def end_hooks(engine: Engine, app: Application, state: OperationState, hooks: Hooks) -> OperationState:
    """End the hooks of an operation of `app` that somebody asked to end, as Argo CD does; its state then.

    One that has just ended by itself counts as that. Raises ClusterUnavailable or ClusterRefused when any
    request fails: it is then done once more. Where there are any, raises as `acting` does.
    """
    if hooks.before:
        engine = acting(engine, app)
    told = dict(hooks.before)
    for id_, one in hooks.before.items():
        live = hooks.lives.get(id_[1])
        ended, message = FAILED, "Terminated"
        if live is not None and not why_not_our_hook(live, hooks.by):
            now, said = outcome(live, hooks.judge)
            if now == RUNNING:
                deleted(engine.api, live)
            else:
                ended, message = now, said
                let_go(engine.api, live, ended)
        if one.hook_phase == RUNNING:
            told[id_] = one.model_copy(update={"hook_phase": ended, "message": message})
    return report.with_hooks(state, told.values())


def let_go(api: Api, live: Live, ended: str) -> Live | None:
    """What is there of a hook that has ended, once it may be deleted by others, or was by its policy."""
    hook = hook_of(live.annotations)
    if hook is not None and POLICIES.get(ended) in hook.delete:
        return deleted(api, live)
    return released(api, live)
