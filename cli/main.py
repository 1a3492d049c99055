"""The `mooring` command: groups of commands, each imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from mooring.errors import MooringError

# Command -> where its click command is. The order is that of `mooring --help`.
COMMANDS = {
    "devcluster": "cli.devcluster:devcluster",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used: `mooring app list` does not
    pay for the web tier. What Mooring refuses or fails at is shown as one line, with exit code 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MooringError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup, name="mooring", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mooring", prog_name="mooring")
def main() -> None:
    """Keeps Kubernetes clusters moored to Git."""


if __name__ == "__main__":
    main(prog_name="mooring")
