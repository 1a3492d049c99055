"""Celery, set so that nothing is lost or doubled (DESIGN, mechanism 10).

Two applications over one Redis: the intake worker knows a single task, so whatever a broken-into web
tier puts on the one queue it may write to, nothing but "look at delivery N" can come of it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.signals import before_task_publish
from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from mooring.errors import StoreUnavailable
from mooring.names import (
    CONTROL,
    DEPLOY,
    INTAKE,
    LONGEST_TASK_S,
    RECONCILE,
    SENT_AT,
    SLOW,
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
from mooring.repourl import masked
from mooring.store.clock import Clock
from mooring.store.connection import QUEUE, broker_url, connect
from mooring.store.due import Step
from workers import events, transport

_VISIBILITY_S = 900
_LONGEST = 1024  # characters of arguments that events carry, as with Celery itself

# Where a task goes that is sent without a queue, by `celery call` or Flower.
QUEUE_OF = {
    TASK_DELIVER: INTAKE,
    TASK_TURN: DEPLOY,
    TASK_PUSH: DEPLOY,
    TASK_SYNC: DEPLOY,
    TASK_ACTION: DEPLOY,
    TASK_POLL: SLOW,
    TASK_TREE: SLOW,
    TASK_RECONCILE: RECONCILE,
    TASK_MOVED: RECONCILE,
    TASK_CLUSTER: RECONCILE,
    TASK_MAINTAIN: RECONCILE,
    TASK_TICK: CONTROL,
    TASK_WATCH: CONTROL,
}


class Discreet(Celery):  # type: ignore[misc]
    """Celery whose events show arguments without the credentials of the URLs among them, and are told while
    somebody listens; whose tasks expire by `seconds`: the clock that all processes share, and are no other
    application's in the same process."""

    events_cls = f"{events.__name__}:{events.Told.__name__}"
    seconds: Callable[[], float] = staticmethod(time.time)

    def task(self, *args: Any, **options: Any) -> Any:
        return super().task(*args, **{"shared": False, **options})

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        if options.get("argsrepr") is None:
            options["argsrepr"] = _written(args or [])
        if options.get("kwargsrepr") is None:
            options["kwargsrepr"] = _written(kwargs or {})
        if isinstance(within := options.get("expires"), int | float):
            options["expires"] = datetime.fromtimestamp(self.seconds() + within, UTC)
        return super().send_task(name, args, kwargs, **options)


def shown(argument: Any) -> Any:
    """A task's argument, or all of them, as they may be shown: people pass URLs with passwords in them."""
    match argument:
        case str():
            return masked(argument) if "@" in argument or "://" in argument else argument
        case list() | tuple():
            return type(argument)(map(shown, argument))
        case dict():
            return {name: shown(value) for name, value in argument.items()}
    return argument


def _written(arguments: Any) -> str:
    text: str = saferepr(shown(arguments), _LONGEST)
    return text


def make(name: str, redis_url: str) -> Celery:
    """A Celery application on `redis_url`, without tasks."""
    assert LONGEST_TASK_S < _VISIBILITY_S, "a task must be ended before Redis hands it to another worker"
    transport.use()
    app = Discreet(name, broker=broker_url(redis_url), set_as_current=False)
    app.seconds = Clock(connect(redis_url))
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,
        worker_prefetch_multiplier=1,
        task_create_missing_queues=True,
        task_default_queue=DEPLOY,
        task_routes={task: {"queue": queue} for task, queue in QUEUE_OF.items()},
        broker_transport_options={
            "global_keyprefix": QUEUE,
            "visibility_timeout": _VISIBILITY_S,
            "health_check_interval": 30,
            # Else a Redis that has gone without a word is waited for until it comes back, which it may not.
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
        },
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        worker_enable_prefetch_count_reduction=False,  # there is one task at a time
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_enable_remote_control=True,
        timezone="UTC",
    )
    return app


QUEUES = {"intake": (INTAKE,), "deploy": (DEPLOY, CONTROL), "slow": (SLOW,), "reconcile": (RECONCILE,)}


def send(app: Celery, step: Step) -> None:
    """Put `step` on its queue. Raises StoreUnavailable when Redis does not take it.

    The message is that of Celery's `send_task`, put together by its own parts. What that does besides, for a
    task that may have any option and a result, and to declare a queue, which is in Redis with what is on it,
    would be a fifth of what it costs to send one.
    """
    id = str(uuid.uuid4())
    within = app.current_worker_task
    message = app.amqp.create_task_message(
        id,
        step.task,
        step.args,
        argsrepr=step.shown[0] or _written(step.args),
        kwargsrepr=step.shown[1] or "{}",
        root_id=(within.request.root_id or within.request.id) if within else None,
        parent_id=within.request.id if within else None,
        reply_to=app.thread_oid,
        ignore_result=True,
        create_sent_event=app.conf.task_send_sent_event,
    )
    with _refused(), app.producer_or_acquire() as producer:
        app.amqp.send_task_message(producer, step.task, message, queue=step.queue, declare=[])


def ask(app: Celery, task: str, args: Sequence[str], kwargs: Mapping[str, Any], within_s: float) -> str:
    """Send `task` to be begun within so many seconds or not at all; its id. Raises as `send` does."""
    id = str(uuid.uuid4())
    put(app, task, args=args, kwargs=kwargs, queue=QUEUE_OF[task], task_id=id, expires=within_s or None)
    return id


def put(app: Celery, task: str, **options: Any) -> None:
    """Send `task` with these options of Celery's `send_task`. Raises as `send` does."""
    with _refused():
        app.send_task(task, **{"ignore_result": True, **options})


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        raise StoreUnavailable(f"the queue does not take tasks ({type(error).__name__})") from error


@before_task_publish.connect  # type: ignore[untyped-decorator]
def _note_when(headers: dict[str, Any], **_: Any) -> None:
    """Else nobody could tell how long the first task of a queue has waited."""
    headers[SENT_AT] = round(time.time(), 3)
