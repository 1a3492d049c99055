"""`mooring app refresh`"""

from __future__ import annotations

import time
from typing import Literal

import click

from cli.app.follow import words
from cli.app.get import refreshed
from cli.app.words import choose
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import apps_argument
from cli.selector import Selector, selector_option
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@apps_argument
@selector_option
@click.option("--hard", is_flag=True, help="Believe no cache.")
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait until it is done.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="Give up after this long."
)
def refresh(
    settings: Settings,
    names: tuple[str, ...],
    selector: Selector | None,
    hard: bool,
    asynchronous: bool,
    timeout: float,
) -> None:
    """Have Applications compared with Git and the cluster now, and say how they are."""
    home = connect(settings)
    how: Literal["normal", "hard"] = "hard" if hard else "normal"
    apps = [home.applications.ask_refresh(app, how) for app in choose(home, names, selector)]
    since = time.monotonic()
    for app in apps:
        if asynchronous:
            click.echo(f"{app.key.namespace}/{app.key.name}: asked for")
        else:
            now = refreshed(home, app, how, timeout, since)
            click.echo(f"{app.key.namespace}/{app.key.name}: {words(now)}")
