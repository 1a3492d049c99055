"""`mooring app rollback`"""

from __future__ import annotations

import time

import click

from cli import show
from cli.app.get import print_apps
from cli.app.operate import ask, outcome, print_outcome
from cli.app.words import find, revision
from cli.exits import NO, fail
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.errors import Refused
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import ApplyStrategy, Retry, SyncOperation, SyncStrategy
from mooring.model.status import RevisionHistory
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@app_argument
@click.argument("id", type=int, required=False)
@click.option("--prune", is_flag=True, help="Delete what was not there then.")
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait for its end.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up waiting after this long.")
@show.output_option
def rollback(
    settings: Settings,
    name: str,
    id: int | None,
    prune: bool,
    asynchronous: bool,
    timeout: float,
    output: str | None,
) -> None:
    """Sync to what was deployed before: the entry ID of `app history`, by default the last but one.

    Where syncs are automated it lasts until Git has something else for the Application, or somebody syncs it.
    """
    home = connect(settings)
    app = find(home, name)
    entry = entry_for(app, id)
    click.echo(f"rolling {app.key.name} back to {revision(entry)} of {entry.deployed_at}", err=True)
    # As Argo CD has it: by the sources of then, and without hooks.
    wanted = SyncOperation(
        revision=entry.revision,
        revisions=entry.revisions,
        source=entry.source,
        sources=entry.sources,
        prune=prune,
        sync_options=app.spec.sync_options,
        sync_strategy=SyncStrategy(apply=ApplyStrategy()),
    )
    asked = ask(home, app, wanted, Retry())
    if asynchronous:
        click.echo(f"asked for: `mooring app wait {name} --operation` waits for its end")
        return
    after, state = outcome(home, asked, timeout, time.monotonic())
    if output is None:
        print_outcome(after, state)
    else:
        print_apps(home, [after], output, several=False)
    if state.phase != "Succeeded":
        fail(f"the rollback failed: {state.message}", NO)


def entry_for(app: Application, id: int | None) -> RevisionHistory:
    """The entry of history to go back to. Raises Refused saying why there is no way back. Pure."""
    title = app.key.name
    history = app.status.history
    if id is None:
        if len(history) < 2:
            raise Refused(f"{title} was deployed {len(history)} times: there is nothing to go back to")
        entry = history[-2]
    else:
        found = [one for one in history if one.id == id]
        if not found:
            raise Refused(f"{title} has no entry {id}: `mooring app history {title}` shows all")
        entry = found[0]
    if Pinned.deployed(entry) is None:
        raise Refused(
            f"entry {entry.id} of {title} does not say from which source it came: "
            f"`mooring app sync {title} --revision REV` deploys a commit by its name"
        )
    return entry
