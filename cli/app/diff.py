"""`mooring app diff`"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli import show
from cli.app.masks import masked
from cli.app.revisions import chosen, revision_options
from cli.app.words import find
from cli.exits import FAILED, NO, fail
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.settings import Settings

if TYPE_CHECKING:
    from workers.compare import Difference

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(cls=Verb)
@home_options
@app_argument
@revision_options("Compare with this branch, tag or commit.")
@click.option("--hard-refresh", is_flag=True, help="Have the API server try each object.")
@click.option("--exit-code/--no-exit-code", default=True, help="Exit with 1 when it differs.")
@show.output("name", "json", "yaml")
def diff(
    settings: Settings,
    name: str,
    revision: str,
    revisions: tuple[str, ...],
    source_positions: tuple[int, ...],
    hard_refresh: bool,
    exit_code: bool,
    output: str | None,
) -> None:
    """Show what a sync would change, as the API server itself would decide it. Writes no object.

    An object that has all that Git says, and nothing of Mooring's besides, is not tried: only a webhook or a
    policy of the cluster that came since could say more of it, and --hard-refresh asks for that. Values of
    Secrets are masked; different values have different masks. Exit code 1 when it differs.
    """
    from cli.app.rendered import compared

    home = connect(settings)
    app = find(home, name)
    at = chosen(app, revision, revisions, source_positions)
    found = compared(home, app, at, each=hard_refresh)
    for notice in found.notices:
        click.secho(f"{notice.type}: {show.one_line(notice.message)}", fg="yellow", err=True)
    match output:
        case "json" | "yaml":
            show.structured([as_json(home, difference) for difference in found.differences], output)
        case "name":
            for difference in found.differences:
                click.echo(difference.key.title)
        case _:
            for difference in found.differences:
                click.echo(f"===== {difference.key.title} ======")
                for line in lines(home, difference):
                    click.secho(line, fg=_COLOURS.get(line[:1]))
    count, failed = len(found.differences), [one for one in found.notices if one.type == "ComparisonError"]
    said = f"{count} objects differ" if count != 1 else "1 object differs"
    if count or not failed:
        click.echo(f"{said if count else 'no difference'} at {found.pinned}", err=True)
    if failed:
        fail(f"{len(failed)} of its objects could not be compared: see above", FAILED)
    if count and exit_code:
        sys.exit(NO)


def as_json(home: Home, difference: Difference) -> dict[str, Any]:
    """One difference for programs: `live` and `desired` are null where the object is not there."""
    key = difference.key
    live, desired = _masked(home, difference)
    return {
        "group": key.group,
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "live": live,
        "desired": desired,
    }


def lines(home: Home, difference: Difference) -> Iterator[str]:
    """A unified diff from live to desired, without what nobody may see."""
    before, after = (_text(body) if body is not None else [] for body in _masked(home, difference))
    yield from difflib.unified_diff(before, after, "live", "desired", lineterm="")


def _masked(home: Home, difference: Difference) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    there = [body for body in (difference.before, difference.after) if body is not None]
    shown = iter(masked(home, *(dict(body) for body in there)))
    before = next(shown) if difference.before is not None else None
    after = next(shown) if difference.after is not None else None
    return before, after


def _text(body: dict[str, Any]) -> list[str]:
    import yaml

    return str(yaml.safe_dump(body, sort_keys=True, allow_unicode=True)).splitlines()
