"""Groups of commands that are imported when used: `mooring app list` does not pay for the web tier."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

# Command -> where its click command is ("module:name"), and its line in `--help`, which imports nothing.
Commands = Mapping[str, tuple[str, str]]


class LazyGroup(click.Group):
    """A click group of `commands`."""

    def __init__(self, *args: Any, commands_at: Commands, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._at:
            return None
        module, _, attribute = self._at[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # click looks for similar names among the commands that it holds, which are none here.
            near = get_close_matches(args[0], self._at, n=1)
            if not near:
                raise
            raise click.UsageError(f"No such command {args[0]!r}: did you mean {near[0]!r}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._at.items()])
