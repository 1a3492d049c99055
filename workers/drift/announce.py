"""Tells of drifts: in the log, as metrics, and by Kubernetes Events about the Application, to which programs
listen that notify people. No value of any field is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mooring.drift import Done, Drift
from mooring.model.application import Application
from mooring.text import few_reasons
from workers.engine import Engine
from workers.metrics import DRIFTS

_log = logging.getLogger(__name__)
_SHOWN: Final = 5  # objects that an Event names
_AGAIN: Final = "changed again each time that it was put back: self-heal waits"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an Event says. The same drift of the same objects is told in the same words."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def announce(engine: Engine, app: Application, news: Sequence[Drift]) -> None:
    """Tell what is new of the drifts of `app`. An Event that cannot be written is logged."""
    for drift in news:
        _note(app, drift)
    for one in announcements(news):
        engine.applications.event(app, one.type, one.reason, one.message)


def announcements(news: Sequence[Drift]) -> Iterator[Announcement]:
    """One for all objects with which the same was done. What self-heal is just putting back is told when that
    is done; what is left to others, and what was put back by others, is nothing to be notified of."""
    left = [f"{_words(one)}; left: {one.why}" for one in news if one.done is Done.LEFT]
    contested = [f"{_words(one)}; {_AGAIN}" for one in news if one.done is Done.CONTESTED]
    healed = [f"{_words(one)}; put back" for one in news if one.done is Done.HEALED]
    if left:
        yield Announcement("Warning", "Drifted", few_reasons(left, _SHOWN))
    if contested:
        yield Announcement("Warning", "DriftContested", few_reasons(contested, _SHOWN))
    if healed:
        yield Announcement("Normal", "DriftHealed", few_reasons(healed, _SHOWN))


def _words(drift: Drift) -> str:
    return f"{drift.key.title}: {drift.summary}"


def _note(app: Application, drift: Drift) -> None:
    """Count it and log it, in one line that has all but values."""
    happened = [drift.done.value] if not drift.open or drift.done is Done.CONTESTED else []
    if drift.seen == drift.last:
        happened.append("found")
    for what in happened:
        DRIFTS.labels(str(app.key), what).inc()
    level = logging.WARNING if drift.open else logging.INFO
    _log.log(
        level,
        "drift of %s: %s, %s: %s",
        app.key,
        _words(drift),
        drift.when(drift.changes[0] if drift.changes else None),
        f"{drift.done.value}: {drift.why}",
    )
