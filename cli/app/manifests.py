"""`mooring app manifests`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli import show
from cli.app.words import find
from cli.home import Home, connect, home_options
from mooring.model.application import Application
from mooring.settings import Settings


@click.command()
@home_options
@click.argument("name")
@click.option(
    "--source", type=click.Choice(("git", "live")), default="git", show_default=True, help="From where."
)
@click.option("--revision", default="", metavar="REV", help="Of this branch, tag or commit (from git).")
def manifests(settings: Settings, name: str, source: str, revision: str) -> None:
    """Print the objects as YAML, as Git has them or as they are in the cluster. Secrets are masked."""
    import yaml

    from workers.redact import masked

    if revision and source == "live":
        raise click.UsageError("--revision is for --source git: the cluster has one state only")
    home = connect(settings)
    app = find(home, name)
    bodies = _live(home, app) if source == "live" else _git(home, app, revision)
    for body in bodies:
        click.echo("---")
        click.echo(yaml.safe_dump(masked(body), sort_keys=False, allow_unicode=True), nl=False)


def _git(home: Home, app: Application, revision: str) -> Iterator[dict[str, Any]]:
    from cli.app.rendered import rendered

    found = rendered(home, app, revision)
    for warning in found.warnings:
        click.secho(f"warning: {show.one_line(warning)}", fg="yellow", err=True)
    yield from (manifest.body for manifest in found.manifests)


def _live(home: Home, app: Application) -> Iterator[dict[str, Any]]:
    for item in app.status.resources:
        api_version = f"{item.group}/{item.version}" if item.group else item.version
        kind = home.api.discovery.find(api_version, item.kind)
        live = home.api.get(kind, item.namespace, item.name) if kind else None
        if live is None or live.body is None:
            click.echo(f"{item.kind} {item.name} is not in the cluster", err=True)
            continue
        metadata = {key: value for key, value in live.body["metadata"].items() if key != "managedFields"}
        yield {**live.body, "metadata": metadata}
