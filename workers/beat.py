"""Celery beat under a lease: any number may be started, one at a time sends."""

from __future__ import annotations

import logging
import os
import sys
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, SchedulingError, Service
from prometheus_client import REGISTRY

from mooring import exporter, logs
from mooring.errors import MooringError
from mooring.loop import Loop
from mooring.names import (
    BEAT_LEASE,
    CONTROL,
    DUE,
    RECONCILE,
    SLOW,
    TASK_MAINTAIN,
    TASK_POLL,
    TASK_RECONCILE,
    TASK_TICK,
    TASK_WATCH,
)
from mooring.settings import Settings
from mooring.store.connection import connect
from workers.celery_app import make, put
from workers.gauges import Installation
from workers.lease import hold

BEAT = "beat"
_TICK_S = 1.0
_WATCH_S = 2.0
_POLL_PARTS = 10  # each repository has its time within an interval
_MAINTAIN_S = 86_400.0
_SETTLED_S = 300.0  # after a start there is more urgent work than upkeep


_log = logging.getLogger("mooring")
_loop = Loop(BEAT, exporter.STUCK_AFTER_S)


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """What is sent how often. A message that nobody took in time expires: the next one does its work."""

    def entry(task: str, every: float, queue: str, *args: str) -> dict[str, Any]:
        return {
            "task": task,
            "schedule": timedelta(seconds=every),
            "args": list(args),
            "options": {"queue": queue, "expires": max(every * 3, 5.0), "ignore_result": True},
        }

    return {
        "tick": entry(TASK_TICK, _TICK_S, CONTROL),
        "watch": entry(TASK_WATCH, _WATCH_S, CONTROL),
        "reconcile": entry(TASK_RECONCILE, settings.reconcile_s, RECONCILE, "", "reconcile"),
        "poll": entry(TASK_POLL, max(settings.poll_s / _POLL_PARTS, _TICK_S), SLOW, DUE),
        "maintain": entry(TASK_MAINTAIN, _MAINTAIN_S, RECONCILE),
    }


def main() -> None:
    """Wait for the lease, then send until the process is ended or the lease is lost."""
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings.log_format, BEAT)
        logging.getLogger("celery.beat").setLevel(logging.WARNING)  # it says every second what it sends
        if settings.metrics_address:
            exporter.serve(exporter.address(settings.metrics_address), REGISTRY, _loop.unwell)
        client = connect(settings.redis_url)
        hold(client, BEAT_LEASE, BEAT, _loop.turned)
    except MooringError as error:
        sys.exit(f"mooring beat: {error}")
    if settings.metrics_address:
        REGISTRY.register(Installation(client))
    app: Celery = make("mooring-beat", settings.redis_url)
    app.conf.task_send_sent_event = False  # most of it is ticks; what matters is seen once a worker has it
    app.conf.beat_schedule = schedule(settings)
    try:
        _catch_up(app)
    except MooringError as error:
        sys.exit(f"mooring beat: {error}")
    Service(app, max_interval=_TICK_S, scheduler_cls=_Lively).start()


def _catch_up(app: Celery) -> None:
    """What was lost while nobody sent is looked for at once, and everywhere."""
    for name, args in (("poll", []), ("reconcile", app.conf.beat_schedule["reconcile"]["args"])):
        found = app.conf.beat_schedule[name]
        put(app, found["task"], args=args, **found["options"])
    found = app.conf.beat_schedule["maintain"]  # beat may not run a whole day
    put(app, found["task"], countdown=_SETTLED_S, **found["options"])


class _Lively(Scheduler):  # type: ignore[misc]
    """Says that beat's loop turns, and in a line that nothing can be sent, or can again. Celery says so each
    second with the lines of all that was called, and keeps what it has read of its sources for that."""

    _fails = False

    def tick(self, *args: Any, **options: Any) -> Any:
        _loop.turned()
        return super().tick(*args, **options)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not self._fails:
                _log.error("%s; it is sent again when it is due", str(error).rstrip("."))
            self._fails = True
        else:
            if self._fails:
                _log.info("what is due is sent again")
            self._fails = False


if __name__ == "__main__":
    main()
