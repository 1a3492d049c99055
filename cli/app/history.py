"""`mooring app history`"""

from __future__ import annotations

import click

from cli import show
from cli.app.words import SHORT, find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@app_argument
@show.output("wide", "id", "name", "json", "yaml")
def history(settings: Settings, name: str, output: str | None) -> None:
    """List what was deployed when, the newest last."""
    app = find(connect(settings), name)
    match output:
        case "json" | "yaml":
            show.structured([entry.to_dict() for entry in app.status.history], output)
        case "name" | "id":
            for entry in app.status.history:
                click.echo(str(entry.id))
        case _:
            rows = []
            for entry in app.status.history:
                who = "automated" if entry.initiated_by.automated else entry.initiated_by.username
                target = entry.source.target_revision if entry.source else ""
                commit = entry.revision if output == "wide" else entry.revision[:SHORT]
                rows.append((str(entry.id), entry.deployed_at, commit, target or "HEAD", who))
            show.columns(("ID", "DATE", "REVISION", "TARGET", "BY"), rows)
