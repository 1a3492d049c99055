"""NAME and [NAME...] of Applications on the command line: the shell completes those that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mooring.errors import MooringError


def _complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of Applications that begin like this; none where the cluster does not answer, and no error."""
    from cli.home import chosen, connect

    given = context.params
    try:
        settings = chosen(
            given.get("kubeconfig") or "", given.get("context") or "", given.get("app_namespace") or ""
        )
        names = [app.key.name for app in connect(settings).applications.recent().apps]
    except (MooringError, OSError):
        return []
    taken = given.get(parameter.name or "")
    return sorted(name for name in names if name.startswith(begun) and name not in (taken or ()))


app_argument: Callable[[Any], Any] = click.argument("name", shell_complete=_complete)
apps_argument: Callable[[Any], Any] = click.argument(
    "names", nargs=-1, metavar="[NAME...]", shell_complete=_complete
)
