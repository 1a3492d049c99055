"""Whether to sync, and by whose wish. Pure: the rules of automation in one place.

https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/#automated-sync-semantics
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.spec import Initiator, Operation, Retry, SyncOperation
from workers.ownership import moment
from workers.plan import Permission
from workers.windows import Held, Window, verdict


class Mode(StrEnum):
    COMPARE = "compare"  # say how things are, write nothing
    HEAL = "heal"  # compare, then put back exactly what has drifted
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Decision:
    """`operation` is what is to be claimed for SYNC and HEAL. `resumes`: it was claimed before. `held`: its
    time has not come, and nothing is written."""

    mode: Mode
    operation: Operation
    permission: Permission
    resumes: bool = False
    by_hand: bool = False
    held: Held | None = None


def asked(app: Application) -> Operation | None:
    """The operation that somebody asked for: on the object, or moved into its state and not ended yet."""
    if app.operation is not None:
        return app.operation
    state = app.status.operation_state
    if state is not None and state.phase == "Running" and not state.operation.initiated_by.automated:
        return state.operation
    return None


def decide(
    app: Application,
    pinned: Pinned,
    *,
    new: bool,
    failed: bool,
    bad: bool,
    may_sync: bool,
    approved: bool,
    windows: Sequence[Window],
    now: datetime,
) -> Decision:
    """What to do about `app` at the revisions of `pinned`.

    `new`: this content was never synced to this destination, so what differs is no drift. `failed`: it was
    tried, and failed for good. `bad`: somebody rolled back from it. `may_sync` is False when something
    unsupported forbids writing, `approved` True when somebody has just confirmed deletions that wait.
    `windows` are those that apply to the app; what somebody asks for was judged by them when it was taken up.
    """
    wish = _wish(app, pinned, new=new, failed=failed, bad=bad, may_sync=may_sync, approved=approved)
    if wish.mode is Mode.COMPARE or (wish.by_hand and not wish.resumes):
        return wish
    state = app.status.operation_state
    begun = moment(state.started_at) if wish.resumes and state else None
    found = verdict(windows, now, by_hand=wish.by_hand, begun=begun)
    return replace(wish, held=found) if isinstance(found, Held) else wish


def healing(operation: Operation) -> Operation:
    """`operation` as one that puts back what has drifted, and runs no hooks."""
    sync = (operation.sync or SyncOperation()).model_copy(update={"self_heal_attempts_count": 1})
    return operation.model_copy(update={"sync": sync})


def _wish(
    app: Application,
    pinned: Pinned,
    *,
    new: bool,
    failed: bool,
    bad: bool,
    may_sync: bool,
    approved: bool,
) -> Decision:
    """What to do if every time were the right one."""
    state = app.status.operation_state
    wanted = asked(app)
    rules = app.spec.automated
    if wanted is not None:
        prune = bool(wanted.sync and wanted.sync.prune)
        permission = Permission(prune, by_hand=prune, approved=approved)
        resumes = app.operation is None
        return Decision(Mode.SYNC if may_sync else Mode.COMPARE, wanted, permission, resumes, by_hand=True)
    permission = Permission(
        prune=bool(rules and rules.prune),
        by_hand=False,
        approved=approved,
        allow_empty=bool(rules and rules.allow_empty),
    )
    retry = app.spec.sync_policy.retry if app.spec.sync_policy else None
    automatic = Operation(
        sync=SyncOperation(
            **pinned.revision_fields, prune=permission.prune, sync_options=app.spec.sync_options
        ),
        initiated_by=Initiator(automated=True),
        retry=retry or Retry(),
    )
    if rules is None or not may_sync or bad:
        return Decision(Mode.COMPARE, automatic, permission)
    running = state is not None and state.phase == "Running"
    same = not new or revisions_of(state.sync_result if state else None) == pinned.revisions
    if running and same:  # a commit that changes nothing for the app is no other sync
        begun = state.operation.sync if state is not None else None
        healed = begun is not None and begun.self_heal_attempts_count > 0
        if healed:
            automatic = healing(automatic)  # still without hooks
        # And still but what has drifted, where that is not to be left alone for now.
        mode = Mode.HEAL if healed and rules.self_heal and not new else Mode.SYNC
        return Decision(mode, automatic, permission, resumes=True)
    if new or approved:
        return Decision(Mode.SYNC, automatic, permission)
    # What has failed for good is not tried again by itself, not even to heal.
    heals = rules.self_heal and not failed
    return Decision(Mode.HEAL if heals else Mode.COMPARE, automatic, permission)
