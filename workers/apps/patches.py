"""What is written about an app, as merge patches on the Application. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.status import ApplicationStatus, OperationState
from mooring.names import ARGO, OURS, REFRESH, STATE
from workers.apps.conditions import INVALID_SPEC
from workers.apps.state import State
from workers.mergepatch import difference, without_nulls

REFRESHES: Final = (REFRESH, REFRESH.replace(ARGO, OURS))
# Seldom enough that a thousand idle apps cost a write in four seconds, often enough for an alert on
# "has not been looked at for hours".
RECONCILED_EVERY: Final = timedelta(hours=1)

Patch = dict[str, Any]


def state_of(app: Application) -> State:
    return State.from_json(app.metadata.annotations.get(STATE))


def status_patch(app: Application, status: ApplicationStatus) -> Patch:
    """The patch of the whole Application that makes its status `status`; empty when there is no change.

    A cluster whose CRD is older than the model prunes what it does not know; that is then sent each
    time, and the API server finds that it changes nothing.
    """
    before: Patch = without_nulls(app.raw.get("status") or {})
    patch = difference(before, without_nulls(status.to_dict()))
    if (
        patch.keys() == {"reconciledAt"}
        and not _due(before.get("reconciledAt"), patch["reconciledAt"])
        and not refresh_asked(app)  # whoever asked for a look wants to see when it was
    ):
        return {}
    return {"status": patch} if patch else {}


def overdue(app: Application, now: str) -> bool:
    """Whether it is to be said once more that `app` was looked at."""
    return _due(app.status.reconciled_at, now)


def _due(before: Any, now: Any) -> bool:
    try:
        return datetime.fromisoformat(now) - datetime.fromisoformat(before) >= RECONCILED_EVERY
    except (TypeError, ValueError):
        return True


def state_patch(app: Application, state: State) -> Patch:
    """The patch that makes the annotation hold `state`; empty when it does."""
    value = state.to_json()
    if value == app.metadata.annotations.get(STATE, ""):
        return {}
    return {"metadata": {"annotations": {STATE: value or None}}}


def claim_patch(app: Application, state: OperationState, claim: State) -> Patch:
    """Operation begun, claim written, and the wish taken off the object when this is what was wished for."""
    patch = status_patch(app, app.status.model_copy(update={"operation_state": state}))
    patch |= state_patch(app, claim)
    if app.operation is not None and app.operation == state.operation:
        patch["operation"] = None
    return patch


def moved_patch(app: Application, to: Pinned) -> Patch:
    """The app is at other revisions, that change nothing for it."""
    if app.status.sync is None or revisions_of(app.status.sync) == to.revisions:
        return {}
    field = {"revisions": list(to.revisions)} if to.several else {"revision": to.revisions[0]}
    return {"status": {"sync": field}}


def refresh_asked(app: Application) -> Literal["", "normal", "hard"]:
    """What the object's annotation asks for, in either spelling; whatever is not `hard` is `normal`."""
    asked = [text for name in REFRESHES if (text := app.metadata.annotations.get(name))]
    return "hard" if "hard" in asked else "normal" if asked else ""


def refresh_patch(app: Application) -> Patch:
    """Takes off every wish for a refresh."""
    asked = {name: None for name in REFRESHES if name in app.metadata.annotations}
    return {"metadata": {"annotations": asked}} if asked else {}


def had(status: object) -> frozenset[ObjectKey]:
    """What an Application had in Git when it was last looked at, told by its raw status, whatever is wrong
    with the rest of it."""
    resources = status.get("resources") if isinstance(status, Mapping) else None
    return frozenset(
        ObjectKey(*(str(one.get(name) or "") for name in ("group", "kind", "namespace", "name")))
        for one in (resources if isinstance(resources, list) else ())
        if isinstance(one, Mapping) and not one.get("requiresPruning")
    )


def broken_patch(raw: Mapping[str, Any], message: str, now: str) -> Patch:
    """Says on an Application that cannot be read why that is; empty when it says so already."""
    status = raw.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    known = [one for one in conditions if isinstance(one, Mapping)] if isinstance(conditions, list) else []
    wanted = {"type": INVALID_SPEC, "message": message}
    if any(wanted.items() <= one.items() for one in known):
        return {}
    others = [one for one in known if one.get("type") != INVALID_SPEC]
    return {"status": {"conditions": [*others, {**wanted, "lastTransitionTime": now}]}}
