"""Hooks as Git wants them, and what their runs are called in an operation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.model.hooks import DeletePolicy, Phase
from mooring.model.spec import ApplyStrategy, Operation, OperationResource, SyncOperation, SyncStrategy
from mooring.names import APPLYSET_PART_OF, HOOK_OF, ID, OPERATION
from tests.workers.objects import APP, APPLYSET, HERE, key
from workers.cluster.kinds import Kind
from workers.decide import healing
from workers.desired import Stamp
from workers.health import HOOK_FINALIZER
from workers.hooks.wanted import HookRun, WantedHook, apart, hooks_of, occasion, runs, runs_hooks
from workers.render.manifest import Manifest, manifests_of
from workers.render.yaml_reader import Document

JOB = Kind("batch", "v1", "Job", "jobs", namespaced=True)
CONFIGMAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
KINDS = {(kind.api_version, kind.kind): kind for kind in (JOB, CONFIGMAP)}
OF_A_SYNC = (Phase.PRE_SYNC, Phase.SYNC, Phase.POST_SYNC, Phase.SYNC_FAIL)
BY = Stamp(HERE, APP, APPLYSET)
BEGAN = occasion(BY, "uid", "2026-11-25T12:00:00Z")


def manifest(hook: str = "PreSync", kind: Kind = JOB, name: str = "migrate", **metadata: Any) -> Manifest:
    annotations = {"argocd.argoproj.io/hook": hook} if hook else {}
    annotations |= metadata.pop("annotations", {})
    names = {"name": name} if name else {}
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {**names, **metadata, "annotations": annotations},
    }
    found, _ = manifests_of([Document(body, 1)], "jobs.yaml")
    return found[0]


def wanted(*manifests: Manifest) -> tuple[WantedHook, ...]:
    return hooks_of(manifests, lambda *name: KINDS.get(name), {}, "shop", ())


def run_of(*manifests: Manifest) -> HookRun:
    (run,) = runs(wanted(*manifests), BEGAN, OF_A_SYNC)
    return run


def test_a_hook_says_whose_it_is_and_of_which_operation_and_is_in_no_inventory() -> None:
    run = run_of(manifest(labels={APPLYSET_PART_OF: "exported", "app": "shop"}))
    metadata = run.body["metadata"]
    assert run.key == key("migrate", "Job", "batch")
    assert metadata["labels"] == {"app": "shop", OPERATION: BEGAN.id, HOOK_OF: APPLYSET}
    assert metadata["annotations"][ID] == f"{HERE}/{APP}/batch/Job/shop/migrate"
    assert metadata["namespace"] == "shop"
    assert metadata["finalizers"] == [HOOK_FINALIZER]


def test_what_has_no_health_has_ended_once_it_is_there_and_needs_nothing_to_keep_it() -> None:
    run = run_of(manifest(kind=CONFIGMAP, finalizers=["example.org/own"]))
    assert run.body["metadata"]["finalizers"] == ["example.org/own"]
    kept = run_of(manifest(finalizers=["example.org/own", HOOK_FINALIZER]))
    assert kept.body["metadata"]["finalizers"] == ["example.org/own", HOOK_FINALIZER]


def test_a_hook_of_several_phases_runs_once_in_each() -> None:
    found = runs(wanted(manifest("PreSync,PostSync,PreDelete")), BEGAN, OF_A_SYNC)
    assert [(run.phase, run.key.name) for run in found] == [
        (Phase.PRE_SYNC, "migrate"),
        (Phase.POST_SYNC, "migrate"),
    ]
    (last,) = runs(wanted(manifest("PreSync,PostSync,PreDelete")), BEGAN, [Phase.PRE_DELETE])
    assert last.phase is Phase.PRE_DELETE


def test_a_generated_name_is_the_same_however_often_it_is_asked_for_and_another_in_each_operation() -> None:
    hook = wanted(manifest("PreSync,PostSync", name="", generateName="migrate-"))
    before, after = runs(hook, BEGAN, OF_A_SYNC)
    again, _ = runs(hook, BEGAN, OF_A_SYNC)
    assert before.key == again.key
    assert before.key.name == f"migrate-{BEGAN.id[:7]}-presync-1795608000"
    assert after.key.name == f"migrate-{BEGAN.id[:7]}-postsync-1795608000"
    assert before.body["metadata"]["name"] == before.key.name
    assert "generateName" not in before.body["metadata"]
    later = occasion(BY, "uid", "2026-11-25T12:00:01Z")
    assert runs(hook, later, OF_A_SYNC)[0].key != before.key


def test_two_hooks_that_begin_their_names_alike_are_two() -> None:
    twins = [manifest(name="", generateName="a" * 60), manifest(name="", generateName="a" * 60)]
    first, second = runs(wanted(*twins), BEGAN, OF_A_SYNC)
    assert second.key.name.endswith("-2")
    assert first.key != second.key
    assert len(first.key.name) == len(second.key.name) == 63


@given(st.lists(st.tuples(st.sampled_from(["a-", "b-"]), st.sampled_from([*Phase])), max_size=12))
def test_no_two_runs_of_an_operation_have_the_same_name(hooks: list[tuple[str, Phase]]) -> None:
    manifests = [manifest(phase.value, name="", generateName=prefix) for prefix, phase in hooks]
    found = runs(wanted(*manifests), BEGAN, [*Phase])
    assert len({run.key for run in found}) == len(found) == len(hooks)


def test_hooks_are_told_from_what_stays_and_what_never_runs_is_a_hook_too() -> None:
    stays, skipped = manifest("", name="stays"), manifest("Skip", name="skipped")
    migrate = manifest(annotations={"argocd.argoproj.io/hook-delete-policy": "HookFailed"})
    assert apart([stays, migrate, skipped]) == ((stays,), (migrate, skipped))
    never, runs_before = sorted(wanted(stays, migrate, skipped), key=lambda hook: -hook.key.name.count("k"))
    assert runs_before.hook.delete == (DeletePolicy.FAILED,)
    assert runs([never], BEGAN, [*Phase]) == ()


def test_a_kind_that_nobody_knows_is_refused_unless_this_same_sync_brings_it() -> None:
    flow = Kind("example.org", "v1", "Flow", "flows", namespaced=True)
    with pytest.raises(Refused, match=r"jobs.yaml:1: the cluster has no kind Flow"):
        wanted(manifest(kind=flow))
    (hook,) = hooks_of([manifest(kind=flow)], lambda *_: None, {("example.org/v1", "Flow"): flow}, "shop", ())
    assert not hook.served


def test_only_a_sync_of_the_whole_app_runs_hooks() -> None:
    def asked(**sync: Any) -> Operation:
        return Operation(sync=SyncOperation(**sync))

    assert runs_hooks(asked())
    assert runs_hooks(asked(sync_strategy=SyncStrategy(hook=ApplyStrategy())))
    assert not runs_hooks(asked(sync_strategy=SyncStrategy(apply=ApplyStrategy())))
    assert not runs_hooks(asked(resources=(OperationResource(kind="ConfigMap", name="a"),)))
    assert not runs_hooks(healing(asked()))
    assert not runs_hooks(Operation())
