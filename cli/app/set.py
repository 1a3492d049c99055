"""`mooring app set`"""

from __future__ import annotations

from typing import Any

import click

from cli import show
from cli.app.flags import applied, spec_options
from cli.app.get import print_apps
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.errors import Refused
from mooring.model.application import Application
from mooring.settings import Settings
from workers.mergepatch import difference, without_nulls


@click.command("set", cls=Verb)
@home_options
@app_argument
@spec_options
@click.option(
    "--source-position",
    type=click.IntRange(1),
    metavar="N",
    help="Which of several sources the flags are about, counted from 1: the first is spec.sources[0].",
)
@show.output_option
def set_(settings: Settings, name: str, output: str | None, **given: Any) -> None:
    """Change what an Application is; what no flag names stays as it is."""
    from workers.apps.home import APPLICATION

    if all(value in (None, ()) for value in given.values()):
        raise click.UsageError("nothing to set: give a flag, `mooring app set --help` shows them")
    if settings.apps_dir:
        raise Refused(f"the Applications are files in {settings.apps_dir}: change the file")
    home = connect(settings)
    app = find(home, name)
    before = app.raw["spec"]
    wanted = applied(before, given)
    Application.parse({**app.raw, "spec": wanted})  # what makes no sense is said before it is written
    patch = difference(without_nulls(before), without_nulls(wanted))
    if patch:
        seen = {"uid": app.metadata.uid, "resourceVersion": app.metadata.resource_version}
        home.api.patch(
            APPLICATION,
            app.key.namespace,
            app.key.name,
            {"metadata": seen, "spec": patch},
            validation="Ignore",
        )
    if output is None:
        done = "updated" if patch else "unchanged"
        click.echo(f"application {app.key.namespace}/{app.key.name} {done}")
    elif found := home.applications.get(app.key):
        print_apps(home, [found], output, several=False)
