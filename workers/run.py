"""One Celery worker: `python -m workers.run intake|deploy|slow|reconcile`.

Four of them, so that a slow Git host or a long reconciliation never occupies the processes that deploy,
and so that what the web tier may put on a queue meets a worker that knows a single task.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from celery.worker.request import Request

from mooring.errors import MooringError
from mooring.settings import Settings
from workers.celery_app import QUEUES, make, send
from workers.engine import Engine, start
from workers.tasks import engine_tasks, intake_tasks

# Processes of each pool. Intake runs in one process without a pool: its tasks are short, and a pool's
# hop would cost more than they do.
_PROCESSES = {"deploy": 2, "slow": 2, "reconcile": 1}
# Seconds that a Git host may hold up a process that deploys.
_PATIENCE_S = 2.0


class Bare(Request):  # type: ignore[misc]
    """A request that may not bring further tasks with it.

    Celery messages can carry callbacks, chains and chords, which a worker then sends by itself: on a
    queue that the web tier writes to, that would be a way to run any task with any argument.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        body = self._payload
        embedded = body[2] if isinstance(body, (list, tuple)) and len(body) > 2 else {}
        for name in ("callbacks", "errbacks", "chain", "chord"):
            if isinstance(embedded, dict) and embedded.get(name):
                raise ValueError(f"a delivery that brings {name} is not taken")
        for name in ("callbacks", "errbacks", "chain", "chord", "group", "reply_to"):
            self._request_dict[name] = None


def build(pool: str, settings: Settings) -> tuple[Celery, Callable[[], Engine]]:
    """The Celery application of `pool` with its tasks, and its engine, which is started on first use."""
    app = make(f"mooring-{pool}", settings.redis_url)
    running: list[Engine] = []
    patience = min(_PATIENCE_S, settings.git_timeout_s) if pool == "deploy" else settings.git_timeout_s

    def engine() -> Engine:
        if not running:
            running.append(start(settings, lambda step: send(app, step), patience))
        return running[0]

    if pool == "intake":
        app.Task.Request = Bare
        intake_tasks(app, engine)
    else:
        engine_tasks(app, engine)
    return app, engine


def main(pool: str) -> None:
    """Run the worker of `pool` until SIGTERM. Exits with 1 and one line when it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = Settings.from_env(os.environ)
    app, engine = build(pool, settings)
    try:
        if pool == "intake":
            engine()
        else:
            start(settings, lambda _: None).executor.shutdown()  # refuse to start before the pool forks
    except MooringError as error:
        sys.exit(f"mooring {pool}: {error}")

    @worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
    def warm(**_: Any) -> None:
        engine()

    kind = ["--pool=solo"] if pool == "intake" else [f"--concurrency={_PROCESSES[pool]}"]
    queues, name = f"--queues={','.join(QUEUES[pool])}", f"--hostname={pool}@%h"
    app.worker_main(
        ["worker", queues, name, "--loglevel=INFO", "--without-mingle", "--without-gossip", *kind]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in QUEUES:
        sys.exit(f"usage: python -m workers.run {'|'.join(QUEUES)}")
    main(sys.argv[1])
