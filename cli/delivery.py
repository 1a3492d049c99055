"""`mooring delivery`: what Git hosts told us, and what came of it, from the ledger in Redis."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from cli import show
from cli.exits import Missing
from cli.home import chosen, redis_client, redis_url
from mooring.delivery import Delivery, Stage
from mooring.errors import Refused
from mooring.names import INTAKE, TASK_DELIVER
from mooring.repourl import masked
from mooring.store.due import Step

if TYPE_CHECKING:
    from mooring.store.ledger import Ledger

_BRIEF = 100  # characters of an outcome in a table


@click.group()
def delivery() -> None:
    """Deliveries: pushes as their hosts told us, with their time lines."""


@delivery.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@show.output_option
def list_(limit: int, output: str | None) -> None:
    """List the last deliveries, the newest first."""
    found = _ledger().recent(limit)
    match output:
        case "json" | "yaml":
            show.structured([as_json(each) for each in found], output)
        case "name":
            for each in found:
                click.echo(each.id)
        case _:
            header = ("ID", "RECEIVED", "HOST", "EVENT", "REF", "COMMIT", "STATE", "TOOK", "OUTCOME")
            extra = ("REPOSITORY",) if output == "wide" else ()
            show.columns((*header, *extra), [_row(each, bool(extra)) for each in found])


@delivery.command()
@click.argument("id")
@show.output_option
def get(id: str, output: str | None) -> None:
    """Show one delivery with its time line."""
    found = _find(_ledger(), id)
    if output in ("json", "yaml"):
        show.structured(as_json(found), output)
        return
    if output == "name":
        click.echo(found.id)
        return
    event = found.event
    rows = [
        ("Delivery", found.id),
        ("Received", f"{show.at(found.received_at)} from {event.host}, {event.name} ({event.delivery})"),
        ("Repository", ", ".join(dict.fromkeys(masked(url) for url in event.repositories))),
        *(("Change", f"{change.ref} -> {change.commit or 'deleted'}") for change in event.changes),
        ("Sender", event.sender),
        ("State", found.state.value),
        ("Outcome", found.outcome),
    ]
    for title, text in rows:
        if text:
            click.echo(f"{title + ':':<12}{show.coloured(show.one_line(text))}")
    click.echo()
    show.columns(
        ("STAGE", "AFTER", "TOOK", "APPLICATION", "NOTE"),
        [_stage(found, stage) for stage in found.stages],
    )


@delivery.command()
@click.argument("id")
@show.output("name", "json", "yaml")
def replay(id: str, output: str | None) -> None:
    """Work on a finished delivery once more. It deploys what the branch has now, not what it had then."""
    from workers.celery_app import make, send

    settings = chosen()
    settings = replace(settings, redis_url=redis_url(settings))
    ledger = _ledger()
    found = _find(ledger, id)
    if not ledger.reopen(id):
        raise Refused(
            f"delivery {id} is {found.state}: only a finished one can be replayed; wait for its end"
        )
    send(make("mooring-cli", settings.redis_url), Step(TASK_DELIVER, (id,), INTAKE))
    ledger.mark_enqueued(id)
    match output:
        case "json" | "yaml":
            show.structured(as_json(_find(ledger, id)), output)
        case "name":
            click.echo(id)
        case _:
            click.echo(f"delivery {id} is worked on again: `mooring delivery get {id}` shows how it goes")


def _ledger() -> Ledger:
    from mooring.store.ledger import Ledger

    return Ledger(redis_client(chosen()))


def _find(ledger: Ledger, id: str) -> Delivery:
    found = ledger.get(id)
    if found is None:
        raise Missing(f"no delivery {id} is kept: `mooring delivery list` shows the last ones")
    return found


def as_json(found: Delivery) -> dict[str, Any]:
    """A delivery for programs, as GET /api/v1/deliveries/<id> has it. URLs are masked."""
    event = found.event
    return {
        "id": found.id,
        "state": found.state.value,
        "outcome": found.outcome,
        "received_at": found.received_at,
        "host": event.host,
        "event": event.name,
        "kind": event.kind.value,
        "repositories": [masked(url) for url in event.repositories],
        "changes": [asdict(change) for change in event.changes],
        "sender": event.sender,
        "stages": [asdict(stage) for stage in found.stages],
    }


def _row(found: Delivery, wide: bool) -> tuple[str, ...]:
    event = found.event
    change = next(iter(event.changes), None)
    row = (
        found.id,
        show.at(found.received_at),
        event.host,
        event.kind.value,
        change.ref.removeprefix("refs/heads/").removeprefix("refs/") if change else "",
        (change.commit or "deleted")[:12] if change else "",
        found.state.value,
        _took(found),
        found.outcome if wide else _brief(found.outcome),
    )
    return (*row, masked(event.repositories[0]) if event.repositories else "") if wide else row


def _brief(outcome: str) -> str:
    """As much of an outcome as a table has room for: of many failures, `get` and `-o wide` have the rest."""
    return outcome if len(outcome) <= _BRIEF else f"{outcome[: _BRIEF - 1]}…"


def _took(found: Delivery) -> str:
    """From receipt to the end of the last stage."""
    last = max((stage.at for stage in found.stages), default=found.received_at)
    return show.duration((last - found.received_at) * 1000)


def _stage(found: Delivery, stage: Stage) -> tuple[str, ...]:
    after = show.duration(max(stage.at - found.received_at, 0.0) * 1000)
    app = stage.app.replace("_", "/")
    return (stage.name, after, show.duration(stage.took_ms), app, stage.note)
