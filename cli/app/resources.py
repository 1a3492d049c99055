"""`mooring app resources`"""

from __future__ import annotations

import click

from cli import show
from cli.app.get import resources as table
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.keys import ObjectKey
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@app_argument
@show.output_option
def resources(settings: Settings, name: str, output: str | None) -> None:
    """List the objects of an Application, as they were last compared."""
    app = find(connect(settings), name)
    match output:
        case "json" | "yaml":
            show.structured([item.to_dict() for item in app.status.resources], output)
        case "name":
            for item in app.status.resources:
                click.echo(ObjectKey(item.group, item.kind, item.namespace, item.name).title)
        case _:
            table(app)
