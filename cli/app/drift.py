"""`mooring app drift`"""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli import show
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import connect, home_options, redis_client
from cli.named import app_argument
from mooring.drift import Drift, What
from mooring.settings import Settings

_BRIEF = 24  # characters of a value in a table


@click.command(cls=Verb)
@home_options
@app_argument
@show.output("wide", "name", "json", "yaml")
def drift(settings: Settings, name: str, output: str | None) -> None:
    """List what has drifted of an Application's objects, the newest first: from what to what, who did it and
    when, and what was done about it.

    FROM is what Git wants, TO what was found instead; values of Secrets are masked. Managers are called what
    they call themselves, which proves nothing. What was removed has nobody's name on it any more: it happened
    between the two times. The last hundred are kept, in Redis.
    """
    from mooring.store.drifts import Drifts, as_json

    app = find(connect(settings), name)
    found = Drifts(redis_client(settings)).of(app.key)
    match output:
        case "json" | "yaml":
            show.structured([as_json(one, values=True) for one in found], output)
        case "name":
            for title in dict.fromkeys(one.key.title for one in found):
                click.echo(title)
        case _:
            header = ("SEEN", "KIND", "NAMESPACE", "NAME", "FIELD", "FROM", "TO", "MANAGER", "WHEN", "DONE")
            rows = [row for one in found for row in _rows(one, wide=output == "wide")]
            show.columns((*header, "WHY") if output == "wide" else header, rows)


def _rows(one: Drift, *, wide: bool) -> Iterator[tuple[str, ...]]:
    """A line for each field."""
    seen = show.at(one.seen)
    here = (seen, one.key.kind, one.key.namespace, one.key.name)
    times = f" ({one.times} times)" if one.times > 1 else ""
    done = (one.done.value + times, *((one.why,) if wide else ()))
    if one.what is What.MISSING:
        yield (*here, "(all)", "there", "deleted", "unknown", one.when(), *done)
    for change in one.changes:
        values = (_value(change.wanted, wide=wide), _value(change.found, wide=wide))
        yield (*here, change.field, *values, change.by or "unknown", one.when(change), *done)
    if one.more:
        yield (*here, f"(and {one.more} more)", "", "", "", "", *done)


def _value(text: str | None, *, wide: bool) -> str:
    if text is None:
        return "absent"
    return text if wide or len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"
