"""Asking before something is changed."""

from __future__ import annotations

import sys

import click

from mooring.errors import Refused


def confirm(question: str, err: bool = False) -> None:
    """Asks on stdout, or stderr with `err`, and returns after a yes.

    Raises click.Abort after a no; Refused when stdin is no terminal and has no answer.
    """
    try:
        yes = click.confirm(question, err=err)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C or Ctrl-D
            raise
        click.echo(err=True)  # ends the line of the question
        raise Refused("nobody answered: --yes goes on without asking") from None
    if not yes:
        raise click.Abort
