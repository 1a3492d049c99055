"""Waves: what is written when, and what holds the next one back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.model.hooks import Phase
from tests.workers.hooks.test_wanted import manifest, run_of
from tests.workers.objects import desired, key, live
from workers.apply import Applied, Outcome, Result
from workers.desired import Desired
from workers.hooks.ran import Ran
from workers.hooks.results import FAILED, RUNNING, SUCCEEDED
from workers.plan import Plan, Step, Verb, groups
from workers.waves import after_failure, cut, in_waves, stages

WAVE = "argocd.argoproj.io/sync-wave"
EMPTY = Plan((), (), (), (), (), {}, frozenset(), ())


def in_wave(of: ObjectKey, wave: int) -> Desired:
    return desired(of, metadata={"annotations": {WAVE: str(wave)}})


def create(of: ObjectKey, wave: int) -> Step:
    return Step(Verb.CREATE, of, in_wave(of, wave), None)


def keep(of: ObjectKey, wave: int, status: Mapping[str, object] | None = None) -> Step:
    body = {"apiVersion": "v1", "kind": of.kind, "metadata": {"name": of.name}, "status": status or {}}
    if of.kind == "Service":
        body["spec"] = {"type": "LoadBalancer"}
    return Step(Verb.KEEP, of, in_wave(of, wave), replace(live(of), body=body))


OPEN = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
DOOR, DISK = key("door", "Service"), key("disk", "PersistentVolumeClaim")


def plan_of(*steps: Step, prunes: tuple[Step, ...] = ()) -> Plan:
    return replace(
        EMPTY,
        writes=groups([step for step in steps if step.verb is Verb.CREATE]),
        kept=tuple(step for step in steps if step.verb is Verb.KEEP),
        prunes=groups(prunes, last_first=True),
    )


class Cluster:
    """Writes what it is told, and remembers in which order; `answers` are the objects as they are then."""

    def __init__(self, **answers: Mapping[str, object]) -> None:
        self.written: list[str] = []
        self.answers = answers

    def write(self, plan: Plan) -> Applied:
        outcomes = [
            Outcome(step.key, "v1", Result.UNCHANGED, "unchanged", step.live, step.desired)
            for step in plan.kept
        ]
        for step in (step for group in plan.writes for step in group):
            self.written.append(step.key.name)
            found = keep(step.key, step.wave, self.answers.get(step.key.name)).live
            outcomes.append(Outcome(step.key, "v1", Result.CREATED, "created", found, step.desired))
        for step in (step for group in plan.prunes for step in group):
            self.written.append(f"-{step.key.name}")
            outcomes.append(Outcome(step.key, "v1", Result.PRUNED, "pruned", step.live))
        return Applied(tuple(outcomes))


def test_waves_that_are_healthy_at_once_follow_each_other_at_once() -> None:
    cluster = Cluster(door=OPEN)
    plan = plan_of(create(key("late"), 5), create(key("early"), -1), create(DOOR, 0))
    applied = in_waves(plan, cluster.write)
    assert cluster.written == ["early", "door", "late"]
    assert not applied.waiting
    assert not applied.failures


def test_what_is_not_healthy_yet_holds_back_all_that_follows() -> None:
    cluster = Cluster()
    gone = Step(Verb.PRUNE, key("gone"), None, live(key("gone")))
    plan = plan_of(create(DOOR, 0), create(key("late"), 1), keep(key("there"), 2), prunes=(gone,))
    applied = in_waves(plan, cluster.write)
    assert cluster.written == ["door"]
    assert applied.waiting == (DOOR,)
    results = {outcome.key.name: outcome.result for outcome in applied.outcomes}
    assert results == {"door": Result.CREATED, "late": Result.SKIPPED, "there": Result.UNCHANGED}
    assert in_waves(plan_of(keep(DOOR, 0, OPEN), create(key("late"), 1)), cluster.write).waiting == ()
    assert cluster.written == ["door", "late"]


def test_nobody_waits_for_the_last_wave() -> None:
    cluster = Cluster()
    assert not in_waves(plan_of(create(key("early"), 0), create(DOOR, 1)), cluster.write).waiting
    assert not in_waves(plan_of(create(DOOR, 0)), Cluster().write).waiting


def test_what_is_degraded_has_failed_and_ends_it() -> None:
    cluster = Cluster(disk={"phase": "Lost"})
    applied = in_waves(plan_of(create(DISK, 0), create(key("late"), 1)), cluster.write)
    assert cluster.written == ["disk"]
    assert [outcome.key for outcome in applied.failures] == [DISK]
    assert not applied.waiting


def test_what_left_git_goes_in_the_end_the_last_wave_first() -> None:
    cluster = Cluster()
    going = [
        Step(Verb.PRUNE, of, None, replace(live(of), annotations={WAVE: wave}))
        for of, wave in ((key("a"), "1"), (key("b"), "3"), (key("c"), "-2"))
    ]
    in_waves(plan_of(create(key("early"), 0), create(key("late"), 7), prunes=tuple(going)), cluster.write)
    assert cluster.written == ["early", "late", "-b", "-a", "-c"]


def test_what_is_pruned_last_waits_until_all_is_healthy() -> None:
    gone = Step(Verb.PRUNE, key("gone", "Service"), None, keep(key("gone", "Service"), 0).live)
    last = Step(Verb.PRUNE, key("last"), None, live(key("last")), last=True)
    cluster = Cluster()
    applied = in_waves(plan_of(create(DOOR, 0), prunes=(gone, last)), cluster.write)
    assert cluster.written == ["door", "-gone"]
    assert applied.waiting == (DOOR,)
    assert not in_waves(plan_of(keep(DOOR, 0, OPEN), prunes=(last,)), cluster.write).waiting
    assert cluster.written == ["door", "-gone", "-last"]


@given(st.dictionaries(st.integers(0, 30), st.integers(-3, 3), max_size=12))
def test_each_object_is_in_the_plan_of_its_wave_and_in_no_other(waves: dict[int, int]) -> None:
    plan = plan_of(*(create(key(f"c{number}"), wave) for number, wave in waves.items()))
    parts = cut(plan)
    numbers = [{step.wave for group in part.writes for step in group} for part in parts]
    assert all(len(found) <= 1 for found in numbers)
    assert [found for found in numbers if found] == [{wave} for wave in sorted(set(waves.values()))]
    written = [step.key.name for part in parts for group in part.writes for step in group]
    assert sorted(written) == sorted(f"c{number}" for number in waves)


# --- hooks ----------------------------------------------------------------------------------------
class Hooked:
    """Hooks named `<phase>-<wave>`, each of which stands as `how` says, else has succeeded; `cluster`
    remembers when they ran."""

    def __init__(self, cluster: Cluster, *stages: tuple[Phase, int], **how: str) -> None:
        self.cluster = cluster
        self.stages = stages
        self.how = how

    def waves(self, phase: Phase) -> frozenset[int]:
        return frozenset(wave for of, wave in self.stages if of is phase)

    def advance(self, phase: Phase, wave: int, *, start: bool = True) -> tuple[Ran, ...]:
        if (phase, wave) not in self.stages or not start:
            return ()
        name = f"{phase}-{wave}"
        self.cluster.written.append(name)
        return (Ran(run_of(manifest(phase.value, name=name)), self.how.get(phase.name, SUCCEEDED)),)


PRE, BESIDE, POST, FAIL = Phase.PRE_SYNC, Phase.SYNC, Phase.POST_SYNC, Phase.SYNC_FAIL


def test_hooks_run_before_beside_and_after_what_stays_wave_by_wave() -> None:
    cluster = Cluster()
    hooks = Hooked(cluster, (POST, 0), (PRE, 5), (PRE, -1), (BESIDE, 1), (BESIDE, 3), (FAIL, 0))
    applied = in_waves(plan_of(create(key("early"), 0), create(key("late"), 3)), cluster.write, hooks)
    assert cluster.written == ["PreSync--1", "PreSync-5", "early", "Sync-1", "late", "Sync-3", "PostSync-0"]
    assert not applied.waits
    assert not applied.failed
    assert len(applied.hooks) == 5


def test_nothing_is_written_before_the_hooks_before_it_have_succeeded() -> None:
    cluster = Cluster()
    hooks = Hooked(cluster, (PRE, 0), (POST, 0), PRE_SYNC=RUNNING)
    applied = in_waves(plan_of(create(key("a"), 0), keep(key("b"), 0)), cluster.write, hooks)
    assert cluster.written == ["PreSync-0"]
    assert applied.waits
    results = {outcome.key.name: outcome.result for outcome in applied.outcomes}
    assert results == {"a": Result.SKIPPED, "b": Result.UNCHANGED}

    failed = in_waves(plan_of(create(key("a"), 0)), cluster.write, Hooked(cluster, (PRE, 0), PRE_SYNC=FAILED))
    assert failed.failed
    assert not failed.waits
    assert "a" not in cluster.written


def test_hooks_after_a_sync_wait_until_all_is_healthy() -> None:
    cluster = Cluster()
    applied = in_waves(plan_of(create(DOOR, 0)), cluster.write, Hooked(cluster, (POST, 0)))
    assert cluster.written == ["door"]
    assert applied.waiting == (DOOR,)


def test_a_hook_beside_the_last_wave_is_waited_for_and_that_waves_health_is_not() -> None:
    cluster = Cluster()
    applied = in_waves(plan_of(create(DOOR, 0)), cluster.write, Hooked(cluster, (BESIDE, 0)))
    assert cluster.written == ["door", "Sync-0"]
    assert not applied.waits
    running = Hooked(cluster, (BESIDE, 0), SYNC=RUNNING)
    assert in_waves(plan_of(create(DOOR, 0)), cluster.write, running).waits


def test_no_hook_begins_beside_what_has_failed() -> None:
    cluster = Cluster(disk={"phase": "Lost"})
    hooks = Hooked(cluster, (BESIDE, 0), (POST, 0))
    applied = in_waves(plan_of(create(DISK, 0), create(key("late"), 1)), cluster.write, hooks)
    assert cluster.written == ["disk"]
    assert applied.failed


def test_hooks_after_a_failure_go_wave_by_wave_too() -> None:
    cluster = Cluster()
    assert len(after_failure(Hooked(cluster, (FAIL, 2), (FAIL, -1)))) == 2
    assert cluster.written == ["SyncFail--1", "SyncFail-2"]
    (ran,) = after_failure(Hooked(cluster, (FAIL, 2), (FAIL, -1), SYNC_FAIL=RUNNING))
    assert ran.running


@given(
    st.lists(st.tuples(st.sampled_from([PRE, BESIDE, POST]), st.integers(-2, 2)), max_size=6, unique=True),
    st.dictionaries(st.integers(0, 9), st.integers(-2, 2), max_size=4),
)
def test_stages_are_in_the_order_of_their_phases_and_waves(
    hooks: list[tuple[Phase, int]], waves: dict[int, int]
) -> None:
    plan = plan_of(*(create(key(f"c{number}"), wave) for number, wave in waves.items()))
    cluster = Cluster()
    found = stages(plan, Hooked(cluster, *hooks))
    order = [([PRE, BESIDE, POST].index(stage.phase), stage.wave) for stage in found]
    assert order == sorted(order)
    assert {(stage.phase, stage.wave) for stage in found} >= {*hooks, *((BESIDE, w) for w in waves.values())}
    assert not in_waves(plan, cluster.write, Hooked(cluster, *hooks)).waits
    assert len(cluster.written) == len(hooks) + len(waves)
