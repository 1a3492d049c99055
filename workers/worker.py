"""A process that takes tasks from a pool's queues, as workers/run.py starts them: one task at a time."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from socket import gethostname
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_tasks

from mooring import logs
from mooring.errors import MooringError
from mooring.garbage import settle
from mooring.heaps import frugal, trim
from mooring.metrics import PULSE_EVERY_S, pulse
from mooring.names import LONGEST_TASK_S, TASK_DELIVER
from mooring.settings import Settings
from mooring.store.due import Step
from workers import follow, transport
from workers.about import completed
from workers.celery_app import QUEUES, make, send
from workers.confine.mode import ADVICE, mode
from workers.confine.scratch import sweep
from workers.engine import Engine, start
from workers.family import Tell
from workers.tasks import engine_tasks, intake_tasks

log = logging.getLogger("mooring")
# Seconds until one of them takes tasks, at most: an API server that hangs is waited for.
_BEGINS_WITHIN_S = 120.0
_TRIMS_EVERY_S = 10.0  # gives memory back
# Seconds that a Git host, or a render, may hold up a process that deploys.
_PATIENCE_S = 2.0


# What a message can bring besides its own task, which a worker then sends by itself.
_FURTHER = ("callbacks", "errbacks", "chain", "chord")


class Lively(Consumer):  # type: ignore[misc]
    """A consumer that says that its loop turns, also while it waits for a Redis that is away: it lives, and
    to end it would bring nothing back."""

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        pool = _pool(self)
        pulse(pool)
        transport.give_back(self.connection.default_channel)
        # Ended with the connection, as all timers that are registered here are.
        hub.call_repeatedly(PULSE_EVERY_S, pulse, pool)
        hub.call_repeatedly(_TRIMS_EVERY_S, trim)

    def ensure_connected(self, conn: Any) -> Any:
        ensure, pool = conn.ensure_connection, _pool(self)

        def lively(*args: Any, callback: Callable[[], None], **options: Any) -> Any:
            def waiting() -> None:
                pulse(pool)
                callback()

            return ensure(*args, callback=waiting, **options)

        conn.ensure_connection = lively
        return super().ensure_connected(conn)


def _pool(consumer: Consumer) -> str:
    return str(consumer.hostname).partition("@")[0]


class Gate(Lively):
    """A consumer that takes nothing but plain deliveries, whatever the queue holds.

    Celery itself registers tasks in every worker that send any other task (`celery.group`,
    `celery.chord_unlock`), and a message that it cannot read ends the worker, which gives it back to the
    queue: one such message would stop the intake for good.
    """

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **options)

        def checked(message: Any) -> None:
            if _plain(message):
                handle(message)
            else:
                log.warning("dropped a message that is no plain delivery")
                message.reject_log_error(log, self.connection_errors)

        return checked


def _plain(message: Any) -> bool:
    try:
        _, _, embedded = message.payload
        headers = message.headers
        return (
            headers["task"] == TASK_DELIVER
            and isinstance(headers["id"], str)
            and not any(embedded.get(name) for name in _FURTHER)
        )
    except Exception:  # nobody knows what is in there
        return False


class Timely(Request):  # type: ignore[misc]
    """A task as a worker has it. It has expired when it has by the clock by which it was sent: by its own, a
    worker some seconds ahead would do nothing of what beat asks for."""

    def maybe_expire(self) -> bool | None:
        if self.expires and self.expires.timestamp() < self.app.seconds():
            revoked_tasks.add(self.id)
            return True
        return None


class Bare(Timely):
    """A request whose headers bring no further tasks either."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        for name in (*_FURTHER, "group", "reply_to"):
            self._request_dict[name] = None


def gated(app: Celery) -> Celery:
    """`app` with workers that take plain deliveries only: for the queue that the web tier writes to."""
    app.Task.Request = Bare
    app.conf.worker_consumer = Gate
    return app


