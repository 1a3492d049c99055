"""What beat asks for: nothing that was lost stays lost."""

from __future__ import annotations

import logging

from mooring.delivery import Stage
from mooring.errors import StoreGarbled
from mooring.names import (
    DEPLOY,
    INTAKE,
    OBSERVER_LEASE,
    RECONCILE,
    SLOW,
    TASK_DELIVER,
    TASK_TREE,
    TASK_TURN,
    WATCHED,
)
from mooring.store.connection import QUEUE
from mooring.store.due import Step
from workers.apps.wishes import standing, turn_of
from workers.engine import Engine

_STRANDED_S = 10.0
_OBSERVED_S = 60  # between two looks at all Applications, where an observer hears of their changes
_log = logging.getLogger(__name__)


def tick(engine: Engine) -> None:
    """Send the steps that are due, the deliveries that never reached a worker, orphaned turns, and a tree
    that is asked for."""
    for step in engine.due.take(engine.clock()):
        engine.send(step)
    try:
        _lost_deliveries(engine)
    except StoreGarbled as error:  # the web tier may write there: it must not stop what follows
        _log.warning("deliveries that were lost are not looked for: %s", error)
        engine.ledger.mend()
    if (app := engine.trees.next()) is not None:
        engine.send(Step(TASK_TREE, (str(app),), SLOW))
    idle = not any(engine.redis.llen(QUEUE + queue) for queue in (DEPLOY, SLOW, RECONCILE))
    for name in engine.turns.orphans(idle=idle):
        engine.send(Step(TASK_TURN, (name,), DEPLOY))


def _lost_deliveries(engine: Engine) -> None:
    now = engine.clock()
    lost = engine.ledger.overdue(now)
    if not engine.redis.llen(QUEUE + INTAKE):  # else those merely wait their turn
        lost += engine.ledger.stranded(now - _STRANDED_S)
    for id in lost:
        engine.send(Step(TASK_DELIVER, (id,), INTAKE))
        try:
            engine.ledger.mark_enqueued(id, Stage("enqueued again", engine.clock(), 0.0))
        except StoreGarbled:
            engine.ledger.discard(id)


def watch(engine: Engine) -> None:
    """Take up what was asked for on the objects themselves, and applications never looked at."""
    # Every two seconds: from the API server's cache, for it is the dearest of all lists. An observer has
    # heard of all of it by then, so this is only to find what it may have missed.
    if engine.redis.exists(OBSERVER_LEASE) and not engine.redis.set(WATCHED, 1, nx=True, ex=_OBSERVED_S):
        return
    for app in engine.applications.recent().apps:
        if wishes := standing(engine.applications, app):
            engine.wake(turn_of(app.key), wishes, standing=True)
