"""`mooring app delete`"""

from __future__ import annotations

import click

from cli import show
from cli.app.words import choose
from cli.confirm import confirm
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import apps_argument
from cli.selector import Selector, selector_option
from mooring.errors import Refused
from mooring.model.application import Application
from mooring.settings import Settings
from workers.apps.conditions import SHARED_RESOURCE


@click.command(cls=Verb)
@home_options
@apps_argument
@selector_option
@click.option("--cascade/--no-cascade", default=False, help="Only --no-cascade is supported yet.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@show.output("name")
def delete(
    settings: Settings,
    names: tuple[str, ...],
    selector: Selector | None,
    cascade: bool,
    yes: bool,
    output: str | None,
) -> None:
    """Delete Applications. The objects that they deployed stay in the cluster."""
    if cascade:
        raise click.UsageError(
            "--cascade is not supported yet: empty the app's path in Git and sync with --prune first"
        )
    if settings.apps_dir:
        raise Refused(f"the Applications are files in {settings.apps_dir}: delete the file")
    home = connect(settings)
    for app in choose(home, names, selector):
        known = left(app)
        if not yes:
            confirm(
                f"Delete Application {app.key.namespace}/{app.key.name}?" + (f" {known}" if known else ""),
                err=output is not None,
            )
        _delete(home, app)
        said = " deleted" + (f"; {known}" if known else "")
        click.echo(f"{app.key.namespace}/{app.key.name}" + (said if output is None else ""))


def left(app: Application) -> str:
    """What the Application leaves behind, as far as its status tells; "" for nothing. Pure."""
    there = [item for item in app.status.resources if not item.health or item.health.status != "Missing"]
    parts = []
    if there and any(condition.type == SHARED_RESOURCE for condition in app.status.conditions):
        # Some are another app's, or wanted by one: how many is not told, and who keeps them neither.
        parts.append("those of its objects that no other app owns stay in the cluster")
    elif len(there) == 1:
        parts.append("1 object stays in the cluster, with nobody to keep it as in Git")
    elif there:
        parts.append(f"{len(there)} objects stay in the cluster, with nobody to keep them as in Git")
    if app.metadata.finalizers:
        parts.append(f"its finalizers are not obeyed by Mooring: {', '.join(app.metadata.finalizers)}")
    return "; ".join(parts)


def _delete(home: Home, app: Application) -> None:
    from workers.apps.home import APPLICATION

    live = home.api.get(APPLICATION, app.key.namespace, app.key.name, metadata_only=True)
    if live is not None:
        home.api.delete(APPLICATION, live, "background")
