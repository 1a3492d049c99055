"""Exit codes, those of the `argocd` CLI where it has one; docs/cli.md lists them for people."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

import click

from mooring.errors import ClusterRefused, MooringError, Retryable
from mooring.text import printable

NO: Final = 1  # the command did its work, and the answer is no: it differs, the operation failed
# 2 is click's own, for wrong usage.
UNREACHABLE: Final = 11  # cluster, Redis or Git host do not answer
DENIED: Final = 12  # the API server does not permit it
MISSING: Final = 13  # there is no such object
FAILED: Final = 20  # everything else, a time limit too
INTERRUPTED: Final = 130


class Missing(MooringError):
    """There is no such object."""


class TimedOut(MooringError):
    """It may still happen; we do not wait any longer."""


def fail(message: str, code: int) -> NoReturn:
    """End the command with one red line on stderr and an exit code."""
    complain(message)
    sys.exit(code)


def complain(message: str) -> None:
    """One red line on stderr."""
    click.secho(f"mooring: {printable(message)}", fg="red", err=True)


def exit_code(error: MooringError) -> int:
    """The exit code that tells a script what kind of failure it was."""
    match error:
        case Missing():
            return MISSING
        case ClusterRefused(code=401 | 403):
            return DENIED
        case Retryable():
            return UNREACHABLE
        case _:
            return FAILED
