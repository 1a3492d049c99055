"""Whether to sync, and by whose wish."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.application import Application
from mooring.model.pinned import Pinned
from workers.decide import Decision, Mode, asked, decide

OLD, NEW = "a" * 40, "b" * 40
AUTOMATED = {"automated": {"prune": True, "selfHeal": True, "allowEmpty": True}}


def app(
    policy: dict[str, Any] | None = None,
    operation: dict[str, Any] | None = None,
    phase: str = "",
    tried: str = OLD,
    automated: bool = True,
) -> Application:
    state = {
        "phase": phase,
        "startedAt": "2026-11-23T12:00:00Z",
        "operation": {"sync": {"revision": tried}, "initiatedBy": {"automated": automated}},
        "syncResult": {"revision": tried},
    }
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "shop", "namespace": "mooring"},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "source": {"repoURL": "https://git.example.com/shop", "path": "."},
                "syncPolicy": policy or {},
            },
            "status": {"operationState": state} if phase else {},
            **({"operation": operation} if operation else {}),
        }
    )


def decided(
    of: Application, commit: str = NEW, *, new: bool = True, may_sync: bool = True, approved: bool = False
) -> Decision:
    return decide(of, Pinned(of.spec.all_sources, (commit,)), new=new, may_sync=may_sync, approved=approved)


def test_without_automation_a_push_only_shows_what_differs() -> None:
    assert decided(app()).mode is Mode.COMPARE
    assert decided(app(phase="Failed")).mode is Mode.COMPARE
    assert decided(app({"automated": {"enabled": False}})).mode is Mode.COMPARE


def test_automation_syncs_what_is_new() -> None:
    found = decided(app(AUTOMATED))
    assert found.mode is Mode.SYNC
    assert not found.by_hand
    assert found.operation.initiated_by.automated
    assert found.operation.sync is not None
    assert (found.operation.sync.revision, found.operation.sync.prune) == (NEW, True)


def test_what_differs_in_what_was_synced_is_drift_and_healed_only_when_asked() -> None:
    assert decided(app(AUTOMATED, phase="Succeeded"), OLD, new=False).mode is Mode.HEAL
    without = {"automated": {"prune": True}}
    assert decided(app(without, phase="Succeeded"), OLD, new=False).mode is Mode.COMPARE


def test_what_failed_is_not_tried_again_at_the_same_commit() -> None:
    assert decided(app(AUTOMATED, phase="Failed"), OLD, new=False).mode is Mode.COMPARE
    assert decided(app(AUTOMATED, phase="Failed"), NEW, new=False).mode is Mode.SYNC


def test_a_running_sync_is_resumed() -> None:
    found = decided(app(AUTOMATED, phase="Running"), OLD)
    assert (found.mode, found.resumes) == (Mode.SYNC, True)
    assert not decided(app(AUTOMATED, phase="Running"), NEW).resumes


@pytest.mark.parametrize("policy", [None, AUTOMATED])
def test_an_operation_that_somebody_asked_for_is_theirs(policy: dict[str, Any] | None) -> None:
    wish = {"sync": {"prune": True}, "initiatedBy": {"username": "ann"}}
    found = decided(app(policy, wish))
    assert (found.mode, found.by_hand, found.resumes) == (Mode.SYNC, True, False)
    assert found.permission.prune
    assert found.permission.by_hand
    assert found.operation.initiated_by.username == "ann"


def test_an_operation_that_does_not_ask_for_pruning_prunes_nothing() -> None:
    found = decided(app(AUTOMATED, {"sync": {}}))
    assert not found.permission.prune
    assert not found.permission.by_hand


def test_an_operation_by_hand_is_resumed_as_what_it_was() -> None:
    of = app(AUTOMATED, phase="Running", automated=False)
    assert asked(of) is not None
    found = decided(of)
    assert (found.by_hand, found.resumes) == (True, True)
    assert asked(app(AUTOMATED, phase="Running")) is None
    assert asked(app(AUTOMATED, phase="Succeeded", automated=False)) is None


@given(
    st.sampled_from([None, {}, AUTOMATED, {"automated": {}}, {"automated": {"prune": True}}]),
    st.sampled_from([None, {"sync": {}}, {"sync": {"prune": True}}, {}]),
    st.sampled_from(["", "Running", "Succeeded", "Failed", "Error", "Terminating"]),
    st.sampled_from([OLD, NEW]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_written_or_deleted_that_nobody_allowed(
    policy: dict[str, Any] | None,
    operation: dict[str, Any] | None,
    phase: str,
    commit: str,
    automated: bool,
    new: bool,
    may_sync: bool,
    approved: bool,
) -> None:
    of = app(policy, operation, phase, automated=automated)
    found = decided(of, commit, new=new, may_sync=may_sync, approved=approved)
    rules = of.spec.automated
    if found.mode is not Mode.COMPARE:
        assert may_sync
        assert rules is not None or asked(of) is not None
    if found.mode is Mode.HEAL:
        assert rules is not None
        assert rules.self_heal
        assert not found.by_hand
    if found.permission.prune:
        wish = asked(of)
        assert bool(wish.sync and wish.sync.prune) if wish else bool(rules and rules.prune)
    assert not found.permission.by_hand or found.permission.prune
    assert found.permission.approved == approved
