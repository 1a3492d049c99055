"""Whether to sync, and by whose wish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject, Cluster
from workers.decide import Decision, Mode, asked, decide
from workers.windows import Window, applying

OLD, NEW = "a" * 40, "b" * 40
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AUTOMATED = {"automated": {"prune": True, "selfHeal": True, "allowEmpty": True}}


def app(
    policy: dict[str, Any] | None = None,
    operation: dict[str, Any] | None = None,
    phase: str = "",
    tried: str = OLD,
    automated: bool = True,
    started: str = "2026-11-23T12:00:00Z",
    heals: bool = False,
) -> Application:
    sync = {"revision": tried, "autoHealAttemptsCount": int(heals)}
    state = {
        "phase": phase,
        "startedAt": started,
        "operation": {"sync": sync, "initiatedBy": {"automated": automated}},
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
    of: Application,
    commit: str = NEW,
    *,
    new: bool = True,
    failed: bool = False,
    bad: bool = False,
    may_sync: bool = True,
    approved: bool = False,
    windows: tuple[Window, ...] = (),
) -> Decision:
    return decide(
        of,
        Pinned(of.spec.all_sources, (commit,)),
        new=new,
        failed=failed,
        bad=bad,
        may_sync=may_sync,
        approved=approved,
        windows=windows,
        now=NOON,
    )


def denied(**more: Any) -> tuple[Window, ...]:
    """A window in which no sync may begin: from 11:30 to 12:30."""
    window = {"kind": "deny", "schedule": "30 11 * * *", "duration": "1h", "applications": ["*"], **more}
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default"},
        "spec": {"syncWindows": [window]},
    }
    return applying(AppProject.parse(project), app(), Cluster())


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


def test_what_failed_for_good_is_not_tried_again_by_itself_whichever_commit_has_it() -> None:
    for commit in (OLD, NEW):
        for phase in ("Failed", "Succeeded"):  # another operation may have followed, of a part of the app
            assert decided(app(AUTOMATED, phase=phase), commit, new=False, failed=True).mode is Mode.COMPARE
    assert decided(app(AUTOMATED, phase="Failed"), NEW).mode is Mode.SYNC, "what is new is another matter"
    # What failed was something else than what is there.
    assert decided(app(AUTOMATED, phase="Failed"), OLD, new=False).mode is Mode.HEAL


def test_a_running_sync_is_resumed() -> None:
    found = decided(app(AUTOMATED, phase="Running"), OLD)
    assert (found.mode, found.resumes) == (Mode.SYNC, True)
    assert not decided(app(AUTOMATED, phase="Running"), NEW).resumes
    # A commit that changes nothing for the app neither ends it nor begins it anew.
    found = decided(app(AUTOMATED, phase="Running"), NEW, new=False)
    assert (found.mode, found.resumes) == (Mode.SYNC, True)


def test_a_running_heal_is_resumed_as_one_unless_there_is_something_new() -> None:
    of = app(AUTOMATED, phase="Running", heals=True)
    found = decided(of, OLD, new=False)
    assert (found.mode, found.resumes) == (Mode.HEAL, True)
    assert found.operation.sync is not None
    assert found.operation.sync.self_heal_attempts_count == 1
    assert decided(of, OLD).mode is Mode.SYNC
    assert decided(app({"automated": {}}, phase="Running", heals=True), OLD, new=False).mode is Mode.SYNC


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


def test_outside_of_its_windows_nothing_is_synced_healed_or_resumed_by_itself() -> None:
    for of, commit, new, mode in (
        (app(AUTOMATED), NEW, True, Mode.SYNC),
        (app(AUTOMATED, phase="Succeeded"), OLD, False, Mode.HEAL),
        (app(AUTOMATED, phase="Running"), OLD, False, Mode.SYNC),
    ):
        assert decided(of, commit, new=new).held is None
        found = decided(of, commit, new=new, windows=denied())
        assert found.mode is mode, "what is to be done once they allow it"
        assert found.held is not None
        assert found.held.until == NOON + timedelta(minutes=30)
    # Nothing is held where nothing would be done.
    assert decided(app(), windows=denied()).held is None
    assert decided(app(AUTOMATED), may_sync=False, windows=denied()).held is None


def test_what_somebody_asked_for_goes_on_outside_of_windows_only_where_these_let_it() -> None:
    by_hand = app(AUTOMATED, phase="Running", automated=False)
    assert decided(by_hand, windows=denied()).held is not None
    assert decided(by_hand, windows=denied(manualSync=True)).held is None
    assert decided(app(AUTOMATED, phase="Running"), OLD, windows=denied(manualSync=True)).held is not None
    # It was judged when it was taken up.
    assert decided(app(AUTOMATED, {"sync": {}}), windows=denied()).held is None


def test_a_sync_that_began_before_a_window_of_overrun_is_resumed_within_it() -> None:
    overrun = denied(syncOverrun=True)
    began = app(AUTOMATED, phase="Running", started="2026-11-23T11:29:59Z")
    assert decided(began, OLD, windows=overrun).held is None
    assert decided(began, NEW, windows=overrun).held is not None, "another commit is another sync"
    for started in ("2026-11-23T11:30:00Z", "", "0001-01-01T00:00:00Z", "tomorrow", "2026-11-24T12:00:00Z"):
        found = decided(app(AUTOMATED, phase="Running", started=started), OLD, windows=overrun)
        assert found.held is not None, started


@given(
    st.sampled_from([None, {}, AUTOMATED, {"automated": {}}, {"automated": {"prune": True}}]),
    st.sampled_from([None, {"sync": {}}, {"sync": {"prune": True}}, {}]),
    st.sampled_from(["", "Running", "Succeeded", "Failed", "Error", "Terminating"]),
    st.sampled_from([OLD, NEW]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
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
    failed: bool,
    bad: bool,
    may_sync: bool,
    approved: bool,
    shut: bool,
) -> None:
    of = app(policy, operation, phase, automated=automated)
    windows = denied() if shut else ()
    found = decided(
        of, commit, new=new, failed=failed, bad=bad, may_sync=may_sync, approved=approved, windows=windows
    )
    rules = of.spec.automated
    if found.mode is not Mode.COMPARE:
        assert may_sync
        assert rules is not None or asked(of) is not None
        assert (found.held is not None) == (shut and of.operation is None)
    if asked(of) is None and (bad or (failed and not new and not approved)):
        begun = of.status.operation_state
        running = begun is not None and begun.phase == "Running"
        assert found.mode is Mode.COMPARE or (found.resumes and running and not bad)
    if asked(of) is None and rules is not None and new and may_sync and not bad:
        assert found.mode is Mode.SYNC, "what is new, and nobody rolled back from, is always deployed"
    if found.mode is Mode.HEAL:
        assert rules is not None
        assert rules.self_heal
        assert not found.by_hand
    if found.permission.prune:
        wish = asked(of)
        assert bool(wish.sync and wish.sync.prune) if wish else bool(rules and rules.prune)
    assert not found.permission.by_hand or found.permission.prune
    assert found.permission.approved == approved
