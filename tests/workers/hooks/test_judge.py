"""What is to be done about a hook, as its object is and as far as it is written down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.hooks import DeletePolicy
from mooring.model.status import ResourceResult
from mooring.names import APPLYSET_PART_OF, OPERATION, TRACKING_ID
from tests.workers.hooks.test_wanted import BEGAN, CONFIGMAP, manifest, run_of
from tests.workers.objects import APP, APPLYSET, HERE, OTHER_APP, key, managed, ours
from workers.applyset.identity import object_id
from workers.applyset.inventory import Entry
from workers.cluster.live import Live
from workers.desired import Stamp
from workers.health import HOOK_FINALIZER
from workers.hooks import results
from workers.hooks.judge import Deed, Judged, judge, outcome
from workers.hooks.results import FAILED, RUNNING, SUCCEEDED

BY = Stamp(HERE, APP, APPLYSET)
RUN = run_of(manifest())
MIGRATE = key("migrate", "Job", "batch")
NEVER = replace(RUN, delete=(DeletePolicy.SUCCEEDED,))
GONE_SOON = "2026-11-25T12:01:00Z"


def condition(type_: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": type_, "status": "True", "message": f"it is {type_}"}]}}


def hook(operation: str = BEGAN.id, status: dict[str, Any] | None = None, **more: Any) -> Live:
    """The Job as a run of `operation` has left it."""
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, **(status or {})}
    fields = {
        "labels": {OPERATION: operation},
        "fields": (managed(OPERATION),),
        "finalizers": (HOOK_FINALIZER,),
        **more,
    }
    if fields.get("deletion_timestamp"):
        body["metadata"] |= {
            "deletionTimestamp": fields["deletion_timestamp"],
            "finalizers": [*fields["finalizers"]],
        }
    return ours(MIGRATE, body=body, **fields)


INTENDED, BEGUN = results.intended(RUN), results.began(RUN, "job/migrate created")


def test_what_is_not_there_is_created_and_what_was_to_be_too() -> None:
    assert judge(RUN, None, None, BY) == Judged(Deed.CREATE)
    assert judge(RUN, None, INTENDED, BY) == Judged(Deed.CREATE)


def test_what_mooring_keeps_of_others_is_nobodys_hook() -> None:
    """An inventory that another app will look for is not made by one that runs before it."""
    forged = run_of(manifest(kind=CONFIGMAP, name=f"mooring-{HERE}-mooring.bakery", namespace="mooring"))
    found = judge(forged, None, None, BY)
    assert found.deed is Deed.REFUSE
    assert found.message.startswith(
        "jobs.yaml:1: ConfigMap mooring/mooring-here-mooring.bakery is the inventory"
    )


def test_what_was_there_and_is_gone_has_failed() -> None:
    found = judge(RUN, None, BEGUN, BY)
    assert (found.deed, found.phase) == (Deed.END, FAILED)
    assert "is missing, it might have been deleted" in found.message
    assert judge(RUN, hook("another"), BEGUN, BY).phase == FAILED


@pytest.mark.parametrize("known", [INTENDED, BEGUN])
def test_one_of_this_operation_is_its_run_whoever_has_begun_it(known: ResourceResult) -> None:
    assert judge(RUN, hook(), known, BY).deed is Deed.WATCH
    assert judge(RUN, hook(status=condition("Complete")), known, BY) == Judged(
        Deed.END, "it is Complete", SUCCEEDED
    )
    assert judge(RUN, hook(status=condition("Failed")), known, BY) == Judged(Deed.END, "it is Failed", FAILED)
    assert judge(RUN, hook(status=condition("Suspended")), known, BY).deed is Deed.WATCH


def test_one_that_is_left_over_is_deleted_first_unless_no_policy_says_so() -> None:
    for left in (hook("another"), hook("another", condition("Failed")), hook()):
        assert judge(RUN, left, None, BY) == Judged(Deed.CLEAR)
        assert judge(NEVER, left, None, BY) == Judged(Deed.OVERWRITE)
        assert judge(RUN, replace(left, deletion_timestamp=GONE_SOON), None, BY) == Judged(Deed.AWAIT)


@pytest.mark.parametrize(
    "foreign",
    [
        hook(labels={}, fields=()),
        hook(id=object_id(HERE, OTHER_APP, MIGRATE)),
        hook(id=object_id("elsewhere", APP, MIGRATE)),
        hook(id=object_id(HERE, APP, key("original", "Job", "batch"))),
        hook(id=None),
        hook(fields=(managed(OPERATION, manager="kubectl"),)),
        hook(owner_references=({"controller": True},)),
        ours(MIGRATE),
    ],
)
@pytest.mark.parametrize("run", [RUN, NEVER])
def test_what_is_not_certainly_a_hook_of_this_app_is_neither_deleted_nor_written(
    foreign: Live, run: Any
) -> None:
    found = judge(run, foreign, None, BY)
    assert found.deed is Deed.REFUSE
    assert "batch/Job shop/migrate exists and is no hook of this app" in found.message
    assert found.message.startswith("jobs.yaml:1: ")


def test_what_was_kept_by_this_app_makes_room_when_it_becomes_a_hook() -> None:
    assert judge(RUN, ours(MIGRATE), None, BY, Entry()).deed is Deed.CLEAR
    copied = ours(MIGRATE, fields=(managed(APPLYSET_PART_OF, manager="kubectl"),))
    assert judge(RUN, copied, None, BY, Entry()).deed is Deed.REFUSE


def test_a_hook_that_argo_cd_has_run_for_this_app_makes_room() -> None:
    told = {"argocd.argoproj.io/hook": "PreSync", TRACKING_ID: "shop:batch/Job:shop/migrate"}
    assert judge(RUN, hook(id=None, labels={}, fields=(), annotations=told), None, BY).deed is Deed.CLEAR
    other = {**told, TRACKING_ID: "bakery:batch/Job:shop/migrate"}
    assert judge(RUN, hook(id=None, labels={}, fields=(), annotations=other), None, BY).deed is Deed.REFUSE


def test_one_that_is_deleted_before_it_has_ended_has_failed_and_one_that_had_ended_is_still_judged() -> None:
    assert outcome(hook(deletion_timestamp=GONE_SOON)) == (FAILED, "was deleted before it had ended")
    done = hook(status=condition("Complete"), deletion_timestamp=GONE_SOON)
    assert outcome(done) == (SUCCEEDED, "it is Complete")
    going = hook(status=condition("Complete"), deletion_timestamp=GONE_SOON, finalizers=("example.org/own",))
    assert outcome(going)[0] == RUNNING


@given(
    st.sampled_from([SUCCEEDED, FAILED]),
    st.sampled_from([None, hook(), hook("another"), hook(status=condition("Failed"))]),
    st.sampled_from([RUN, NEVER]),
)
def test_what_has_ended_is_never_done_again(phase: str, live: Live | None, run: Any) -> None:
    known = results.ended(RUN, phase, "so it was")
    assert judge(run, live, known, BY) == Judged(Deed.END, "so it was", phase)
