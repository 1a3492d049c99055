"""`--revision`, and for several sources `--revisions` with `--source-positions`, as argocd has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mooring.errors import Refused
from mooring.model.application import Application

Command = TypeVar("Command", bound=Callable[..., Any])


def revision_options(help: str) -> Callable[[Command], Command]:
    """The three options; `help` says what --revision does."""

    def decorate(command: Command) -> Command:
        for option in reversed(
            (
                click.option("--revision", default="", metavar="REV", help=help),
                click.option(
                    "--revisions",
                    multiple=True,
                    metavar="REV",
                    help="Likewise of one of several sources, which the next flag names; may be given again.",
                ),
                click.option(
                    "--source-positions",
                    multiple=True,
                    type=click.IntRange(1),
                    metavar="N",
                    help="Which source, counted from 1: the first is spec.sources[0].",
                ),
            )
        ):
            command = option(command)
        return command

    return decorate


def chosen(
    app: Application, revision: str, revisions: Sequence[str], positions: Sequence[int]
) -> tuple[str, ...]:
    """The revisions that the flags name, one a source; "" where the Application's own is meant. Pure.

    Raises UsageError for flags that do not fit each other, Refused for those that do not fit the Application.
    """
    if len(revisions) != len(positions):
        raise click.UsageError("give one --source-positions with each --revisions")
    if revision and revisions:
        raise click.UsageError("give either --revision or --revisions")
    sources, title = app.spec.all_sources, app.key.name
    if revision and len(sources) > 1:
        raise Refused(f"{title} has {len(sources)} sources: give --revisions and --source-positions instead")
    named = [revision or ""] * len(sources)
    for one, position in zip(revisions, positions, strict=True):
        if position > len(sources):
            raise Refused(f"{title} has no source {position}: `mooring app get {title}` shows all")
        named[position - 1] = one
    return tuple(named)
