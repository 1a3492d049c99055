"""`mooring app list`"""

from __future__ import annotations

import click

from cli import show
from cli.app.words import conditions, health_word, manifest, policy, revision, sync_word
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.selector import Selector, selector_option
from mooring.model.application import Application
from mooring.repourl import masked
from mooring.settings import Settings

_HEADER = ("NAME", "PROJECT", "NAMESPACE", "STATUS", "HEALTH", "SYNCPOLICY", "REVISION", "CONDITIONS")
_WIDE = ("CLUSTER", "REPO", "PATH", "TARGET")


@click.command("list", cls=Verb)
@home_options
@click.option("-p", "--project", "projects", multiple=True, metavar="NAME", help="Only of this project.")
@click.option("-r", "--repo", metavar="URL", help="Only from this repository.")
@selector_option
@show.output_option
def list_(
    settings: Settings,
    projects: tuple[str, ...],
    repo: str | None,
    selector: Selector | None,
    output: str | None,
) -> None:
    """List Applications."""
    from mooring.repourl import normalise

    listing = connect(settings).applications.list()
    apps = [
        app
        for app in sorted(listing.apps, key=lambda each: each.key)
        if (not projects or app.spec.project_name in projects)
        and (not repo or normalise(repo) in {normalise(source.repo_url) for source in app.spec.all_sources})
        and (selector is None or selector(app.metadata.labels))
    ]
    match output:
        case "json" | "yaml":
            show.structured([manifest(app) for app in apps], output)
        case "name":
            for app in apps:
                click.echo(f"{app.key.namespace}/{app.key.name}")
        case _:
            wide = output == "wide"
            header = (*_HEADER, *_WIDE) if wide else _HEADER
            show.columns(header, [_row(app, wide) for app in apps])
    for broken in listing.broken:
        click.secho(f"cannot be read: {broken.message}", fg="red", err=True)


def _row(app: Application, wide: bool) -> tuple[str, ...]:
    destination = app.spec.destination
    row = (
        app.key.name,
        app.spec.project_name,
        destination.namespace,
        sync_word(app),
        health_word(app),
        policy(app),
        revision(app.status.sync),
        conditions(app),
    )
    if not wide:
        return row
    sources = app.spec.all_sources
    columns = (
        [masked(source.repo_url) for source in sources],
        [source.path or source.chart for source in sources],
        [source.target_revision for source in sources],
    )
    cluster = destination.server or destination.name
    return (*row, cluster, *(", ".join(column) for column in columns))
