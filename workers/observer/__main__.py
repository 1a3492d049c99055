"""The observer's process, under a lease: any number may run, one at a time acts."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY

from mooring import exporter, logs
from mooring.errors import ClusterUnavailable, MooringError
from mooring.garbage import settle
from mooring.heaps import frugal
from mooring.loop import Loop
from mooring.metrics import PULSE_EVERY_S
from mooring.names import OBSERVER_LEASE
from mooring.settings import Settings
from mooring.store.clock import Clock
from mooring.store.connection import connect
from mooring.store.ours import Ours
from mooring.store.proofs import Proofs
from mooring.store.turns import Turns
from workers.apps.directory import DirectoryApplications
from workers.apps.home import HomeApplications
from workers.apps.store import Applications
from workers.celery_app import make, send
from workers.cluster.api import Api
from workers.cluster.connect import connect as connect_cluster
from workers.clusters.exec import allowed
from workers.health.custom import Judges
from workers.installation import ensure
from workers.lease import hold
from workers.observer.observer import Observer
from workers.observer.site import Wakers
from workers.scripts.sandbox import Sandbox

OBSERVER: Final = "observer"


_loop = Loop(OBSERVER, exporter.WORKS_IN_ITS_LOOP_S)


def main() -> None:
    """Wait for the lease, then watch until the process is ended or the lease is lost."""
    frugal()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings.log_format, OBSERVER)
        if settings.metrics_address:
            exporter.serve(exporter.address(settings.metrics_address), REGISTRY, _loop.unwell)
        client = connect(settings.redis_url)
        hold(client, OBSERVER_LEASE, OBSERVER, _loop.turned)
        api = _reach(settings)
        app = make("mooring-observer", settings.redis_url)
        turns = Turns(client, Clock(client), settings.lease_s)
        applications = _applications(settings, api)
        judges = Judges(applications.config, Sandbox(settings))
        wakers = Wakers(
            turns, lambda step: send(app, step), Proofs(client), Ours(client), settings.reconcile_s
        )
        programs = allowed(settings.cluster_exec)
        observer = Observer(api, applications, settings.namespace, wakers, judges, programs)
        settle()
        observer.run(_loop.turned)
    except MooringError as error:
        sys.exit(f"mooring observer: {error}")


def _reach(settings: Settings) -> Api:
    """The cluster, however long it does not answer: a start of its own would only be put off."""
    while True:
        try:
            return connect_cluster(settings.kubeconfig or None, settings.context or None).api()
        except ClusterUnavailable:
            _loop.turned()
            time.sleep(PULSE_EVERY_S)


def _applications(settings: Settings, api: Api) -> Applications:
    """As the engine has them; only for those of files it has to know who we are."""
    if settings.apps_dir:
        found = ensure(api, settings.namespace)
        return DirectoryApplications(Path(settings.apps_dir), api, settings.namespace, found)
    return HomeApplications(api, settings.namespace)


if __name__ == "__main__":
    main()