def build(pool: str, settings: Settings) -> tuple[Celery, Callable[[], Engine]]:
    """The Celery application of `pool` with its tasks, and its engine, which is started on first use."""
    app = make(f"mooring-{pool}", settings.redis_url)
    running: list[Engine] = []
    patience = _PATIENCE_S if pool == "deploy" else 0.0

    def engine() -> Engine:
        if not running:
            running.append(start(settings, tell, patience))
        return running[0]

    def tell(step: Step) -> None:
        send(app, completed(step, engine().turns, lambda turn: follow.moving(engine(), turn)))

    app.conf.worker_consumer = Lively
    app.Task.Request = Timely
    if pool == "intake":
        intake_tasks(gated(app), engine)
    else:
        engine_tasks(app, engine)
    return app, engine


def work(pool: str, number: int = 1, busy: Tell | None = None) -> None:
    """Be process `number` of the pool. It takes one task at a time, and says when it does."""
    settings = _set_up(pool)
    app, engine = build(pool, settings)
    if busy:
        pulse(pool, _BEGINS_WITHIN_S)
        _bound(pool, busy)
    try:
        engine()
    except MooringError as error:
        if pool == "intake":
            sys.exit(f"mooring {pool}: {error}")
        # The API server is away just now: no reason not to wait for tasks.
        log.warning("not ready in advance, the first task tries again: %s", error)
    settle()
    serve(app, QUEUES[pool], pool, number)


def serve(app: Celery, queues: Sequence[str], pool: str, number: int = 1) -> None:
    """Be a worker of Celery's until SIGTERM. Its command line would be 10 MB of what the terminal needs."""
    host = gethostname() + (f"-{number}" if number > 1 else "")
    worker = app.Worker(
        hostname=f"{pool}@{host}",
        pool_cls="solo",
        concurrency=1,
        loglevel="INFO",
        queues=queues,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


def _set_up(pool: str) -> Settings:
    frugal()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings.log_format, pool)
    except MooringError as error:
        sys.exit(f"mooring {pool}: {error}")
    for noisy in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("celery.worker.request").addFilter(_in_a_line)
    logging.getLogger("py.warnings").addFilter(_is_news)
    setup_logging.connect(_set_up_already, weak=False)
    return settings


def _in_a_line(record: logging.LogRecord) -> bool:
    """Not where in our code: a task whose end Redis is not there to be told of is done again."""
    if record.msg.startswith(("Couldn't ack", "Couldn't reject")):
        record.exc_info = None
    return True


def _is_news(record: logging.LogRecord) -> bool:
    """What another version may do with tasks at work when Redis goes away, each time that it does, is not."""
    return "In Celery 5.1 we introduced an optional breaking change" not in record.getMessage()


def _bound(pool: str, busy: Tell) -> None:
    """Have the kernel end this process when a task takes too long, whatever it hangs in: Celery itself limits
    tasks in pools of its own only. Until then the process counts as living, though its loop stands still."""

    @task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
    def begins(**_: Any) -> None:
        signal.alarm(LONGEST_TASK_S)
        busy(True)
        pulse(pool, LONGEST_TASK_S)

    @task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
    def is_over(**_: Any) -> None:
        signal.alarm(0)
        busy(False)
        pulse(pool)


def prepare(pool: str) -> None:
    """Refuse to start before there are processes that would; say what holds the tools that render here, and
    remove what those of killed workers left."""
    settings = _set_up(pool)
    here = mode()
    if here.strong:
        log.info("tools that render run under %s", here)
    elif settings.render_unconfined:
        log.warning("tools that render run unconfined: there is %s", here)
    else:
        log.warning("no tool that renders is run: there is %s; %s", here, ADVICE)
    try:
        if swept := sweep(settings.state_directory()):
            log.info("removed %d directories of renders that were interrupted", swept)
        start(settings, lambda _: None).executor.shutdown()
    except MooringError as error:
        sys.exit(f"mooring {pool}: {error}")


def _set_up_already(**_: Any) -> None:
    """Who listens to this signal of Celery's keeps it from setting up logging its own way."""
