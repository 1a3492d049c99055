"""What people and programs write onto Applications to be done, read as wishes for their turns."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import orjson

from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.finalizers import obeyed
from mooring.model.status import TERMINATING
from workers.apps.patches import refresh_asked
from workers.apps.store import Applications

APP: Final = "app:"  # turns on applications
# Wished by the observer: something that the app waits for has come; where it is but its health, what was seen
# of that (workers/sighted.py).
OBSERVED: Final = "observed"
CHANGED: Final = "changed"  # wished by the observer: an object of the app is not as it was left
EDITION: Final = "edition"  # the app or its project was edited


def turn_of(key: AppKey) -> str:
    """The name of the turn on this application."""
    return f"{APP}{key}"


def standing(applications: Applications, app: Application) -> dict[str, str]:
    """What is written on the object and waits to be done; the same until somebody writes something else."""
    wishes: dict[str, str] = {}
    if app.metadata.deletion_timestamp and not obeyed(app.metadata.finalizers):
        return wishes  # it waits for somebody else's finalizer
    if app.operation is not None:
        wishes["operation"] = sha256(orjson.dumps(app.operation.to_dict())).hexdigest()[:16]
    state = app.status.operation_state
    if state is not None and state.phase == TERMINATING:
        wishes["terminate"] = state.started_at
    if refresh := refresh_asked(app):
        wishes["refresh"] = refresh
    edition = applications.edition(app)
    if applications.state(app).spec != edition:
        wishes[EDITION] = edition
    return wishes


def catch_up(applications: Applications, app: Application, wishes: Mapping[str, str]) -> None:
    """Have projects and argocd-cm read again where `wishes` name an edition of `app` that is not the one
    known here: who wished may have seen an edit within the second or the ten for which these are kept."""
    seen = wishes.get(EDITION)
    if seen is not None and seen != applications.edition(app):
        applications.forget_rules()
