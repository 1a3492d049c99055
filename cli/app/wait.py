"""`mooring app wait`"""

from __future__ import annotations

import click

from cli.app.follow import until, words
from cli.app.words import find, health_word, sync_word
from cli.exits import NO, fail
from cli.home import connect, home_options
from mooring.model.application import Application
from mooring.settings import Settings


@click.command()
@home_options
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--sync", is_flag=True, help="Until it is Synced.")
@click.option("--health", is_flag=True, help="Until it is Healthy.")
@click.option("--suspended", is_flag=True, help="Suspended is as good as Healthy.")
@click.option("--operation", is_flag=True, help="Until no operation waits or runs.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up after this long.  [default: never]")
def wait(
    settings: Settings,
    names: tuple[str, ...],
    sync: bool,
    health: bool,
    suspended: bool,
    operation: bool,
    timeout: float,
) -> None:
    """Wait until Applications are Synced and Healthy and no operation runs, or for what is asked for.

    Exit code 1 when the operation that was waited for has failed.
    """
    home = connect(settings)
    everything = not (sync or health or suspended or operation)
    failed = []
    for name in names:
        key = find(home, name).key

        def done(app: Application) -> bool:
            good = ("Healthy", "Suspended") if suspended else ("Healthy",)
            return (
                (not (sync or everything) or sync_word(app) == "Synced")
                and (not (health or suspended or everything) or health_word(app) in good)
                and (not (operation or everything) or idle(app))
            )

        hint = f"`mooring app get {key.name} -N {key.namespace}` says why"
        app = until(home, key, done, f"waiting for {key.name}", timeout, hint)
        click.echo(f"{key.namespace}/{key.name}: {words(app)}")
        state = app.status.operation_state
        if (operation or everything) and state is not None and state.phase in ("Failed", "Error"):
            failed.append(key.name)
    if failed:
        fail(f"the last operation of {', '.join(failed)} failed: `mooring app get` says why", NO)


def idle(app: Application) -> bool:
    """Whether no operation is asked for or running."""
    state = app.status.operation_state
    return app.operation is None and (state is None or state.phase not in ("Running", "Terminating"))
