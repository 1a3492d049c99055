"""`mooring app rollback`"""

from __future__ import annotations

import time
from collections.abc import Sequence

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
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.spec import Retry, Source, SyncOperation
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

    It lasts until the next sync, so it is refused where syncs are automated.
    """
    home = connect(settings)
    app = find(home, name)
    entry = entry_for(app, id)
    click.echo(f"rolling {app.key.name} back to {revision(entry)} of {entry.deployed_at}", err=True)
    there = Pinned(app.spec.all_sources, revisions_of(entry), bool(app.spec.sources))
    wanted = SyncOperation(**there.revision_fields, prune=prune, sync_options=app.spec.sync_options)
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
    if app.spec.automated is not None:
        raise Refused(
            f"{title} syncs by itself, which would undo the rollback: "
            f"`mooring app set {title} --sync-policy none` first, or revert the commit in Git"
        )
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
    then = Pinned.deployed(entry)
    if then is None or _places(then.sources) != _places(app.spec.all_sources):
        raise Refused(
            f"entry {entry.id} of {title} came from another source than the Application has now: "
            f"`mooring app set {title} --repo … --path …` first"
        )
    return entry


def _places(sources: Sequence[Source]) -> list[Source]:
    """The sources without their revisions, which are what goes back."""
    return [source.model_copy(update={"target_revision": ""}) for source in sources]
