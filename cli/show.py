"""How things are shown: columns, colours, durations, and the formats that programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from mooring.text import printable

FORMATS: Final = ("wide", "name", "json", "yaml")
_COLOURS: Final = {
    **dict.fromkeys(("Synced", "Healthy", "Succeeded", "succeeded", "Pruned"), "green"),
    **dict.fromkeys(
        ("OutOfSync", "Progressing", "Missing", "Suspended", "PruneSkipped", "Running"), "yellow"
    ),
    **dict.fromkeys(("running", "enqueued", "received"), "yellow"),
    **dict.fromkeys(("Degraded", "Unknown", "Failed", "Error", "SyncFailed", "failed"), "red"),
}


def output(*formats: str) -> Callable[[Any], Any]:
    """The option -o with these formats; without it, a command prints what people read."""
    return click.option(
        "-o", "--output", type=click.Choice(formats), help="Format: more to read, names, or for programs."
    )


output_option = output(*FORMATS)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header, aligned; words that are a status have their colour on a terminal."""
    lines = [tuple(header), *(tuple(one_line(cell) for cell in row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [coloured(cell, cell.ljust(width)) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def coloured(word: str, text: str = "") -> str:
    """`text` (default: `word`) in the colour that `word` has as a status."""
    colour = _COLOURS.get(word)
    return click.style(text or word, fg=colour) if colour else text or word


def one_line(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return printable(" ".join(text.split()))


def structured(value: Any, output: str) -> None:
    """Print JSON-ready data as `json` or `yaml`."""
    if output == "json":
        click.echo(json.dumps(value, indent=2))
        return
    import yaml

    click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)


def duration(ms: float) -> str:
    """Milliseconds as a person reads them: `84 ms`, `1.2 s`, `3 min 5 s`."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def at(seconds: float) -> str:
    """A time of the epoch as local time, to the second."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
