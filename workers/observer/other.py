"""A cluster besides the home cluster: observed by a thread of its own, while its Secret stays as it is."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from threading import Event, Thread
from typing import Final

from mooring.errors import MooringError
from mooring.keys import AppKey
from mooring.model.application import Application
from workers.clusters.link import Reached, opened
from workers.clusters.secret import ClusterSecret
from workers.health import Judge
from workers.observer.site import TURNS_S, Site, Wakers, woken

_log = logging.getLogger(__name__)
_AWAY_S: Final = 5.0  # until a cluster that is away is asked again
_BEGUN_AGAIN_S: Final = 300.0  # what cannot be: its Secret may say another thing by then, or a program do


class Other:
    """The cluster of `secret`. `ready` is called, by its thread, once applications are to be told.

    What it asks of a cluster that is away it tells nobody: whoever works there finds that out for himself.
    """

    def __init__(
        self,
        secret: ClusterSecret,
        programs: Collection[str],
        namespace: str,
        wakers: Wakers,
        judge: Callable[[], Judge],
        ready: Callable[[], None],
    ) -> None:
        self._secret = secret
        self._programs = programs
        self._namespace = namespace
        self._wakers = wakers
        self._judge = judge
        self._ready = ready
        self._ends = Event()
        self._site: Site | None = None
        Thread(target=self._run, daemon=True, name=f"cluster {secret.title}").start()

    def is_as(self, secret: ClusterSecret | None) -> bool:
        """Whether `secret` says of it what it is observed by."""
        return secret is not None and _observed(secret) == _observed(self._secret)

    def tell(self, key: AppKey, app: Application | None) -> None:
        """As `Site.tell`. Until it is ready nothing is kept of that."""
        if site := self._site:
            site.tell(key, app)

    def end(self) -> None:
        """Observe it no longer. Does not wait for that."""
        self._ends.set()

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._open()
            except Exception as error:  # of one cluster, which is looked at by time then
                name = type(error).__name__
                _log.warning("cluster %s is not observed: please report this (%s)", self._secret.title, name)
            self._ends.wait(_BEGUN_AGAIN_S)

    def _open(self) -> None:
        try:
            reached = opened(self._secret, self._programs, lambda _of, _why: _AWAY_S)
        except MooringError as error:  # its apps say so, too
            _log.debug("%s", error)
            return
        with contextlib.closing(reached):
            self._observe(reached)

    def _observe(self, reached: Reached) -> None:
        site = Site(
            reached.api,
            self._namespace,
            self._wakers,
            self._judge,
            self._secret.title,
            cluster_resources=self._secret.cluster_resources or not self._secret.namespaces,
        )
        try:
            self._site = site
            self._ready()
            while not self._ends.is_set():
                site.hear()
                if not woken(site):
                    time.sleep(TURNS_S)
        finally:
            self._site = None
            site.end()


def _observed(secret: ClusterSecret) -> ClusterSecret:
    """What of it makes a difference here."""
    return replace(secret, version="", labels={}, annotations={}, project="", shard=None)
