"""`mooring app terminate-op`"""

from __future__ import annotations

import click

from cli.app.follow import until
from cli.app.operate import RUNNING, hurry
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.model.application import Application
from mooring.model.status import TERMINATING
from mooring.settings import Settings


@click.command("terminate-op", cls=Verb)
@home_options
@app_argument
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait for its end.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="Give up after this long."
)
def terminate_op(settings: Settings, name: str, asynchronous: bool, timeout: float) -> None:
    """End the operation of an Application, be it at work, in retry, or waiting to be taken up.

    What is being applied at that moment is applied to its end; nothing is begun anew.
    """
    home = connect(settings)
    app = home.applications.ask_end(find(home, name))
    title = f"{app.key.namespace}/{app.key.name}"
    state = app.status.operation_state
    if state is None or state.phase != TERMINATING:
        click.echo(f"operation of {title} withdrawn before it began")
        return
    hurry(settings, app.key, {"terminate": state.started_at})
    if asynchronous:
        click.echo(f"asked for: `mooring app wait {app.key.name} --operation` waits for its end")
        return

    def ended(now: Application) -> bool:
        state = now.status.operation_state
        return state is None or state.phase not in RUNNING

    hint = "is `mooring up` (or worker and beat) running?"
    after = until(home, app.key, ended, f"end of the operation of {app.key.name}", timeout, hint)
    last = after.status.operation_state
    click.echo(f"operation of {title} ended: {last.message if last else 'it is gone'}")
