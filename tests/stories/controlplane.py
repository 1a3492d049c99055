"""A control plane of a module's own, whose parts a story may stop, freeze and start again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.outage import kill, ready, revive, started

__all__ = ("frozen", "kill", "own_cluster", "ready", "restart", "revive")


@contextmanager
def own_cluster(name: str) -> Iterator[Cluster]:
    """A control plane of that name, which is deleted in the end."""
    name = f"{name}-{os.getpid()}"
    try:
        yield devcluster.start(name, say=print)
    finally:
        devcluster.stop(name, delete=True)


def restart(cluster: Cluster, component: str) -> None:
    """Kills a component as a machine that goes down, and starts it again, as its machine does."""
    kill(cluster, component)
    revive(cluster, component)


@contextmanager
def without(cluster: Cluster, component: str) -> Iterator[None]:
    """Within the block the component is dead."""
    kill(cluster, component)
    try:
        yield
    finally:
        revive(cluster, component)


@contextmanager
def frozen(cluster: Cluster, component: str) -> Iterator[None]:
    """Within the block the component holds still: who has asked it waits."""
    pid = started(cluster, component).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        ready(cluster)
