"""A control plane of a module's own, whose parts a story may stop, freeze and start again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster import cluster as devcluster
from devcluster import process
from devcluster.cluster import Cluster
from devcluster.process import Started
from tests.stories.ship import until


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


def kill(cluster: Cluster, component: str) -> None:
    running = _started(cluster, component).process()
    assert running is not None
    running.kill()
    running.wait(10)


def revive(cluster: Cluster, component: str) -> None:
    """Starts a component that was killed, and waits until the API server is ready."""
    argv = list(_started(cluster, component).argv)
    log = cluster.directory / f"{component}-again.log"
    process.start(argv, log, cwd=cluster.directory).save(cluster.directory / f"{component}.pid")
    ready(cluster)


@contextmanager
def frozen(cluster: Cluster, component: str) -> Iterator[None]:
    """Within the block the component holds still: who has asked it waits."""
    pid = _started(cluster, component).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        ready(cluster)


def ready(cluster: Cluster) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError):
            return bool(devcluster.ask(cluster, "/readyz") == b"ok")
        return False

    until("the API server to be ready", answers)


def _started(cluster: Cluster, component: str) -> Started:
    found = Started.load(cluster.directory / f"{component}.pid")
    assert found is not None
    return found
