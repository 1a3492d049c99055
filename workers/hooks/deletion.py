"""The hooks around the deletion of what an Application has: PreDelete before it, PostDelete after it.

They are those of what is deployed. Their own objects tell how they stand: each is kept by its finalizer until
all of its phase have ended. That they have is written down by taking the phase's finalizer off the
Application; `…/cleanup` then says that they are still to be cleaned up.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from mooring.errors import Refused
from mooring.model.annotations import annotations_of
from mooring.model.application import Application
from mooring.model.finalizers import CLEANUP, POST_DELETE, PRE_DELETE, cascade
from mooring.model.hooks import Phase, hook_of
from mooring.model.pinned import Pinned
from mooring.model.spec import Operation, SyncOperation
from mooring.model.support import unsupported_manifests
from mooring.model.sync_options import Consent
from mooring.store.turns import Turn
from mooring.text import few
from workers import aim
from workers.apply import Fence
from workers.applyset import store as parents
from workers.applyset.parent import Parent
from workers.apps.state import content_digest
from workers.cluster.live import Live
from workers.deletion import Waits
from workers.desired import CRD, Stamp, kinds_of_crds
from workers.engine import Engine
from workers.hooks import results
from workers.hooks.judge import outcome
from workers.hooks.ran import Ran
from workers.hooks.results import FAILED, run_id
from workers.hooks.runner import Grounds, HookRunner, deleted, released
from workers.hooks.sync import let_go
from workers.hooks.wanted import HookRun, Occasion, WantedHook, apart, hooks_of, occasion, places, runs
from workers.impersonation import acting
from workers.look import check
from workers.permitted import check_objects
from workers.sync_status import SYNCED

Around = Literal[Phase.PRE_DELETE, Phase.POST_DELETE]
FINALIZERS: Final[Mapping[Around, str]] = {Phase.PRE_DELETE: PRE_DELETE, Phase.POST_DELETE: POST_DELETE}


def due(finalizers: Sequence[str], phase: Around) -> bool:
    """Whether an Application with these finalizers waits for hooks of `phase` to run, or to be cleaned up."""
    own = FINALIZERS[phase]
    return own in finalizers or own + CLEANUP in finalizers


def began(app: Application, by: Stamp, phase: Around) -> Occasion:
    """The run of the hooks of `phase` in the deletion of `app`."""
    return occasion(by, f"{app.metadata.uid} {phase}", app.metadata.deletion_timestamp)


def advance(engine: Engine, app: Application, turn: Turn, phase: Around) -> Waits | None:
    """Take the hooks of `phase` of `app`, which is being deleted, one step further: what they wait for. None
    once all have ended and are cleaned up: then their finalizers are taken off.

    Raises Refused when one has failed before the deletion, cannot be written, or when nobody can tell which
    there are; and what the API server's verbs do.
    """
    own, there = FINALIZERS[phase], app.metadata.finalizers
    parent = parents.read(engine.own, engine.settings.namespace, app.key, engine.installation)
    wanted = _deployed(engine, app, turn, phase, parent)
    if wanted:
        engine = acting(engine, app)
    if own in there:  # what they leave is found by that, whoever takes the finalizers off
        parent = parents.grow(engine.own, parent, {}, places(wanted))
    hooks = _HooksOfDeletion(engine, app, phase, wanted, parent)
    if own in there:
        if waits := hooks.run():
            return waits
        if own + CLEANUP in there:
            engine.applications.unbind(app, (own,))
    if waits := hooks.clean_up_after(policies=own + CLEANUP in there):
        return waits
    engine.applications.unbind(app, (own, own + CLEANUP))
    return None


class _HooksOfDeletion(HookRunner):
    def __init__(
        self, engine: Engine, app: Application, phase: Around, wanted: Sequence[WantedHook], parent: Parent
    ) -> None:
        self._engine, self._app, self._phase = engine, app, phase
        by = Stamp(engine.installation.id, app.key, parent.applyset)

        def goes_on() -> bool:
            return engine.applications.to_go(app)

        judge = engine.judges.now()
        grounds = Grounds(
            engine.api, engine.executor, Fence(goes_on), by, parent.inventory, lambda _: None, goes_on, judge
        )
        todo = runs(wanted, began(app, by, phase), (phase,), judge)
        super().__init__(grounds, todo, {}, {})
        self._lives = {
            run.key: live for run, live in zip(todo, engine.executor.map(self._read, todo), strict=True)
        }

    def run(self) -> Waits | None:
        """What is waited for, wave by wave; None once all have ended. Raises Refused as `advance` does."""
        for run in self._runs:
            live = self._lives[run.key]
            if live is None or not self._is_of(run, live):
                continue
            if live.deletion_timestamp and outcome(live, self._on.judge)[0] == FAILED:
                self._lives[run.key] = released(self._engine.api, live)  # somebody wants it to run again
            else:
                self._results[run_id(run)] = results.began(run, "")
        failed: list[Ran] = []
        for wave in sorted(self.waves(self._phase)):
            stand = self.advance(self._phase, wave)
            failed += [one for one in stand if one.failed]
            for one in failed:
                if self._results[run_id(one.run)].status == results.UNWRITTEN:
                    raise Refused(f"{self._phase} hook {one.run.key.title}: {one.message}")
                if self._phase is Phase.PRE_DELETE:
                    raise Refused(
                        f"{self._phase} hook {one.run.key.title} has failed: {one.message}; once it may "
                        "succeed, delete that object to have it run again"
                    )
            if waits := [one for one in stand if one.running]:
                return self._waits([one.run for one in waits], "be gone" if waits[0].clearing else "end")
        if failed:  # what it was to come after is gone: nothing is kept by it
            told = f"{failed[0].run.key.title}: {failed[0].message}"
            self._engine.applications.event(self._app, "Warning", "HookFailed", f"PostDelete hook {told}")
        return None

    def clean_up_after(self, *, policies: bool) -> Waits | None:
        """Delete what is to go by its delete `policies`, and what ran before all else goes with that. What
        is waited for; None once that is gone, and the others are not kept by us any more."""
        api, going = self._engine.api, list[HookRun]()
        goes_along = self._phase is Phase.PRE_DELETE and cascade(self._app.metadata.finalizers) is not None
        for run in self._runs:
            live = self._lives[run.key]
            if live is None or not self._is_of(run, live):
                continue
            left: Live | None
            definition = (run.key.group, run.key.kind) == CRD  # all objects of its kind would go with it
            if goes_along and run.options.delete is not Consent.NO and not definition:
                left = deleted(api, live)
            else:
                ended, _ = outcome(live, self._on.judge)
                left = let_go(api, live, ended) if policies else released(api, live)
            if left is not None and left.uid == live.uid and left.deletion_timestamp:
                going.append(run)
        return self._waits(going, "be gone") if going else None

    def _waits(self, runs: Sequence[HookRun], what: str) -> Waits:
        keys = tuple(run.key for run in runs)
        told = few([key.title for key in keys], 1)
        return Waits(f"waits for {self._phase} hook {told} to {what}", hooks=keys)

    def _let_go(self, ran: Ran) -> None:
        """Not before all have ended: by its object it is known that it ran."""


def _deployed(
    engine: Engine, app: Application, turn: Turn, phase: Phase, parent: Parent
) -> tuple[WantedHook, ...]:
    """The hooks of `phase` in what is deployed. Raises Refused where that cannot be told."""
    sync = app.status.sync
    told = [Pinned.compared(sync)] if sync is not None and sync.status == SYNCED else []
    there = next((one for one in (*told, *aim.deployed(app)) if one is not None), None)
    if there is None:
        if parent.inventory.entries:
            raise Refused(f"which {phase} hooks are deployed is not told by the app's status any more")
        return ()
    checked = check(engine, app, engine.applications.edition(app))
    if checked.blocking:
        raise Refused(f"{phase} hooks are not run: {checked.blocking}")
    wish = Operation(sync=SyncOperation(**there.revision_fields, **there.source_fields))
    made = aim.rendered(engine, app, checked.project, wish, turn)
    rendered = made.rendered
    if not rendered.pure:
        content = content_digest(app, made.pinned, made.inputs)
        state, parts = engine.applications.state(app), engine.bundles.parts(app.key)
        rendered = rendered.with_drawn(engine.bundles.drawn(app.key, content, state, parts))
    manifests = [
        one
        for one in apart(rendered.manifests)[1]
        if (hook := hook_of(annotations_of(one.body))) is not None and phase in hook.phases
    ]
    wanted = hooks_of(
        manifests,
        engine.api.discovery.find,
        kinds_of_crds(rendered.manifests),
        app.spec.destination.namespace,
        app.spec.sync_options,
    )
    check_objects(checked.may, wanted)
    for one in unsupported_manifests(hook.body for hook in wanted):
        if one.blocks:
            raise Refused(str(one))
    return wanted


def bound(engine: Engine, app: Application, wanted: Sequence[WantedHook], *, whole: bool) -> Application:
    """`app` with the finalizers that hooks among `wanted` ask for; where that is the `whole` of what is
    deployed, without those that none asks for. Raises Conflict when it was changed meanwhile."""
    phases = {phase for one in wanted for phase in one.hook.phases}
    asked = [name for phase, own in FINALIZERS.items() if phase in phases for name in (own, own + CLEANUP)]
    every = [name for own in FINALIZERS.values() for name in (own, own + CLEANUP)]
    before = app.metadata.finalizers
    after = [name for name in before if name in asked or name not in every or not whole]
    after += [name for name in asked if name not in before]
    return app if [*before] == after else engine.applications.bind(app, after)
