"""The Celery tasks: three-line views over the pipeline (decode, call, encode).

However they are triggered (webhook, beat, CLI, `celery call`, Flower), arguments are untrusted text. Every
exception becomes a recorded outcome or a due step; what is left over is logged and found again by beat.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from functools import partial, wraps
from inspect import signature
from typing import Any

from celery import Celery, current_task

from mooring import logs
from mooring.errors import MooringError
from mooring.names import (
    TASK_ACTION,
    TASK_CLUSTER,
    TASK_DELIVER,
    TASK_MAINTAIN,
    TASK_MOVED,
    TASK_POLL,
    TASK_PUSH,
    TASK_RECONCILE,
    TASK_SYNC,
    TASK_TICK,
    TASK_TREE,
    TASK_TURN,
    TASK_WATCH,
)
from workers import branches, follow, mirrors, pipeline, upkeep
from workers import poll as polling
from workers.actions import run as actions
from workers.celery_app import shown
from workers.clusters import there
from workers.engine import Engine
from workers.threads import apart, leave

log = logging.getLogger("mooring")
Run = Callable[..., None]
# A worker without a pool has none of Celery's time limits. All that a delivery waits for has a time-out of
# its own, far below this; should it hang all the same, the kernel ends the worker, whatever it hangs in, and
# who is started in its place finds the delivery.
HUNG_S = 120
ASKED_S = 1.0  # how long a process waits for a cluster that is asked whether it is back


def intake_tasks(app: Celery, engine: Callable[[], Engine]) -> None:
    """The one task that the web tier may ask for."""

    # The ledger tells how each went; events would be a third of what a delivery costs Celery.
    @app.task(name=TASK_DELIVER, send_events=False)  # type: ignore[untyped-decorator]
    @_recorded
    def deliver(id: str) -> None:
        signal.alarm(HUNG_S)
        try:
            pipeline.deliver(engine(), str(id))
        finally:
            signal.alarm(0)


def engine_tasks(app: Celery, engine: Callable[[], Engine]) -> None:
    """All others."""

    @app.task(name=TASK_TURN)  # type: ignore[untyped-decorator]
    @_recorded
    def turn(name: str) -> None:
        pipeline.work(engine(), str(name))

    @app.task(name=TASK_PUSH)  # type: ignore[untyped-decorator]
    @_recorded
    def push(repo: str, revision: str = "HEAD") -> None:
        pipeline.push(engine(), str(repo), str(revision))

    @app.task(name=TASK_SYNC)  # type: ignore[untyped-decorator]
    @_recorded
    def sync(name: str) -> None:
        pipeline.sync(engine(), str(name))

    # Once for each task, which Celery hands out again when its worker has died.
    @app.task(name=TASK_ACTION)  # type: ignore[untyped-decorator]
    @_recorded
    def action(name: str, action: str, **arguments: Any) -> None:
        actions.run(engine(), str(current_task.request.id), str(name), action, arguments)

    @app.task(name=TASK_RECONCILE)  # type: ignore[untyped-decorator]
    @_recorded
    def reconcile(name: str = "", why: str = "reconcile") -> None:
        pipeline.reconcile(engine(), str(name), str(why))

    @app.task(name=TASK_MOVED)  # type: ignore[untyped-decorator]
    @_recorded
    def moved(name: str) -> None:
        follow.moved(engine(), str(name))

    @app.task(name=TASK_CLUSTER)  # type: ignore[untyped-decorator]
    @_recorded
    def cluster(url: str) -> None:
        # One that does not answer takes its time, which others have use for.
        leave([apart(partial(there.ask, engine(), str(url)))], ASKED_S)

    @app.task(name=TASK_TREE)  # type: ignore[untyped-decorator]
    @_recorded
    def tree(name: str) -> None:
        branches.show(engine(), str(name))

    # Every second or two, mostly for nothing: in Flower nobody would see the others for them.
    @app.task(name=TASK_TICK, send_events=False)  # type: ignore[untyped-decorator]
    @_recorded
    def tick() -> None:
        upkeep.tick(engine())

    @app.task(name=TASK_POLL)  # type: ignore[untyped-decorator]
    @_recorded
    def poll(which: str = "") -> None:
        polling.poll(engine(), str(which))

    @app.task(name=TASK_MAINTAIN)  # type: ignore[untyped-decorator]
    @_recorded
    def maintain() -> None:
        mirrors.maintain(engine().applications, engine().settings)

    @app.task(name=TASK_WATCH, send_events=False)  # type: ignore[untyped-decorator]
    @_recorded
    def watch() -> None:
        upkeep.watch(engine())


def _recorded(run: Run) -> Run:
    """`run` without exceptions: Celery would log their arguments, and cannot know what to do about them."""

    arguments = signature(run)

    @wraps(run)
    def recorded(*args: Any, **kwargs: Any) -> None:
        told = f"{run.__name__}{shown(args)}"[:200]  # whoever sends a task chooses how long its arguments are
        try:
            arguments.bind(*args, **kwargs)
        except TypeError as error:
            log.warning("%s: %s", told, error)
            return
        try:
            run(*args, **kwargs)
        except MooringError as error:
            with logs.of(error):
                log.warning("%s: %s", told, error)
        except Exception as error:
            with logs.of(error):
                log.exception("%s failed; beat takes it up again", told)

    return recorded
