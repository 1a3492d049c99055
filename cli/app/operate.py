"""Operations as the verbs ask for them: marked, so that their end is known from that of any other."""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click

from cli import show
from cli.app.follow import until
from cli.app.words import revision
from cli.home import Home, redis_client, redis_url
from mooring.errors import MooringError, Superseded
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.spec import Info, Initiator, Operation, Retry, SyncOperation
from mooring.model.status import OperationState, ResourceResult
from mooring.names import DEPLOY, OURS, TASK_TURN
from mooring.settings import Settings
from mooring.store.due import Step

# In the operation's `info`, which goes with it from the wish into the state: nothing else does that tells
# two syncs to one commit within a second from each other.
REQUEST: Final = f"{OURS}/request"
RUNNING: Final = ("Running", "Terminating")


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that was asked for of the Application `key`."""

    key: AppKey
    request: str


def ask(home: Home, app: Application, sync: SyncOperation, retry: Retry, info: Sequence[Info] = ()) -> Asked:
    """Asks for a sync, and tells the workers. Raises Refused when another operation waits already."""
    request = uuid.uuid4().hex
    wanted = Operation(
        sync=sync,
        initiated_by=Initiator(username=user()),
        info=(*info, Info(name=REQUEST, value=request)),
        retry=retry,
    )
    home.applications.ask_operation(app, wanted)
    hurry(home.settings, app.key, {"operation": "asked for"})
    return Asked(app.key, request)


def outcome(home: Home, asked: Asked, timeout_s: float, since: float) -> tuple[Application, OperationState]:
    """Waits for the end of just this operation. Raises TimedOut, Missing; Superseded when that was missed."""

    def over(now: Application) -> bool:
        if now.operation is not None and _is(now.operation, asked):
            return False
        state = now.status.operation_state
        return state is None or not _is(state.operation, asked) or state.phase not in RUNNING

    hint = "is `mooring up` (or worker and beat) running?"
    what = f"sync of {asked.key.name}"
    app = until(home, asked.key, over, what, timeout_s, hint, since=since)
    state = app.status.operation_state
    if state is None or not _is(state.operation, asked):
        raise Superseded(
            f"the {what} was withdrawn, or another followed before its end was seen: "
            f"`mooring app history {asked.key.name}` says what was deployed"
        )
    return app, state


def print_outcome(app: Application, state: OperationState, named: bool = False) -> None:
    """Print what was done to each object, and how it ended; with the Application's name where `named`."""
    result = state.sync_result
    rows = [
        (r.group, r.kind, r.namespace, r.name, _status(r), r.message)
        for r in (result.resources if result else ())
    ]
    if rows:
        show.columns(("GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"), rows)
        click.echo()
    if result is not None:
        title = f"{app.key.name}: " if named else ""
        commit = revision(result)
        at = f" at {commit}" if commit else ""
        # What went wrong is said once, as the error that it is.
        said = f": {show.one_line(state.message)}" if state.phase == "Succeeded" else ""
        if at or said:
            click.echo(f"{title}{show.coloured(state.phase)}{at}{said}")


def _status(result: ResourceResult) -> str:
    return f"{result.hook_type} {result.hook_phase}" if result.hook_type else result.status


def _is(operation: Operation, asked: Asked) -> bool:
    return any(info.name == REQUEST and info.value == asked.request for info in operation.info)


def hurry(settings: Settings, key: AppKey, wishes: Mapping[str, str]) -> None:
    """Have a worker take it up now. Without Redis it is taken up when beat looks at the objects next."""
    from mooring.store.clock import Clock
    from mooring.store.turns import Turns
    from workers.celery_app import make, send

    try:
        url = redis_url(settings)
        turn = f"app:{key}"
        client = redis_client(settings)
        if Turns(client, Clock(client)).want(turn, wishes):
            send(make("mooring-cli", url), Step(TASK_TURN, (turn,), DEPLOY))
    except MooringError as error:
        click.echo(f"not hurried ({error}); beat looks every 2 s", err=True)


def user() -> str:
    """Who asks, as `initiatedBy` shows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers have
        return "mooring"
