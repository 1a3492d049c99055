"""Runs hooks: one step of it each time, whatever has been done of it before, by whomever.

The order is always the same: write down what is about to be done, do it, write down what came of it, clean
up. So it makes no difference at which point a worker dies. A hook's object that is in the way is deleted by
its uid and seen gone before anything takes its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from mooring.errors import ClusterUnavailable, Conflict, MooringError, SchemaRefused, Superseded
from mooring.keys import ObjectKey
from mooring.model.hooks import Phase
from mooring.model.status import ResourceResult
from mooring.model.sync_options import Propagation
from mooring.names import OPERATION
from workers.apply import TAKEN_OVER, Fence
from workers.applyset.inventory import Inventory
from workers.cluster.api import Api, Create, Update
from workers.cluster.live import Live
from workers.desired import CRD, Stamp, kinds_of_crd
from workers.health import HOOK_FINALIZER, Judge
from workers.hooks import results
from workers.hooks.judge import Deed, Judged, judge, why_not_our_hook
from workers.hooks.ran import Ran
from workers.hooks.results import FAILED, POLICIES, RUNNING, SUCCEEDED, Results, RunId, run_id
from workers.hooks.wanted import HookRun

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a runner stands on. `record` writes down how its runs stand, in one guarded write; `goes_on` says,
    once the claim is lost, whether whoever has it now carries out this same operation; `judge`, how a hook's
    object is."""

    api: Api
    executor: Executor
    fence: Fence
    by: Stamp
    inventory: Inventory
    record: Callable[[Results], None]
    goes_on: Callable[[], bool]
    judge: Judge


