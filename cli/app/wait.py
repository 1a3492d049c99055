"""`mooring app wait`"""

from __future__ import annotations

import time

import click

from cli import show
from cli.app.follow import until, words
from cli.app.get import print_apps
from cli.app.operate import RUNNING
from cli.app.words import choose, health_word, sync_word
from cli.exits import NO, fail
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import apps_argument
from cli.selector import Selector, selector_option
from mooring.model.application import Application
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@apps_argument
@selector_option
@click.option("--sync", is_flag=True, help="Until it is Synced.")
@click.option("--health", is_flag=True, help="Until it is Healthy.")
@click.option("--suspended", is_flag=True, help="Suspended is as good as Healthy.")
@click.option("--degraded", is_flag=True, help="Degraded is as good as Healthy.")
@click.option("--operation", is_flag=True, help="Until no operation waits or runs.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up after this long.  [default: never]")
@show.output_option
def wait(
    settings: Settings,
    names: tuple[str, ...],
    selector: Selector | None,
    sync: bool,
    health: bool,
    suspended: bool,
    degraded: bool,
    operation: bool,
    timeout: float,
    output: str | None,
) -> None:
    """Wait until Applications are Synced and Healthy and no operation runs, or for what is asked for.

    Exit code 1 when the operation that was waited for has failed.
    """
    home = connect(settings)
    everything = not (sync or health or suspended or degraded or operation)
    good = {"Healthy", *(("Suspended",) if suspended else ()), *(("Degraded",) if degraded else ())}

    def done(app: Application) -> bool:
        return (
            (not (sync or everything) or sync_word(app) == "Synced")
            and (not (health or suspended or degraded or everything) or health_word(app) in good)
            and (not (operation or everything) or idle(app))
        )

    since = time.monotonic()
    found = []
    for chosen in choose(home, names, selector):
        key = chosen.key
        hint = f"`mooring app get {key.name} -N {key.namespace}` says why"
        app = until(home, key, done, f"waiting for {key.name}", timeout, hint, since=since)
        found.append(app)
        if output is None:
            click.echo(f"{key.namespace}/{key.name}: {words(app)}")
    if output is not None:
        print_apps(home, found, output, several=len(found) > 1)
    failed = [app.key.name for app in found if (operation or everything) and _failed(app)]
    if failed:
        fail(f"the last operation of {', '.join(failed)} failed: `mooring app get` says why", NO)


def idle(app: Application) -> bool:
    """Whether no operation is asked for or running."""
    state = app.status.operation_state
    return app.operation is None and (state is None or state.phase not in RUNNING)


def _failed(app: Application) -> bool:
    state = app.status.operation_state
    return state is not None and state.phase in ("Failed", "Error")
