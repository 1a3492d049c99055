"""`mooring app sync`"""

from __future__ import annotations

import getpass
import time

import click

from cli import show
from cli.app.follow import until
from cli.app.words import SHORT, find
from cli.exits import NO, fail
from cli.home import connect, home_options, redis_client, redis_url
from mooring.errors import MooringError
from mooring.model.application import Application
from mooring.model.spec import Initiator, Operation, Retry, SyncOperation
from mooring.names import DEPLOY, TASK_TURN
from mooring.settings import Settings
from mooring.store.due import Step


@click.command()
@home_options
@click.argument("name")
@click.option(
    "--revision", default="", metavar="REV", help="This branch, tag or commit instead of the app's."
)
@click.option("--prune", is_flag=True, help="Delete what has left Git.")
@click.option("--sync-option", "options", multiple=True, metavar="NAME=VALUE", help="For this sync only.")
@click.option("--retry-limit", default=0, metavar="N", help="How often to try again when it fails.")
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait for its end.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up waiting after this long.")
@click.option("--force", is_flag=True, hidden=True)
@click.option("--dry-run", is_flag=True, hidden=True)
def sync(
    settings: Settings,
    name: str,
    revision: str,
    prune: bool,
    options: tuple[str, ...],
    retry_limit: int,
    asynchronous: bool,
    timeout: float,
    force: bool,
    dry_run: bool,
) -> None:
    """Bring the cluster to what Git has, and show what was done to each object.

    Exit code 1 when the sync failed.
    """
    if force:
        raise click.UsageError("--force is not supported: delete the object that cannot be changed, and sync")
    if dry_run:
        raise click.UsageError(
            "--dry-run is not supported: `mooring app diff` shows what a sync would change"
        )
    home = connect(settings)
    app = find(home, name)
    wanted = Operation(
        sync=SyncOperation(revision=revision, prune=prune, sync_options=(*app.spec.sync_options, *options)),
        initiated_by=Initiator(username=_user()),
        retry=Retry(limit=retry_limit),
    )
    before = app.status.operation_state
    home.applications.ask_operation(app, wanted)
    _hurry(settings, app)
    if asynchronous:
        click.echo(f"asked for: `mooring app wait {name} --operation` waits for its end")
        return

    def done(now: Application) -> bool:
        state = now.status.operation_state
        if now.operation is not None or state is None or state.phase in ("Running", "Terminating"):
            return False
        return before is None or (state.started_at, state.finished_at) != (
            before.started_at,
            before.finished_at,
        )

    hint = "is `mooring up` (or worker and beat) running?"
    after = until(home, app.key, done, f"sync of {app.key.name}", timeout, hint)
    state = after.status.operation_state
    assert state is not None
    _outcome(after)
    if state.phase != "Succeeded":
        fail(f"the sync failed: {state.message}", NO)


def _hurry(settings: Settings, app: Application) -> None:
    """Have a worker take it up now. Without Redis it is taken up when beat looks at the objects next."""
    from mooring.store.turns import Turns
    from workers.celery_app import make, send

    try:
        url = redis_url(settings)
        turn = f"app:{app.key}"
        if Turns(redis_client(settings), time.time).want(turn, {"operation": "asked for"}):
            send(make("mooring-cli", url), Step(TASK_TURN, (turn,), DEPLOY))
    except MooringError as error:
        click.echo(f"not hurried ({error}); beat looks every 2 s", err=True)


def _outcome(app: Application) -> None:
    state = app.status.operation_state
    result = state.sync_result if state else None
    if state is None or result is None:
        return
    rows = [(r.group, r.kind, r.namespace, r.name, r.status, r.message) for r in result.resources]
    if rows:
        show.columns(("GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"), rows)
        click.echo()
    click.echo(f"{show.coloured(state.phase)} at {result.revision[:SHORT]}: {state.message}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers have
        return "mooring"
