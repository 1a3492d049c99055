"""`mooring app resources`"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from cli import show
from cli.app.get import resources as table
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARALLEL = 8


@click.command(cls=Verb)
@home_options
@app_argument
@click.option(
    "--orphaned",
    is_flag=True,
    help="What its namespace holds instead that is no Application's, as it is now.",
)
@show.output_option
def resources(settings: Settings, name: str, orphaned: bool, output: str | None) -> None:
    """List the objects of an Application, as they were last compared."""
    home = connect(settings)
    app = find(home, name)
    if orphaned:
        _print_orphans(_orphans(home, app), output)
        return
    match output:
        case "json" | "yaml":
            show.structured([item.to_dict() for item in app.status.resources], output)
        case "name":
            for item in app.status.resources:
                click.echo(ObjectKey(item.group, item.kind, item.namespace, item.name).title)
        case _:
            table(app)


def _orphans(home: Home, app: Application) -> Sequence[ObjectKey]:
    """Without what the app's project ignores or does not permit. Raises ClusterRefused naming what cannot be
    listed."""
    from workers.installation import find as find_installation
    from workers.orphans import counted, look

    project = home.applications.project(app.spec.project_name)
    installation, namespace = (
        find_installation(home.api, home.settings.namespace),
        app.spec.destination.namespace,
    )
    if not namespace:
        return ()
    id_ = installation.id if installation is not None else ""
    with ThreadPoolExecutor(_PARALLEL) as executor:
        found = look(home.there(app), executor, home.applications, id_, [namespace])
    return counted(project, found[namespace])


def _print_orphans(keys: Sequence[ObjectKey], output: str | None) -> None:
    match output:
        case "json" | "yaml":
            told = [
                {"group": k.group, "kind": k.kind, "namespace": k.namespace, "name": k.name} for k in keys
            ]
            show.structured(told, output)
        case "name":
            for key in keys:
                click.echo(key.title)
        case _:
            show.columns(
                ("GROUP", "KIND", "NAMESPACE", "NAME"), [(k.group, k.kind, k.namespace, k.name) for k in keys]
            )
