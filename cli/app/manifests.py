"""`mooring app manifests`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli import show
from cli.app.masks import masked
from cli.app.revisions import chosen, revision_options
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@app_argument
@click.option(
    "--source", type=click.Choice(("git", "live")), default="git", show_default=True, help="From where."
)
@revision_options("Of this branch, tag or commit (from git).")
@show.output("name", "json", "yaml")
def manifests(
    settings: Settings,
    name: str,
    source: str,
    revision: str,
    revisions: tuple[str, ...],
    source_positions: tuple[int, ...],
    output: str | None,
) -> None:
    """Print the objects as YAML, as Git has them or as they are in the cluster. Secrets are masked."""
    if (revision or revisions) and source == "live":
        raise click.UsageError("--revision is for --source git: the cluster has one state only")
    home = connect(settings)
    app = find(home, name)
    named = chosen(app, revision, revisions, source_positions)
    bodies = _live(home, app) if source == "live" else _git(home, app, named)
    match output:
        case "json":  # one value, that kubectl takes as well
            items = [masked(home, body)[0] for body in bodies]
            show.structured({"apiVersion": "v1", "kind": "List", "items": items}, output)
        case "name":
            for body in bodies:
                click.echo(_title(body))
        case _:
            for body in bodies:
                click.echo("---")
                show.structured(masked(home, body)[0], "yaml")


def _title(body: dict[str, Any]) -> str:
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    metadata = body.get("metadata") or {}
    key = ObjectKey(group, str(body.get("kind")), metadata.get("namespace") or "", metadata.get("name") or "")
    return key.title


def _git(home: Home, app: Application, revisions: Sequence[str]) -> Iterator[dict[str, Any]]:
    from cli.app.rendered import rendered

    _, found = rendered(home, app, revisions)
    for warning in found.warnings:
        click.secho(f"warning: {show.one_line(warning)}", fg="yellow", err=True)
    yield from (manifest.body for manifest in found.manifests)


def _live(home: Home, app: Application) -> Iterator[dict[str, Any]]:
    api = home.there(app)
    for item in app.status.resources:
        kind = api.discovery.find(item.api_version, item.kind)
        live = api.get(kind, item.namespace, item.name) if kind else None
        if live is None or live.body is None:
            click.echo(f"{item.kind} {item.name} is not in the cluster", err=True)
            continue
        metadata = {key: value for key, value in live.body["metadata"].items() if key != "managedFields"}
        yield {**live.body, "metadata": metadata}
