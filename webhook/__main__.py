"""The web tier as a program: `python -m webhook`. It needs nothing of the command line's or the workers'."""

from __future__ import annotations

import os
import sys

import click

from mooring.errors import MooringError
from mooring.settings_web import WebSettings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1), help="How many.")
def web(host: str, port: int, processes: int) -> None:
    """Run the web tier: receives pushes, serves the status page. Knows Redis and webhook secrets only."""
    from webhook.serve import run

    run(WebSettings.from_env(os.environ), host, port, processes)


def main() -> None:
    """Run `web`. Exits with 1 and one line when it cannot start."""
    try:
        web(prog_name="python -m webhook")
    except MooringError as error:
        sys.exit(f"mooring web: {error}")


if __name__ == "__main__":
    main()
