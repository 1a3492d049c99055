"""`mooring completion`: what a shell needs to complete commands, flags and names of Applications."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PROGRAM, _VARIABLE = "mooring", "_MOORING_COMPLETE"
_WHERE = {
    "bash": "source <(mooring completion bash)        # into ~/.bashrc",
    "zsh": "source <(mooring completion zsh)         # into ~/.zshrc, after compinit",
    "fish": "mooring completion fish | source         # into ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(tuple(_WHERE)))
def completion(shell: str) -> None:
    """Print the completion of SHELL. It asks `mooring` itself, so it never is out of date."""
    from cli.main import main

    found = get_completion_class(shell)
    assert found is not None  # click has all three
    maker = found(main, {}, _PROGRAM, _VARIABLE)
    click.echo(maker.source_template % maker.source_vars())
