"""`mooring app history`"""

from __future__ import annotations

import click

from cli import show
from cli.app.words import find, revision
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.model.pinned import revisions_of
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
                sources = entry.sources or ((entry.source,) if entry.source else ())
                targets = ", ".join(source.target_revision or "HEAD" for source in sources)
                at = ", ".join(revisions_of(entry)) if output == "wide" else revision(entry)
                rows.append((str(entry.id), entry.deployed_at, at, targets or "HEAD", who))
            show.columns(("ID", "DATE", "REVISION", "TARGET", "BY"), rows)
