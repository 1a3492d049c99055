"""Operations are claimed once, and nobody who comes late overwrites what is newer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from mooring.errors import Conflict, Refused, Superseded
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Destination, Initiator, Operation, Source, SyncOperation
from mooring.model.status import (
    ApplicationStatus,
    ComparedTo,
    Condition,
    HealthStatus,
    OperationState,
    ResourceStatus,
    RevisionHistory,
    SyncStatus,
)
from mooring.names import REFRESH, STATE
from workers.apps.state import State
from workers.apps.store import Claim

from .conftest import World

AUTOMATIC = Operation(sync=SyncOperation(revision="c1"), initiated_by=Initiator(automated=True))
BY_HAND = Operation(sync=SyncOperation(prune=True), initiated_by=Initiator(username="ann"))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(hours: float = 0) -> str:
    return (NOON + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def at_commit(app: Application, commit: str) -> Pinned:
    return Pinned(app.spec.all_sources, (commit,))


def running(operation: Operation = AUTOMATIC) -> OperationState:
    return OperationState(operation=operation, phase="Running", started_at=at(), message="applying")


def ended(state: OperationState) -> OperationState:
    return state.model_copy(update={"phase": "Succeeded", "finished_at": at(1), "message": "done"})


def compared(app: Application, revision: str = "c1", word: str = "Synced", **more: Any) -> ApplicationStatus:
    return app.status.model_copy(
        update={
            "sync": SyncStatus(
                status=word,
                revision=revision,
                compared_to=ComparedTo(source=app.spec.source, destination=app.spec.destination),
            ),
            "reconciled_at": at(),
            **more,
        }
    )


def put_on(
    world: World, operation: Operation | None = None, refresh: Literal["", "normal", "hard"] = ""
) -> Application:
    """As somebody with kubectl would."""
    app = world.read()
    if operation is not None:
        app = world.apps.ask_operation(app, operation)
    if refresh:
        app = world.apps.ask_refresh(app, refresh)
    return app


def test_a_claim_is_seen_by_everybody(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    found = world.read()
    assert found.status.operation_state == running()
    assert world.apps.state(found).claim == claim.id
    assert claim.state == running()
    assert world.apps.holds(claim)


def test_of_two_claims_on_what_both_have_read_exactly_one_wins(world: World) -> None:
    app = world.make()
    world.apps.claim(app, running())
    app = world.read()

    def claim(_: int) -> Claim | None:
        try:
            return world.open().claim(app, running())
        except Conflict:
            return None

    with ThreadPoolExecutor(6) as pool:
        won = [found for found in pool.map(claim, range(6)) if found]
    assert len(won) == 1
    assert world.apps.holds(won[0])


def test_the_first_claim_of_an_app_has_one_winner_too(world: World) -> None:
    app = world.make()
    world.apps.claim(app, running())
    with pytest.raises(Conflict):
        world.apps.claim(app, running())


def test_an_operation_asked_for_moves_into_the_state(world: World) -> None:
    world.make()
    app = put_on(world, BY_HAND)
    assert app.operation == BY_HAND
    assert world.read().operation == BY_HAND
    claim = world.apps.claim(app, running(BY_HAND))
    found = world.read()
    assert claim.app.operation is None
    assert found.operation is None
    assert "operation" not in found.raw
    assert found.status.operation_state == running(BY_HAND)


def test_a_claim_of_another_operation_leaves_the_waiting_one(world: World) -> None:
    world.make()
    world.apps.claim(put_on(world, BY_HAND), running(AUTOMATIC))
    assert world.read().operation == BY_HAND


def test_a_second_wish_is_refused_while_one_waits(world: World) -> None:
    world.make()
    put_on(world, BY_HAND)
    with pytest.raises(Refused, match="waits already"):
        put_on(world, AUTOMATIC)


def test_nothing_of_the_operation_before_is_left_in_a_new_one(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    done = compared(claim.app, operation_state=ended(claim.state))
    world.apps.report(claim.app, done, State(), claim)
    again = world.apps.claim(world.read(), running())
    state = again.app.status.operation_state
    assert state is not None
    assert state.finished_at == ""


def test_a_claim_is_lost_to_the_next_one(world: World) -> None:
    first = world.apps.claim(world.make(), running())
    second = world.apps.claim(world.read(), running())
    assert not world.apps.holds(first)
    assert world.apps.holds(second)


def test_a_claim_is_lost_when_the_app_is_deleted(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    world.remove("shop")
    assert not world.apps.holds(claim)
    with pytest.raises(Superseded, match="is gone"):  # and was not written by somebody else
        late = compared(claim.app, operation_state=ended(claim.state))
        world.open().report(_older(claim.app), late, State(), claim)


def _older(app: Application) -> Application:
    """`app` with a version that the server does not have any more, as a late worker holds it."""
    raw = {**app.raw, "metadata": {**app.raw["metadata"], "resourceVersion": "1"}}
    return Application.parse(raw)


def test_a_claim_is_lost_when_the_app_is_created_anew(home: World) -> None:
    claim = home.apps.claim(home.make(), running())
    home.remove("shop")
    app = home.make(status={"sync": {"status": "Unknown"}})
    assert not home.apps.holds(claim)
    with pytest.raises(Superseded):
        home.apps.report(claim.app, compared(claim.app), State(), claim)
    assert home.read() == app


def test_a_late_report_is_superseded_and_changes_nothing(world: World) -> None:
    late = world.apps.claim(world.make(), running())
    newer = world.apps.claim(world.read(), running())
    world.apps.report(
        newer.app, compared(newer.app, "c2", operation_state=ended(newer.state)), State(), newer
    )
    before = world.version()
    with pytest.raises(Superseded):
        world.apps.report(late.app, compared(late.app, operation_state=ended(late.state)), State(), late)
    assert world.version() == before


def test_a_report_that_still_holds_its_claim_wins_over_other_writers(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    put_on(world, refresh="hard")
    done = compared(claim.app, operation_state=ended(claim.state))
    after = world.apps.report(claim.app, done, State(inputs="tree", commit="c1"), claim)
    found = world.read()
    assert after == found
    assert found.status == done
    assert found.metadata.annotations[REFRESH] == "hard"
    assert world.apps.state(found) == State(claim.id, "tree", "c1")


def test_a_comparison_does_not_undo_what_an_operation_has_written(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    seen = world.read()  # by one that only compares, while the operation runs
    done = compared(claim.app, "c2", operation_state=ended(claim.state))
    world.apps.report(claim.app, done, State(), claim)
    with pytest.raises(Superseded):
        world.apps.report(seen, compared(seen, "c1"), world.apps.state(seen))
    assert world.read().status == done


def test_a_comparison_does_not_outlive_a_claim(world: World) -> None:
    world.apps.claim(world.make(), running())
    seen = world.read()
    claim = world.apps.claim(seen, running())
    with pytest.raises(Superseded):
        world.apps.report(seen, compared(seen), State())
    assert world.apps.holds(claim)


def test_a_comparison_never_touches_the_operation(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    seen = world.read()
    world.apps.report(seen, compared(seen, operation_state=None), State())
    assert world.read().status.operation_state == running()
    assert world.apps.holds(claim)


def test_a_comparison_is_written_over_a_wish_that_came_meanwhile(world: World) -> None:
    app = world.make()
    world.apps.report(app, compared(app), State())
    seen = world.read()
    put_on(world, BY_HAND, refresh="normal")
    world.apps.report(seen, compared(seen, "c2"), State())
    found = world.read()
    assert found.status.sync is not None
    assert found.status.sync.revision == "c2"
    assert found.operation == BY_HAND


def test_nothing_is_written_when_nothing_changed(world: World) -> None:
    app = world.make()
    status = compared(
        app,
        resources=(ResourceStatus(kind="ConfigMap", name="a", status="Synced", version="v1"),),
        conditions=(Condition(type="SyncError", message="no", last_transition_time=at()),),
        health=HealthStatus(status="Healthy", last_transition_time=at()),
    )
    app = world.apps.report(app, status, State(inputs="tree"))
    before, sent = world.version(), world.api.transport.count["PATCH"]
    assert world.apps.report(app, status, State(inputs="tree")) is app
    again = world.read()
    later = status.model_copy(update={"reconciled_at": at(0.9)})
    assert world.apps.report(again, later, world.apps.state(again)) is again
    assert world.api.transport.count["PATCH"] == sent
    assert world.version() == before


def test_once_an_hour_it_is_said_that_it_was_looked_at(world: World) -> None:
    app = world.make()
    app = world.apps.report(app, compared(app), State())
    world.apps.report(app, compared(app, reconciled_at=at(1)), State())
    assert world.read().status.reconciled_at == at(1)


def test_what_is_over_is_removed_and_lists_are_replaced_whole(world: World) -> None:
    app = world.make()
    two = tuple(ResourceStatus(kind="ConfigMap", name=n, status="Synced", version="v1") for n in "ab")
    entry = RevisionHistory(id=0, deployed_at=at(), revision="c1")
    app = world.apps.report(
        app,
        compared(
            app,
            resources=two,
            history=(entry,),
            source_type="Directory",
            conditions=(Condition(type="SyncError", message="no", last_transition_time=at()),),
        ),
        State(inputs="tree"),
    )
    world.apps.report(app, compared(app, resources=two[1:], conditions=(), source_type=""), State())
    found = world.read()
    assert found.status.resources == two[1:]
    assert "conditions" not in found.raw["status"]
    assert "sourceType" not in found.raw["status"]
    assert found.status.history == (entry,)
    assert STATE not in found.metadata.annotations


def test_values_that_a_patch_cannot_say_are_no_endless_change(world: World) -> None:
    app = world.make()
    source = Source.model_validate(
        {
            "repoURL": "https://git.example.com/shop.git",
            "helm": {"valuesObject": {"gone": None, "list": [{"a": None, "b": 1}]}},
        }
    )
    destination = Destination(server="https://kubernetes.default.svc")
    sync = SyncStatus(status="Synced", compared_to=ComparedTo(source=source, destination=destination))
    app = world.apps.report(app, compared(app, sync=sync), State())
    before = world.version()
    app = world.read()
    assert world.apps.report(app, compared(app, sync=sync), world.apps.state(app)) is app
    assert world.version() == before


def test_fields_of_other_versions_in_the_state_are_kept_by_a_claim(world: World) -> None:
    app = world.make()
    app = world.apps.report(app, compared(app), State(inputs="tree", others={"later": [1]}))
    claim = world.apps.claim(app, running())
    assert world.apps.state(claim.app) == State(claim.id, "tree", others={"later": [1]})


def test_an_untouched_app_moves_in_one_patch(world: World) -> None:
    app = world.make()
    app = world.apps.report(app, compared(app), State(inputs="tree", commit="c1"))
    sent = world.api.transport.count["PATCH"]
    world.apps.moved(app, at_commit(app, "c2"))
    assert world.api.transport.count["PATCH"] == sent + 1
    found = world.read()
    assert found.status == compared(app, "c2")
    assert world.apps.state(found) == State(inputs="tree", commit="c2")
    world.apps.moved(found, at_commit(found, "c2"))
    assert world.api.transport.count["PATCH"] == sent + 1


def test_a_late_move_does_not_take_an_app_back(world: World) -> None:
    app = world.make()
    seen = world.apps.report(app, compared(app), State(inputs="tree"))
    world.apps.report(seen, compared(seen, "c3"), State(inputs="other"))
    world.apps.moved(seen, at_commit(seen, "c2"))
    sync = world.read().status.sync
    assert sync is not None
    assert sync.revision == "c3"


def test_an_app_never_compared_is_not_moved(world: World) -> None:
    app = world.make()
    before = world.version()
    world.apps.moved(app, at_commit(app, "c2"))
    assert world.version() == before


def test_a_refresh_is_taken_off_when_it_is_done(world: World) -> None:
    world.make()
    app = put_on(world, refresh="normal")
    after = world.apps.clear_refresh(app)
    assert REFRESH not in after.metadata.annotations
    assert REFRESH not in world.read().metadata.annotations
    before = world.version()
    assert world.apps.clear_refresh(after) is after
    assert world.version() == before


def test_a_refresh_asked_for_meanwhile_stays(world: World) -> None:
    world.make()
    seen = put_on(world, refresh="normal")
    put_on(world, refresh="hard")
    after = world.apps.clear_refresh(seen)
    assert after.metadata.annotations[REFRESH] == "hard"
    assert world.read().metadata.annotations[REFRESH] == "hard"


def test_a_refresh_is_taken_off_after_a_report_too(world: World) -> None:
    world.make()
    seen = put_on(world, refresh="normal")
    world.apps.report(seen, compared(seen), State())
    world.apps.clear_refresh(seen)
    found = world.read()
    assert REFRESH not in found.metadata.annotations
    assert found.status == compared(seen)


def test_garbage_in_the_annotation_costs_no_more_than_work(world: World) -> None:
    app = world.make()
    app = world.apps.report(app, compared(app), State(inputs="tree"))
    kind, named = world.record
    patch = {"metadata": {"annotations": {STATE: '{"claim": ["'}}}
    world.api.patch(kind, world.namespace, named("shop"), patch)
    found = world.read()
    assert world.apps.state(found) == State()
    claim = world.apps.claim(found, running())
    assert world.apps.holds(claim)


def test_a_claim_names_the_app_it_is_of(world: World) -> None:
    claim = world.apps.claim(world.make(), running())
    assert claim.key == AppKey(world.namespace, "shop")
    assert not world.apps.holds(replace(claim, uid="another"))


def test_a_report_may_begin_from_what_was_read_before_the_claim(world: World) -> None:
    app = world.make()
    claim = world.apps.claim(app, running())
    done = compared(app, operation_state=ended(claim.state))
    assert world.apps.report(app, done, State(), claim).status == done
    assert world.read().status == done
