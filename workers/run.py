"""One Celery worker: `python -m workers.run intake|deploy|slow|reconcile`.

Four of them, so that a slow Git host or a long reconciliation never occupies the processes that deploy,
and so that what the web tier may put on a queue meets a worker that knows a single task.
"""

from __future__ import annotations

import os
import sys

from workers.confine.launch import give_way
from workers.family import Size, Tell, keep

# Each process of a pool is a worker to Celery: of a pool of Celery's own, the consumer would be one more.
# Intake is a single one, without a parent. What others would wait for has a second one while it is needed: a
# push that touches many applications, a host or a render that is slow.
POOLS = {
    "intake": Size(),
    "deploy": Size(most=2, busy_s=0.5),
    "slow": Size(most=2, busy_s=1.0),
    "reconcile": Size(),
}

# How far they give way to others where processors are short. A host's answer comes first, and drains stop
# nobody: what waits is done in bulk. A push that is under way gives way to nothing. A source that loops has a
# tenth of what it has.
_NICE = {"intake": 5, "slow": 10, "reconcile": 5}


def main(pool: str) -> None:
    """Run the worker of `pool` until SIGTERM. Exits with 1 and one line when it cannot start."""
    os.nice(_NICE.get(pool, 0))
    give_way()
    if pool == "intake":
        _work(pool)
    else:
        keep(POOLS[pool], lambda: _prepare(pool), lambda number, busy: _work(pool, number, busy))


# What they need is read by those that do it: the parent would have it in memory for nothing.
def _prepare(pool: str) -> None:
    from workers import worker

    worker.prepare(pool)


def _work(pool: str, number: int = 1, busy: Tell | None = None) -> None:
    from workers import worker

    worker.work(pool, number, busy)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in POOLS:
        sys.exit(f"usage: python -m workers.run {'|'.join(POOLS)}")
    main(sys.argv[1])
