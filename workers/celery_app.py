"""Celery, set so that nothing is lost or doubled (DESIGN, mechanism 10).

Two applications over one Redis: the intake worker knows a single task, so whatever a broken-into web
tier puts on the one queue it may write to, nothing but "look at delivery N" can come of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from kombu.exceptions import OperationalError

from mooring.errors import StoreUnavailable
from mooring.names import CONTROL, DEPLOY, INTAKE, RECONCILE, SLOW
from mooring.store.connection import QUEUE, broker_url
from mooring.store.due import Step
from workers import transport

_VISIBILITY_S = 900
_HARD_LIMIT_S = 600
_IMPORTED_BY = os.getpid()


def make(name: str, redis_url: str) -> Celery:
    """A Celery application on `redis_url`, without tasks."""
    assert _HARD_LIMIT_S < _VISIBILITY_S, "a task must be ended before Redis hands it to another worker"
    transport.use()
    app = Celery(name, broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,
        worker_prefetch_multiplier=1,
        task_time_limit=_HARD_LIMIT_S,
        task_create_missing_queues=True,
        task_default_queue=DEPLOY,
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
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_enable_remote_control=True,
        timezone="UTC",
    )
    return app


QUEUES = {"intake": (INTAKE,), "deploy": (DEPLOY, CONTROL), "slow": (SLOW,), "reconcile": (RECONCILE,)}


def send(app: Celery, step: Step) -> None:
    """Put `step` on its queue. Raises StoreUnavailable when Redis does not take it."""
    try:
        app.send_task(step.task, args=list(step.args), queue=step.queue, ignore_result=True)
    except (OperationalError, OSError) as error:
        raise StoreUnavailable(f"the queue does not take tasks ({type(error).__name__})") from error


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _die_with_parent(**_: Any) -> None:
    """A pool process whose worker was killed must not go on: its lease would be kept alive."""
    if os.getpid() == _IMPORTED_BY:
        return  # a worker without a pool: its parent may well end before it
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
