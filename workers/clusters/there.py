"""Has the work on an app done in the cluster that its destination names.

Whoever works on an app gets an engine of its own, whose `api`, and all that goes with it, is of that cluster.
So the stages between know of one cluster only. Applications, kept renders and projects stay at home.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from mooring.errors import ClusterUnavailable
from mooring.keys import ClusterRef
from mooring.model.application import Application
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.store.due import Step
from workers.clusters.link import Reached
from workers.engine import Engine

_log = logging.getLogger(__name__)
BACK: Final = "cluster"  # why apps are looked at
_A_SECOND: Final = 4  # of its apps are woken where a cluster is back: other work of the pool goes between


def there(engine: Engine, app: Application) -> Engine:
    """`engine` for the work on `app`. Raises Refused (InvalidSpecError) for a cluster that nobody knows or
    whose Secret cannot be used, ClusterUnavailable for one that does not answer, and as reading Secrets
    does."""
    reached = engine.clusters.reach(app.spec.destination)
    return _at_home(engine) if reached is None else _with(engine, reached)


def reached(app: Application) -> tuple[tuple[str], tuple[str]]:
    """What to tell whoever asks which clusters there are, where that of `app` was just found."""
    return (app.spec.destination.server,), (app.spec.destination.name,)


def elsewhere(engine: Engine) -> Iterator[Engine | None]:
    """For each cluster besides the home cluster `engine` for the work there; None for one that cannot be
    asked now, or whose Secret does not tell which it is. Raises as reading Secrets does."""
    if not engine.clusters.all_told():
        yield None
    for one in engine.clusters.others():
        try:
            yield _with(engine, engine.clusters.open(one))
        except ClusterUnavailable as error:
            _log.debug("cluster %s is left out: %s", one.title, error)
            yield None


def ask(engine: Engine, url: str) -> None:
    """Ask the cluster of this URL whether it is back; once it is, have all of its apps looked at, one after
    the other, where no push waits for them. Where it is not, whoever found that out has this done again.
    Raises as reading Secrets and Redis do."""
    ref = ClusterRef(url)
    known = next((one for one in engine.clusters.others() if one.server == ref), None)
    if known is None:
        engine.clusters.forget(ref)
        return
    try:
        engine.clusters.ask(known)
    except ClusterUnavailable as error:
        _log.debug("%s", error)
        engine.clusters.ask_again(ref, error.after)
        return
    apps = [
        app for app in engine.applications.list().apps if engine.clusters.ref(app.spec.destination) == ref
    ]
    now = engine.clock()
    for number, app in enumerate(apps):
        # A wish comes with the step, at its time: one that waits would have others taken for served by it.
        step = Step(TASK_RECONCILE, (str(app.key), BACK), RECONCILE)
        engine.due.put(step, now + number / _A_SECOND, or_sooner=True)


def _with(engine: Engine, reached: Reached) -> Engine:
    return replace(
        engine, api=reached.api, own=reached.api, schemas=reached.schemas, executor=reached.executor
    )


def _at_home(engine: Engine) -> Engine:
    """A Secret may say that a part of the home cluster is all that there is to it."""
    said = engine.clusters.home()
    if said is None or not said.namespaces:
        return engine
    api = replace(engine.own, namespaces=said.namespaces)
    return replace(engine, api=api, own=api)
