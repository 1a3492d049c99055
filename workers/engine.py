"""What every stage works with, connected once per worker process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import redis

from mooring.keys import ClusterRef
from mooring.names import DEPLOY, RECONCILE, TASK_CLUSTER, TASK_TURN
from mooring.settings import Settings
from mooring.store.archives import Archives
from mooring.store.clock import Clock
from mooring.store.connection import connect as connect_redis
from mooring.store.connections import Connections
from mooring.store.drifts import Drifts
from mooring.store.due import DueSteps, Step
from mooring.store.ledger import Ledger
from mooring.store.orphans import Orphans
from mooring.store.ours import Ours
from mooring.store.outcomes import Outcomes
from mooring.store.outstanding import Outstanding
from mooring.store.proofs import Proofs
from mooring.store.shared import Shared
from mooring.store.trees import Trees
from mooring.store.turns import Turns
from mooring.store.views import Views
from mooring.store.waiters import Waiters
from workers.actions.catalogue import Actions
from workers.answers import Answers
from workers.apps.directory import DirectoryApplications
from workers.apps.home import HomeApplications
from workers.apps.store import Applications
from workers.bundles import Bundles
from workers.cluster.api import Api
from workers.cluster.connect import connect as connect_cluster
from workers.clusters.exec import allowed
from workers.clusters.registry import Clusters
from workers.health.custom import Judges
from workers.installation import Installation, ensure
from workers.render.cache import Cache
from workers.schema.openapi import Schemas
from workers.scripts.sandbox import Sandbox
from workers.threads import Threads

# Enough for the objects of one kind-order group; the API server queues what is more.
_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Engine:
    """Connections and stores. `send` puts a task on its queue; `clock` gives seconds since the epoch,
    the same in all processes.

    `api` is for what an app asks for, perhaps in another's name (workers/impersonation.py); `own` writes in
    Mooring's: inventories, and what is nobody's any more. Both are of the home cluster; for the work on
    an app of another one, of that (workers/clusters/there.py), as are `schemas` and `executor`.
    """

    settings: Settings
    send: Callable[[Step], None]
    redis: redis.Redis
    ledger: Ledger
    turns: Turns
    due: DueSteps
    outstanding: Outstanding
    proofs: Proofs
    drifts: Drifts
    views: Views
    shared: Shared
    orphans: Orphans
    trees: Trees
    archives: Archives
    waiters: Waiters
    api: Api
    own: Api
    clusters: Clusters
    applications: Applications
    installation: Installation
    executor: Executor
    mirrors: Path
    worker: str
    renders: Cache
    bundles: Bundles
    schemas: Schemas
    answers: Answers
    judges: Judges
    actions: Actions
    outcomes: Outcomes
    git_patience_s: float  # how long this process waits for a Git host
    render_patience_s: float  # and for a render, before that goes on elsewhere; 0: until its end
    clock: Callable[[], float]

    def wake(self, turn: str, wishes: Mapping[str, str], *, standing: bool = False) -> None:
        """Have somebody work on the turn for `wishes`, unless somebody is to already (Turns.want)."""
        if self.turns.want(turn, wishes, standing=standing):
            self.send(Step(TASK_TURN, (turn,), DEPLOY))


def start(settings: Settings, send: Callable[[Step], None], patience_s: float = 0.0) -> Engine:
    """Connect to Redis and the cluster, and make sure of the installation's identity.

    `patience_s` is how long a fetch or a render may hold up this process; 0: as long as either may take.

    Raises Refused when a setting is wrong or the installation's Secret is missing, ClusterUnavailable or
    StoreUnavailable when one of the two does not answer.
    """
    mirrors = settings.state_directory() / "mirrors"
    renders = settings.state_directory() / "renders"
    client = connect_redis(settings.redis_url)
    clock = Clock(client)
    cluster = connect_cluster(settings.kubeconfig or None, settings.context or None)
    api = cluster.api()
    sandbox = Sandbox(settings)
    installation = ensure(api, settings.namespace)
    Ours(client).say(installation.id)
    applications: Applications
    if settings.apps_dir:
        applications = DirectoryApplications(Path(settings.apps_dir), api, settings.namespace, installation)
    else:
        applications = HomeApplications(api, settings.namespace)
    due = DueSteps(client)

    def ask_again(ref: ClusterRef, at: float) -> None:
        due.put(Step(TASK_CLUSTER, (ref,), RECONCILE), at)

    clusters = Clusters(
        api.cluster,
        applications.clusters,
        Connections(client),
        allowed(settings.cluster_exec),
        ask_again,
        clock,
        applications.newest_clusters,
    )
    return Engine(
        settings=settings,
        send=send,
        redis=client,
        ledger=Ledger(client, keep_finished=settings.keep_finished),
        turns=Turns(client, clock, settings.lease_s),
        due=due,
        outstanding=Outstanding(client),
        proofs=Proofs(client),
        drifts=Drifts(client),
        views=Views(client),
        shared=Shared(client),
        orphans=Orphans(client),
        trees=Trees(client),
        archives=Archives(client),
        waiters=Waiters(client),
        api=api,
        own=api,
        clusters=clusters,
        applications=applications,
        installation=installation,
        executor=Threads(_PARALLEL, thread_name_prefix="apply"),
        mirrors=mirrors,
        bundles=Bundles(api, settings.namespace, installation),
        schemas=Schemas(),
        answers=Answers(clock),
        judges=Judges(applications.config, sandbox),
        actions=Actions(applications.config, sandbox),
        outcomes=Outcomes(client),
        renders=Cache(renders, installation.key, settings.render_cache_mb << 20),
        git_patience_s=min(patience_s or settings.git_timeout_s, settings.git_timeout_s),
        render_patience_s=patience_s,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        clock=clock,
    )
