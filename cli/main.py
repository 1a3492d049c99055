"""The `mooring` command: groups of commands, each imported only when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from cli.exits import INTERRUPTED, exit_code, fail
from mooring.errors import MooringError

# Command -> where its click command is, and its line in `mooring --help`, which imports none of them.
COMMANDS = {
    "up": ("cli.up:up", "Run web, workers and beat as one group in the foreground."),
    "demo": ("cli.demo:demo", "Show a push land in a cluster, on an embedded default."),
    "app": ("cli.app:app", "Applications: list, get, create, sync, diff, wait …"),
    "delivery": ("cli.delivery:delivery", "Deliveries: what Git hosts told us, and what came of it."),
    "crds": ("cli.crds:crds", "The kinds Application and AppProject in the home cluster."),
    "web": ("cli.up:web", "Run the web tier alone."),
    "worker": ("cli.up:worker", "Run the workers alone."),
    "beat": ("cli.up:beat", "Run beat, which asks for what is due, alone."),
    "devcluster": ("cli.devcluster:devcluster", "A real control plane on this machine, for demo and tests."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used: `mooring app list` does not
    pay for the web tier. What Mooring refuses or fails at is shown as one line, with an exit code of
    cli/exits.py.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MooringError as error:
            fail(str(error), exit_code(error))
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except BrokenPipeError:  # `mooring app list | head`
            sys.stdout = None  # nothing is flushed into it at exit
            sys.exit(0)


@click.group(cls=LazyGroup, name="mooring", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mooring", prog_name="mooring")
def main() -> None:
    """Keeps Kubernetes clusters moored to Git."""


if __name__ == "__main__":
    main(prog_name="mooring")
