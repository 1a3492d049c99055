"""The worker of benchmarks/intake.py: a real Celery worker, set as ours is, that only closes deliveries.

What a delivery costs beyond being taken off the queue is what benchmarks/push.py measures.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

from celery.signals import worker_ready

from mooring.delivery import Stage
from mooring.names import INTAKE, TASK_DELIVER
from mooring.store.connection import broker_url, connect
from mooring.store.ledger import Ledger
from workers import celery_app

_URL = os.environ["MOORING_REDIS_URL"]
_LEASE_S = 5.0

app = celery_app.make("mooring-benchmark", broker_url(_URL))
_ledger = Ledger(connect(_URL), keep_finished=200_000)


@app.task(name=TASK_DELIVER)  # type: ignore[untyped-decorator]
def deliver(id: str) -> None:
    """Take the delivery, note one stage, close it."""
    began = time.time()
    if _ledger.begin(id, f"{socket.gethostname()}:{os.getpid()}", _LEASE_S):
        _ledger.stage(id, Stage("drained", began, (time.time() - began) * 1000))
        _ledger.finish(id, True, "drained")


@worker_ready.connect  # type: ignore[untyped-decorator]
def enqueue_again(**_: Any) -> None:
    """Once a second, as beat does: deliveries that were never enqueued, or whose worker died."""

    def loop() -> None:
        pause = threading.Event()
        while not pause.wait(1):
            try:
                for id in _ledger.overdue(time.time()):
                    app.send_task(TASK_DELIVER, args=[id], queue=INTAKE)
                    _ledger.mark_enqueued(id)
            except Exception as error:  # Redis is being restarted
                print(f"not enqueued again: {error}", flush=True)

    threading.Thread(target=loop, daemon=True).start()
