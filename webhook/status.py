"""The status page: what is deployed and what was received lately, for a person, from read models alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, render_template

from mooring.delivery import Delivery, Stage
from mooring.repourl import masked
from mooring.store.views import AppView

# Nothing is loaded and nothing runs: a value that slipped through the escaping could still do nothing.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class StageSummary:
    """All stages of one name in a delivery: the longest one, and how many applications went through.

    `note` is what the last one says that takes no time: whom the push has not touched.
    """

    name: str
    took_ms: float
    apps: int
    note: str = ""


def render(apps: Sequence[AppView], deliveries: Sequence[Delivery]) -> Response:
    """The page as HTML."""
    page = render_template(
        "status.html",
        apps=apps,
        deliveries=[(delivery, summary(delivery.stages)) for delivery in deliveries],
        now=datetime.now(UTC),
        at=_at,
        duration=_duration,
        masked=masked,
    )
    return Response(page, headers=_HEADERS, mimetype="text/html")


def summary(stages: Sequence[Stage]) -> list[StageSummary]:
    """One line for each name of a stage, in the order in which they first came."""
    by_name: dict[str, list[Stage]] = {}
    for stage in stages:
        by_name.setdefault(stage.name, []).append(stage)
    return [
        StageSummary(
            name,
            max(stage.took_ms for stage in same),
            len({stage.app for stage in same if stage.app}),
            "" if same[-1].took_ms else same[-1].note,
        )
        for name, same in by_name.items()
    ]


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery for programs. URLs are masked, since a payload may carry credentials in them."""
    event = delivery.event
    return {
        "id": delivery.id,
        "state": delivery.state,
        "outcome": delivery.outcome,
        "received_at": delivery.received_at,
        "host": event.host,
        "event": event.name,
        "kind": event.kind,
        "repositories": [masked(url) for url in event.repositories],
        "changes": [asdict(change) for change in event.changes],
        "sender": event.sender,
        "stages": [asdict(stage) for stage in delivery.stages],
    }


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _duration(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
