"""Ends single parts of a control plane, as a machine does that goes down, and starts them again."""

from __future__ import annotations

import threading
import time

from devcluster import process
from devcluster.cluster import Cluster, is_ready
from devcluster.errors import DevclusterError
from devcluster.process import Started

_READY_WITHIN = 120.0  # seconds


def kill(cluster: Cluster, component: str) -> None:
    """Ends a component at once. Nothing that it has acknowledged is lost: the machine itself goes on."""
    running = started(cluster, component).process()
    if running is not None:
        running.kill()
        running.wait(10)


def revive(cluster: Cluster, component: str) -> None:
    """Starts a component that was killed, and waits until the API server is ready. Raises DevclusterError."""
    begin(cluster, component)
    ready(cluster)


def begin(cluster: Cluster, component: str) -> None:
    """Starts a component that was killed; it may take a while to be ready."""
    argv = list(started(cluster, component).argv)
    log = cluster.directory / f"{component}-again.log"
    process.start(argv, log, cwd=cluster.directory).save(cluster.directory / f"{component}.pid")


def ready(cluster: Cluster) -> None:
    """Waits until the API server is ready. Raises DevclusterError when it does not become so."""
    deadline = time.monotonic() + _READY_WITHIN
    pause = threading.Event()
    while not is_ready(cluster):
        if time.monotonic() > deadline:
            raise DevclusterError(f"the API server of {cluster.name} is not ready; see {cluster.directory}")
        pause.wait(0.1)


def started(cluster: Cluster, component: str) -> Started:
    """The record of a component, whether or not it runs."""
    found = Started.load(cluster.directory / f"{component}.pid")
    if found is None:
        raise DevclusterError(f"{cluster.name} has no {component}")
    return found
