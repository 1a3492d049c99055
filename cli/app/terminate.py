"""`mooring app terminate-op`"""

from __future__ import annotations

import click

from cli.app.operate import RUNNING, user
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.errors import Conflict, Refused
from mooring.model.application import Application
from mooring.model.status import OperationState
from mooring.settings import Settings

_TRIES = 5


@click.command("terminate-op", cls=Verb)
@home_options
@app_argument
def terminate_op(settings: Settings, name: str) -> None:
    """End the operation of an Application, be it at work, in retry, or waiting to be taken up.

    What it has applied stays; the worker that is at it writes nothing more.
    """
    home = connect(settings)
    for _ in range(_TRIES):
        app = find(home, name)
        state = _running(app)
        try:
            home.applications.claim(app, _ended(state))
        except Conflict:  # a worker has just gone on with it
            continue
        click.echo(f"operation of {app.key.namespace}/{app.key.name} terminated")
        return
    raise Conflict(f"the operation of {name} goes on while it is read: try again")


def _running(app: Application) -> OperationState:
    """The operation that waits or runs. Raises Refused when there is none."""
    from workers.report import running
    from workers.tell import now

    state = app.status.operation_state
    if app.operation is not None:
        return running(app.operation, app.operation.sync.revision if app.operation.sync else "", now())
    if state is None or state.phase not in RUNNING:
        raise Refused(f"no operation of {app.key.namespace}/{app.key.name} waits or runs")
    return state


def _ended(state: OperationState) -> OperationState:
    """As Argo CD leaves one that was terminated. Whoever claims it takes it away from the worker at it."""
    from workers.report import ended
    from workers.tell import now

    return ended(state, "Failed", f"operation terminated by {user()}", now())
