"""`mooring app reads`"""

from __future__ import annotations

from typing import Any

import click

from cli import show
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.errors import Refused
from mooring.repourl import masked
from mooring.settings import Settings

_SHORT = 12  # characters of an id that people see


@click.command(cls=Verb)
@home_options
@app_argument
@show.output("name", "json", "yaml")
def reads(settings: Settings, name: str, output: str | None) -> None:
    """Show what an Application's last render read: a push that changes none of it does not touch the app.

    A directory stands for all that is in it. A path that is absent was looked for and not found: it would be
    read if it came. What was fetched from other hosts has the digest that it had.
    """
    from workers.apps.conditions import is_error
    from workers.render.readset import recall

    home = connect(settings)
    app = find(home, name)
    state = home.applications.state(app)
    try:
        read = recall(state.inputs)
    except ValueError as error:
        why = "; ".join(one.message for one in app.status.conditions if is_error(one))
        if why:
            raise Refused(f"application {app.key.title} has not been rendered yet: {why}") from error
        raise Refused(
            f"application {app.key.title} has not been rendered yet, or was not by this "
            f"version: run `mooring app refresh {app.key.name}`"
        ) from error
    sources = app.spec.all_sources
    told: list[dict[str, Any]] = [
        {
            "repoURL": masked(source.repo_url),
            "paths": [{"path": _shown(path), "id": id_} for path, id_ in one.paths],
            "remotes": [{"address": address, "digest": digest} for address, digest in one.remotes],
        }
        for source, one in zip(sources, read, strict=False)
    ]
    match output:
        case "json" | "yaml":
            show.structured(
                {"revision": app.status.sync.revision if app.status.sync else "", "sources": told}, output
            )
        case "name":
            for source in told:
                for item in source["paths"]:
                    click.echo(show.one_line(item["path"]))
        case _:
            for position, source in enumerate(told, 1):
                if len(told) > 1:
                    click.echo(f"Source {position}: {show.one_line(source['repoURL'])}")
                rows = [(item["path"], (item["id"] or "absent")[:_SHORT]) for item in source["paths"]]
                rows += [(item["address"], item["digest"][:_SHORT]) for item in source["remotes"]]
                show.columns(("READ", "WAS"), rows)


def _shown(path: str) -> str:
    from workers.render.readset import COMMIT

    return "(the commit)" if path == COMMIT else path or "."
