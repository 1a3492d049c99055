"""What it costs to prove that nothing has drifted, of many Applications at once.

Three hundred Applications of ten objects each (those of benchmarks/fleet.py), deployed by real workers on a
control plane of their own. Then nothing moves, and everything is reconciled, by a process that does what the
worker of the pool `reconcile` does:

    python -m benchmarks.reconcile

`warm` is the claim: all records are there. `cold`: Redis has lost them, so every object is tried once. The
bare loop lists the same kinds in the same representations, over one connection, and parses the JSON.
"""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil

from benchmarks import push_fleet
from benchmarks.fleet import OBJECTS, at_work, create, files, own_cluster, settled
from benchmarks.processes import redis_with_aof, until
from benchmarks.processes import workers as group_of
from benchmarks.push_account import Account, account
from benchmarks.push_watch import Watch
from benchmarks.report import report
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer
from mooring.heaps import frugal
from mooring.names import APPLYSET_ID, APPLYSET_PART_OF
from mooring.settings import Settings
from mooring.store.due import Step
from workers import pipeline
from workers.cluster.api import METADATA_LIST
from workers.engine import Engine, start

CLUSTER = "bench-reconcile"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one reconciliation: by the clock, and of processors, ours and the API server's."""

    wall: float
    own: float
    server: float


def main() -> None:
    """Deploy, reconcile, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    frugal()  # as the worker does
    with ExitStack() as stack:
        cluster = stack.enter_context(own_cluster(CLUSTER))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        redis = stack.enter_context(redis_with_aof())
        home = stack.enter_context(push_fleet.namespace(cluster, "home"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(acts_as.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
        }
        _deploy(stack, cluster, home, environ, options.apps)
        sent: list[Step] = []
        engine = start(Settings.from_env(environ), sent.append)
        server = psutil.Process(devcluster.status(CLUSTER).pids["kube-apiserver"])
        figures, bare = _measured(engine, sent, cluster, acts_as, home, server, options.rounds)
    report(
        "reconcile",
        figures,
        bare,
        figures["warm_p50_s"] / bare["warm_p50_s"],
        notes=[
            f"{options.apps} Applications of {OBJECTS} objects; {os.cpu_count()} cores shared with the "
            f"control plane; {options.rounds} reconciliations, and as many bare loops in between.",
            "Ours has whoever is due its dry-run of the day looked at as well: `warm_looked_at` of them.",
        ],
    )


def _deploy(stack: ExitStack, cluster: Cluster, home: str, environ: dict[str, str], apps: int) -> None:
    """All of them, Synced and Healthy, by workers that are ended then."""
    git = stack.enter_context(GitServer())
    repo = git.create("team/apps")
    repo.commit({path: text for number in range(apps) for path, text in files(number).items()})
    with group_of(environ) as group:
        until(lambda: at_work(group), "the workers do not start", 60)
        with Watch(cluster, push_fleet.APPLICATIONS.format(home), settled) as watch:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda number: create(cluster, home, repo, number), range(apps)))
            for number in range(apps):
                watch.when(push_fleet.app_name(number), 900)


def _measured(
    engine: Engine,
    sent: list[Step],
    cluster: Cluster,
    acts_as: Account,
    home: str,
    server: psutil.Process,
    rounds: int,
) -> tuple[dict[str, float], dict[str, float]]:
    def reconcile() -> int:
        """How many were looked at."""
        pipeline.reconcile(engine, "", "reconcile")
        looked_at = len(sent)
        while sent:
            pipeline.work(engine, str(sent.pop().args[0]))
        return looked_at

    for _ in range(3):  # each app is looked at once in full, and what is read for that is kept
        reconcile()
    memory = psutil.Process().memory_full_info().uss
    looked = [reconcile() for _ in range(rounds)]
    grown = psutil.Process().memory_full_info().uss - memory
    ours: list[Cost] = []
    bares: list[Cost] = []
    requests = acts_as.requests()
    with _bare(cluster, home) as bare:
        bare()
        for _ in range(rounds):
            ours.append(_cost(reconcile, server))
            bares.append(_cost(bare, server))
    counted = acts_as.requests() - requests
    for key in engine.redis.scan_iter("mooring:proofs:*"):
        engine.redis.delete(key)
    cold = _cost(reconcile, server)
    figures = {
        "warm_p50_s": round(statistics.median(one.wall for one in ours), 3),
        "warm_max_s": round(max(one.wall for one in ours), 3),
        "warm_cpu_s": round(statistics.median(one.own for one in ours), 3),
        "warm_api_server_cpu_s": round(statistics.median(one.server for one in ours), 3),
        "warm_requests": round(counted.total() / rounds, 1),
        "warm_looked_at": round(statistics.mean(looked), 1),
        "warm_grown_kb": round(grown / 1024, 1),
        "cold_s": round(cold.wall, 1),
        "cold_cpu_s": round(cold.own, 1),
        "cold_api_server_cpu_s": round(cold.server, 1),
    }
    limit = {
        "warm_p50_s": round(statistics.median(one.wall for one in bares), 3),
        "warm_max_s": round(max(one.wall for one in bares), 3),
        "warm_cpu_s": round(statistics.median(one.own for one in bares), 3),
        "warm_api_server_cpu_s": round(statistics.median(one.server for one in bares), 3),
    }
    return figures, limit


def _cost(work: Callable[[], object], server: psutil.Process) -> Cost:
    before, own, began = server.cpu_times(), time.process_time(), time.monotonic()
    work()
    wall, used = time.monotonic() - began, time.process_time() - own
    after = server.cpu_times()
    return Cost(wall, used, after.user + after.system - before.user - before.system)


@contextmanager
def _bare(cluster: Cluster, home: str) -> Iterator[Callable[[], None]]:
    """What lists the same as a reconciliation does, and parses it."""
    connection = http.client.HTTPSConnection(
        urlsplit(cluster.server).netloc, context=ssl.create_default_context(cafile=str(cluster.ca))
    )
    ours = f"labelSelector={APPLYSET_PART_OF}&resourceVersion=0"
    asked = [
        (push_fleet.APPLICATIONS.format(home), _JSON),
        (
            f"/api/v1/namespaces/{home}/configmaps?labelSelector={APPLYSET_ID}&resourceVersion=0",
            METADATA_LIST,
        ),
        (f"/api/v1/configmaps?{ours}", METADATA_LIST),
        (f"/api/v1/serviceaccounts?{ours}", METADATA_LIST),
        (f"/api/v1/services?{ours}", _JSON),
        (f"/apis/apps/v1/deployments?{ours}", _JSON),
    ]

    def bare() -> None:
        for path, accept in asked:
            headers = {"Authorization": f"Bearer {cluster.token}", "Accept": accept}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                sys.exit(f"GET {path}: HTTP {answer.status} {said[:200]!r}")
            if not orjson.loads(said)["items"]:
                sys.exit(f"GET {path}: there is nothing")

    try:
        yield bare
    finally:
        connection.close()


if __name__ == "__main__":
    main()
