"""What is to be done about one run of a hook, as its object is and as far as it is written down. Pure.

Only what is certainly this app's own hook is ever deleted, and whatever has succeeded never runs again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mooring.model.hooks import DeletePolicy, hook_of
from mooring.model.status import ResourceResult
from mooring.names import ID, OPERATION
from workers.applyset.inventory import Entry
from workers.cluster.live import Live
from workers.desired import Stamp
from workers.health import BUILT_IN, HOOK_FINALIZER, HealthStatus, Judge
from workers.hooks.results import FAILED, RUNNING, SUCCEEDED
from workers.hooks.wanted import HookRun
from workers.ownership import Whose, owner, tracked_by_argo, why_not_ours
from workers.records import why_not_written


class Deed(StrEnum):
    CREATE = "create"
    OVERWRITE = "overwrite"  # an earlier one is there, and no policy deletes it
    CLEAR = "clear"  # an earlier one is to be deleted first
    AWAIT = "await"  # it is being deleted
    WATCH = "watch"  # it runs
    END = "end"  # it has succeeded or failed
    REFUSE = "refuse"  # somebody else's object has its name


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be done, and what to say. `phase`: of one that has ended, how."""

    deed: Deed
    message: str = ""
    phase: str = ""


def why_not_our_hook(live: Live, by: Stamp) -> str:
    """Why `live` is no object that a hook of this app has left; "" when it is one."""
    said = owner(live, by.app, by.installation)
    if live.annotations.get(ID) is None:
        return "it carries no mooring.dev/id"
    if said.whose is Whose.COPY:
        return "its mooring.dev/id names another object"
    if said.whose is not Whose.OURS:
        return f"it belongs to {said.app or 'another Mooring'}"
    if not (live.owns_label(OPERATION) or live.owns_label(OPERATION, "Update")):
        return f"field manager mooring has put no label {OPERATION} on it"
    if live.controller_owner:
        return "a controller owns it"
    return ""


def why_not_cleared(live: Live, by: Stamp, entry: Entry | None) -> str:
    """Why `live` must not be deleted to make room for a hook of this app; "" when it may be.

    Besides what a hook of ours has left, it may be what this app had in Git as an object that stays, or what
    Argo CD ran as a hook of this app.
    """
    reason = why_not_our_hook(live, by)
    if not reason or not why_not_ours(live, by.app, by.installation, by.applyset, entry):
        return ""
    if hook_of(live.annotations) is not None and tracked_by_argo(live, by.app.name):
        return ""
    return reason


def judge(
    run: HookRun,
    live: Live | None,
    known: ResourceResult | None,
    by: Stamp,
    entry: Entry | None = None,
    of_health: Judge = BUILT_IN,
) -> Judged:
    """What is to be done about `run`, whose object is `live`. `known` is what is written down about it in
    this operation, `entry` what the inventory says of an object of that name; its health is judged by
    `of_health`."""
    if known is not None and known.hook_phase in (SUCCEEDED, FAILED):
        return Judged(Deed.END, known.message, known.hook_phase)
    ours = live is not None and live.labels.get(OPERATION) == run.operation and not why_not_our_hook(live, by)
    if known is None or (not ours and not known.status):
        return _before(run, live, by, entry)
    if live is None or not ours:
        message = f"{run.key.title} is missing, it might have been deleted"
        return Judged(Deed.END, message, FAILED)
    phase, message = outcome(live, of_health)
    return Judged(Deed.WATCH if phase == RUNNING else Deed.END, message, phase)


def outcome(live: Live, judge: Judge = BUILT_IN) -> tuple[str, str]:
    """How the run of a hook whose object is `live` is or has ended, and what that says.

    By its health, as `judge` has it: what has none has succeeded once it is there.
    """
    health = judge.assess(live.body) if live.body is not None else None
    if health is None:
        return SUCCEEDED, f"{live.key.name} created"
    if health.status is HealthStatus.HEALTHY:
        return SUCCEEDED, health.message
    if health.status in (HealthStatus.PROGRESSING, HealthStatus.SUSPENDED, HealthStatus.MISSING):
        if live.deletion_timestamp and HOOK_FINALIZER in live.finalizers:
            return FAILED, "was deleted before it had ended"
        return RUNNING, health.message
    return FAILED, health.message or "has failed"


def _before(run: HookRun, live: Live | None, by: Stamp, entry: Entry | None) -> Judged:
    """Nothing has been written for the run."""
    if reason := why_not_written(run.key, live, by.installation):
        return Judged(Deed.REFUSE, f"{run.where}: {run.key.title} {reason}")
    if live is None:
        return Judged(Deed.CREATE)
    if reason := why_not_cleared(live, by, entry):
        return Judged(
            Deed.REFUSE,
            f"{run.where}: {run.key.title} exists and is no hook of this app: {reason}; rename the hook, or "
            "delete that object",
        )
    if live.deletion_timestamp:
        return Judged(Deed.AWAIT)
    if DeletePolicy.BEFORE_CREATION in run.delete:
        return Judged(Deed.CLEAR)
    return Judged(Deed.OVERWRITE)