class HookRunner:
    """The hooks of one operation.

    `known` is what was written down about it before, `lives` are those of its objects that were looked at
    already (None: not there). Every method may raise what the API server's verbs and `Grounds.record` do.
    """

    def __init__(
        self,
        grounds: Grounds,
        runs: Sequence[HookRun],
        known: Results,
        lives: Mapping[ObjectKey, Live | None],
    ) -> None:
        self._on = grounds
        self._runs = tuple(runs)
        self._results: dict[RunId, ResourceResult] = dict(known)
        self._lives: dict[ObjectKey, Live | None] = dict(lives)

    @property
    def results(self) -> tuple[ResourceResult, ...]:
        """How all runs stand that have begun, in the order in which they did."""
        return tuple(self._results.values())

    @property
    def lives(self) -> Mapping[ObjectKey, Live]:
        """The hooks' objects as they were last seen."""
        return {key: live for key, live in self._lives.items() if live is not None}

    def waves(self, phase: Phase) -> frozenset[int]:
        """The waves in which hooks of `phase` run."""
        return frozenset(run.wave for run in self._runs if run.phase is phase)

    def begun(self, phase: Phase) -> bool:
        """Whether any hook of `phase` has begun."""
        return any(name == phase.value for name, _ in self._results)

    def advance(self, phase: Phase, wave: int, *, start: bool = True) -> tuple[Ran, ...]:
        """Take the hooks of one wave one step further: how each stands then. Without `start` none begins, and
        only those are told that have begun.

        Raises Superseded when the operation is lost, having ended what was just begun.
        """
        runs = [run for run in self._runs if (run.phase, run.wave) == (phase, wave)]
        if not runs:
            return ()
        judged = self._judged(runs)
        if start and not any(found.deed is Deed.REFUSE for found in judged.values()):
            judged |= self._cleared([run for run, found in judged.items() if found.deed is Deed.CLEAR])
            if not any(found.deed is Deed.AWAIT for found in judged.values()):
                new = [run for run, found in judged.items() if found.deed in (Deed.CREATE, Deed.OVERWRITE)]
                judged |= self._begin(new)
        return tuple(self._concluded(judged))

    def clean_up(self, ended: Collection[str]) -> None:
        """Delete the objects of hooks that have `ended` so and are not to outlive that, as the operation is
        about to end or to be tried again.

        https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/#hook-lifecycle-and-cleanup
        """
        # Of an object that ran in several phases, the last one counts.
        last = {run.key: run for run in self._runs if run_id(run) in self._results}
        for run in last.values():
            live = self._lives.get(run.key)
            phase = self._results[run_id(run)].hook_phase
            if live is None or phase not in ended or POLICIES.get(phase) not in run.delete:
                continue
            if self._is_of(run, live):
                self._on.fence.check([], self._on.api)
                self._lives[run.key] = self._delete(live)

    def _judged(self, runs: Iterable[HookRun]) -> dict[HookRun, Judged]:
        runs = tuple(runs)
        unseen = [run for run in runs if run.key not in self._lives]
        for run, live in zip(unseen, self._on.executor.map(self._read, unseen), strict=True):
            self._lives[run.key] = live
        entries = self._on.inventory.entries
        return {
            run: judge(
                run,
                self._lives[run.key],
                self._results.get(run_id(run)),
                self._on.by,
                entries.get(run.key),
                self._on.judge,
            )
            for run in runs
        }

    def _cleared(self, runs: Sequence[HookRun]) -> dict[HookRun, Judged]:
        """Delete what earlier operations, phases or tries have left under the names of `runs`."""
        if not runs:
            return {}
        self._on.fence.check([], self._on.api, always=True)

        def clear(run: HookRun) -> Live | None:
            live = self._lives[run.key]
            assert live is not None
            return self._delete(live)

        for run, live in zip(runs, self._on.executor.map(clear, runs), strict=True):
            self._lives[run.key] = live
        return self._judged(runs)

    def _begin(self, runs: Sequence[HookRun]) -> dict[HookRun, Judged]:
        if not runs:
            return {}
        on = self._on
        self._results |= {run_id(run): results.intended(run) for run in runs}
        on.record(self._results)
        on.fence.check([], on.api, always=True)
        written: list[Live] = []
        for run, done in zip(runs, on.executor.map(self._write, runs), strict=True):
            if isinstance(done, Live):
                written.append(done)
                self._lives[run.key] = done
                self._results[run_id(run)] = results.began(run, f"{_called(run)} created")
            else:
                self._results[run_id(run)] = results.refused(run, f"{run.where}: {done}")
        if not on.fence.holds():
            self._take_back(written)
            raise Superseded(TAKEN_OVER)
        return self._judged(runs)

    def _write(self, run: HookRun) -> Live | MooringError:
        """Raises ClusterUnavailable, and Conflict when something has taken its place meanwhile."""
        api, live = self._on.api, self._lives[run.key]
        guard = Create() if live is None else Update(live.uid, live.resource_version)
        try:
            try:
                return api.apply(run.kind, run.body, guard=guard)
            except SchemaRefused:
                if run.options.server_side_apply or live is not None:
                    raise
                return api.create(run.kind, run.body, validation="Warn")
        except (ClusterUnavailable, Conflict):
            raise
        except MooringError as error:
            return error

    def _take_back(self, written: Iterable[Live]) -> None:
        """End what was begun although the operation was lost, unless who has it now has found it and goes
        on."""
        try:
            if self._on.goes_on():
                return
            for live in written:
                self._delete(live, "background")
        except MooringError:
            return  # whoever is next finds it, and waits for its end

    def _concluded(self, judged: Mapping[HookRun, Judged]) -> list[Ran]:
        """How runs stand; what has ended is written down, and then let go of."""
        found: list[Ran] = []
        news = False
        for run, said in judged.items():
            known = self._results.get(run_id(run))
            if said.deed is Deed.REFUSE:
                self._results[run_id(run)] = results.refused(run, said.message)
                found.append(Ran(run, FAILED, said.message))
            elif said.deed is Deed.END:
                if known is None or known.hook_phase == RUNNING:
                    self._results[run_id(run)] = results.ended(run, said.phase, said.message)
                    news = news or self._held(run)
                found.append(Ran(run, said.phase, said.message))
            elif said.deed is Deed.WATCH:
                if known is not None and said.message not in ("", known.message):
                    self._results[run_id(run)] = results.began(run, said.message)
                found.append(Ran(run, RUNNING, said.message))
            elif said.deed is Deed.AWAIT:
                found.append(Ran(run, RUNNING, said.message, clearing=True))
        if news:
            self._on.record(self._results)
        for ran in found:
            if ran.phase != RUNNING:
                self._let_go(ran)
        return found

    def _let_go(self, ran: Ran) -> None:
        live = self._lives.get(ran.run.key)
        if live is None or not self._is_of(ran.run, live):
            return
        if HOOK_FINALIZER in live.finalizers:
            self._lives[ran.run.key] = released(self._on.api, live)
        if ran.phase == SUCCEEDED and (live.key.group, live.key.kind) == CRD:
            for kind in kinds_of_crd(live.body):
                self._on.api.discovery.await_kind(kind.api_version, kind.kind)

    def _held(self, run: HookRun) -> bool:
        live = self._lives.get(run.key)
        return live is not None and HOOK_FINALIZER in live.finalizers

    def _is_of(self, run: HookRun, live: Live) -> bool:
        return live.labels.get(OPERATION) == run.operation and not why_not_our_hook(live, self._on.by)

    def _read(self, run: HookRun) -> Live | None:
        found = self._on.api.discovery.find(run.kind.api_version, run.kind.kind)
        return self._on.api.get(run.kind, run.key.namespace, run.key.name) if found else None

    def _delete(self, live: Live, how: Propagation = "foreground") -> Live | None:
        return deleted(self._on.api, live, how)


def released(api: Api, live: Live) -> Live | None:
    """`live` without the finalizer that has kept it until its end was seen; None once it is gone."""
    for _ in range(_TRIES):
        if HOOK_FINALIZER not in live.finalizers:
            return live
        others = [one for one in live.finalizers if one != HOOK_FINALIZER]
        guarded = {"uid": live.uid, "resourceVersion": live.resource_version, "finalizers": others or None}
        try:
            return api.patch(live.kind, live.key.namespace, live.key.name, {"metadata": guarded})
        except Conflict:
            now = api.get(live.kind, live.key.namespace, live.key.name)
            if now is None or now.uid != live.uid:
                return now
            live = now
    raise ClusterUnavailable(f"{live.key.title} keeps changing while its finalizer is taken off", after=2)


def deleted(api: Api, live: Live, how: Propagation = "foreground") -> Live | None:
    """What is there of `live` once it was told to go, by its uid; None when it is gone."""
    now = released(api, live)
    if now is None or now.uid != live.uid:
        return now
    if not now.deletion_timestamp:
        with contextlib.suppress(Conflict):  # another one has its name by now
            api.delete(now.kind, now, how, any_version=True)
    return api.get(now.kind, now.key.namespace, now.key.name)


def _called(run: HookRun) -> str:
    return f"{run.key.kind.lower()}/{run.key.name}"
