"""How runs of hooks stand in `status.operationState.syncResult.resources`, as Argo CD writes them. Pure.

A run is written down before its object is created: then with no `status`. Whoever takes the operation up
knows by that what may be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mooring.keys import ObjectKey
from mooring.model.hooks import DeletePolicy
from mooring.model.status import OperationState, ResourceResult
from mooring.text import printable
from workers.hooks.wanted import HookRun

RUNNING: Final = "Running"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
UNWRITTEN: Final = "SyncFailed"  # the `status` of one whose object could not be written

# What deletes a hook that has ended so.
POLICIES: Final = {SUCCEEDED: DeletePolicy.SUCCEEDED, FAILED: DeletePolicy.FAILED}

RunId = tuple[str, ObjectKey]  # the phase, and the hook's object
Results = Mapping[RunId, ResourceResult]


def run_id(run: HookRun) -> RunId:
    return run.phase.value, run.key


def hook_results(state: OperationState | None) -> dict[RunId, ResourceResult]:
    """What is known of the operation's hooks, in the order in which they began."""
    known = state.sync_result.resources if state is not None and state.sync_result is not None else ()
    return {(one.hook_type, one.key): one for one in known if one.hook_type}


def without_failed(resources: Sequence[ResourceResult]) -> tuple[ResourceResult, ...]:
    """`resources` as an operation that is tried again begins with: hooks that failed run once more."""
    return tuple(one for one in resources if not one.hook_type or one.hook_phase == SUCCEEDED)


def intended(run: HookRun) -> ResourceResult:
    """The run is about to begin."""
    return _result(run, "", RUNNING, "is about to be created")


def began(run: HookRun, message: str) -> ResourceResult:
    """Its object has been written."""
    return _result(run, "Synced", RUNNING, message)


def ended(run: HookRun, phase: str, message: str) -> ResourceResult:
    """It has ended, by SUCCEEDED or FAILED."""
    return _result(run, "Synced", phase, message)


def refused(run: HookRun, message: str) -> ResourceResult:
    """Its object could not be written."""
    return _result(run, UNWRITTEN, FAILED, message)


def _result(run: HookRun, status: str, phase: str, message: str) -> ResourceResult:
    return ResourceResult(
        group=run.key.group,
        version=run.kind.version,
        kind=run.key.kind,
        namespace=run.key.namespace,
        name=run.key.name,
        status=status,
        message=printable(message),
        hook_type=run.phase.value,
        hook_phase=phase,
        sync_phase=run.phase.value,
    )
