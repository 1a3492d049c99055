"""`mooring app sync`"""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from cli import show
from cli.app.get import print_apps
from cli.app.operate import Asked, ask, outcome, print_outcome
from cli.app.revisions import chosen, revision_options
from cli.app.selected import pattern, selected
from cli.app.words import choose
from cli.exits import NO, complain, exit_code, fail
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import apps_argument
from cli.selector import Selector, selector_option
from mooring.errors import MooringError, Refused
from mooring.model.application import Application
from mooring.model.spec import ApplyStrategy, Backoff, Info, Retry, SyncOperation, SyncStrategy
from mooring.model.status import OperationState
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@apps_argument
@selector_option
@click.option("--project", "projects", multiple=True, metavar="NAME", help="Those of this project.")
@revision_options("This branch, tag or commit instead of the app's.")
@click.option("--prune", is_flag=True, help="Delete what has left Git.")
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="GROUP:KIND:NAME",
    help="Only these objects, without hooks; also NAMESPACE/NAME, `*`, and `!…` for all but these.",
)
@click.option(
    "--strategy",
    type=click.Choice(("apply", "hook")),
    help="`apply` runs no hooks; default hook.",
)
@click.option("--sync-option", "options", multiple=True, metavar="NAME=VALUE", help="For this sync only.")
@click.option("--server-side", is_flag=True, help="Short for --sync-option ServerSideApply=true.")
@click.option(
    "--apply-out-of-sync-only", is_flag=True, help="Short for --sync-option ApplyOutOfSyncOnly=true."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done to each object, and write none.")
@click.option("--replace", is_flag=True, help="Short for --sync-option Replace=true.")
@click.option("--force", is_flag=True, help="Delete what cannot be changed, and create it anew.")
@click.option("--info", "infos", multiple=True, metavar="NAME=VALUE", help="A note that is kept with it.")
@click.option("--retry-limit", default=0, metavar="N", help="How often to try again when it fails.")
@click.option("--retry-backoff-duration", default="5s", show_default=True, help="Before the first retry.")
@click.option("--retry-backoff-factor", default=2, show_default=True, help="Times longer before each next.")
@click.option("--retry-backoff-max-duration", default="3m0s", show_default=True, help="But never longer.")
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait for its end.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up waiting after this long.")
@show.output_option
def sync(
    settings: Settings,
    names: tuple[str, ...],
    selector: Selector | None,
    projects: tuple[str, ...],
    revision: str,
    revisions: tuple[str, ...],
    source_positions: tuple[int, ...],
    prune: bool,
    resources: tuple[str, ...],
    strategy: str | None,
    options: tuple[str, ...],
    server_side: bool,
    apply_out_of_sync_only: bool,
    dry_run: bool,
    replace: bool,
    force: bool,
    infos: tuple[str, ...],
    retry_limit: int,
    retry_backoff_duration: str,
    retry_backoff_factor: int,
    retry_backoff_max_duration: str,
    asynchronous: bool,
    timeout: float,
    output: str | None,
) -> None:
    """Bring the cluster to what Git has, and show what was done to each object.

    Several Applications are synced side by side. Exit code 1 when a sync failed.
    """
    options += ("ServerSideApply=true",) if server_side else ()
    options += ("ApplyOutOfSyncOnly=true",) if apply_out_of_sync_only else ()
    options += ("Replace=true",) if replace else ()
    patterns = [pattern(text) for text in resources]
    how = {strategy or "hook": ApplyStrategy(force=force)} if strategy or force else {}
    backoff = Backoff(
        duration=retry_backoff_duration,
        factor=retry_backoff_factor,
        max_duration=retry_backoff_max_duration,
    )
    retry = Retry(limit=retry_limit, backoff=backoff) if retry_limit else Retry()
    notes = [_info(text) for text in infos]
    home = connect(settings)
    apps = choose(home, names, selector, projects)
    asked: list[Asked] = []
    failed: list[str] = []
    failures: list[MooringError] = []
    for app in apps:
        try:
            named = chosen(app, revision, revisions, source_positions)
            wanted = SyncOperation(
                revision=revision,
                revisions=named if revisions else (),
                prune=prune,
                dry_run=dry_run,
                resources=selected(app, patterns),
                sync_strategy=SyncStrategy(**how) if how else None,
                sync_options=(*app.spec.sync_options, *options),
            )
            asked.append(ask(home, app, wanted, retry, notes))
        except Refused as error:
            failures.append(error)
    if asynchronous:
        for one in asked:
            click.echo(f"asked for: `mooring app wait {one.key.name} --operation` waits for its end")
    else:
        since = time.monotonic()
        ended = []
        for one in asked:
            try:
                ended.append(outcome(home, one, timeout, since))
            except MooringError as error:
                failures.append(error)
        _show(home, ended, output, several=len(apps) > 1)
        failed = [f"{app.key.name}: {state.message}" for app, state in ended if state.phase != "Succeeded"]
    messages = [str(error) for error in failures]
    if failed:
        messages.append(f"the sync failed: {'; '.join(failed)}")
    for message in messages[:-1]:
        complain(message)
    if messages:
        fail(messages[-1], NO if failed else exit_code(failures[-1]))


def _info(text: str) -> Info:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--info")
    return Info(name=name, value=value)


def _show(
    home: Home, ended: Sequence[tuple[Application, OperationState]], output: str | None, several: bool
) -> None:
    if output is not None:
        print_apps(home, [app for app, _ in ended], output, several)
        return
    for number, (app, state) in enumerate(ended):
        if number:
            click.echo()
        print_outcome(app, state, several)
