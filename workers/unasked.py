"""Says on an application which of its repositories cannot be asked what is new, until they can.

What was compared stays as true as it was, and what drifts is still corrected: so it is a condition beside
what stands there, and no failure. Looks keep it (workers/report.py).
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from mooring.errors import MooringError
from mooring.model.application import Application
from mooring.text import printable
from workers import tell
from workers.apps.conditions import REPOSITORY_WARNING, merge_conditions
from workers.engine import Engine

_log = logging.getLogger(__name__)


def unasked(engine: Engine, app: Application, reasons: Collection[str]) -> None:
    """Have just these stand on `app`; no request where they do. Who cannot be told now is told later."""
    wanted = {_message(why) for why in reasons}
    if wanted == _told(app):
        return
    try:
        current = engine.applications.get(app.key)
        if current is None or wanted == _told(current):
            return
        conditions = [(c.type, c.message) for c in current.status.conditions if c.type != REPOSITORY_WARNING]
        conditions += [(REPOSITORY_WARNING, message) for message in wanted]
        merged = merge_conditions(current.status.conditions, conditions, tell.now(engine))
        status = current.status.model_copy(update={"conditions": merged})
        after = engine.applications.report(current, status, engine.applications.state(current))
    except MooringError as error:
        _log.info("%s is not told of its repositories: %s", app.key, error)
        return
    tell.show(engine, after)


def _told(app: Application) -> set[str]:
    return {one.message for one in app.status.conditions if one.type == REPOSITORY_WARNING}


def _message(why: str) -> str:
    return f"not asked for news: {printable(why)}; what is deployed stays, and it is asked again by itself"
