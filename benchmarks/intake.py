"""How many deliveries we accept, how fast, and whether any is lost when things die meanwhile.

Real gunicorn, our workers and beat draining, and the sender, all on this machine over loopback; the pushes
name a commit of a repository that an Application of the real API server follows:

    python -m benchmarks.intake

1. 500 deliveries/s of 20 KB for 20 s: how long an answer takes (p99).
2. As many as it takes, for 10 s, beside a bare WSGI application that verifies and does one XADD.
3. 200 deliveries/s for 20 s, in which the intake worker is killed with -9, and Redis is killed and restarted
   from its append-only file. What ends is started again, as `mooring up` does it. Whatever was answered
   202 must be finished in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import push_fleet as fleet
from benchmarks.intake_load import SECRET
from benchmarks.processes import WEB_PROCESSES, of_pool, redis_with_aof, serving, until, web, workers
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.gitserver import GitServer
from devcluster.redis import RedisServer
from mooring.delivery import DeliveryState
from mooring.errors import StoreUnavailable
from mooring.store.connection import connect
from mooring.store.ledger import Ledger

Seen = dict[str, Any]  # what the sender saw; see intake_load


def main() -> None:
    """Run all three parts and report."""
    parser = argparse.ArgumentParser(description="Deliveries accepted a second, and how fast.")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()

    busy = os.getloadavg()[0]
    with fleet_of_one() as mooring:
        steady, drained_s, lost = mooring.steady(options.rate, options.seconds)
        most, lost_of_most = mooring.flat_out()
        bare_steady, bare_most = mooring.bare(options.rate, options.seconds)
        crashed, lost_in_crash = mooring.crash()

    figures = {
        "accepted_per_s": round(len(most["accepted"]) / most["seconds"], 1),
        "accept_p50_ms": round(percentile(steady["latencies_ms"], 0.50), 2),
        "accept_p99_ms": round(percentile(steady["latencies_ms"], 0.99), 2),
        "accept_max_ms": round(max(steady["latencies_ms"]), 2),
        "refused": steady["refused"] + most["refused"],
        "drained_after_s": round(drained_s, 1),
        "lost": lost + lost_of_most + lost_in_crash,
        "accepted_while_crashing": len(crashed["accepted"]),
        "turned_away_while_crashing": crashed["refused"],
        "load_average_before": round(busy, 1),
    }
    limit = {
        "accepted_per_s": round(len(bare_most["accepted"]) / bare_most["seconds"], 1),
        "accept_p50_ms": round(percentile(bare_steady["latencies_ms"], 0.50), 2),
        "accept_p99_ms": round(percentile(bare_steady["latencies_ms"], 0.99), 2),
        "accept_max_ms": round(max(bare_steady["latencies_ms"]), 2),
    }
    report(
        "intake",
        figures,
        limit,
        figures["accepted_per_s"] / limit["accepted_per_s"],
        notes=[
            f"p50, p99 and max at {options.rate:.0f} deliveries/s of 20 KB, {WEB_PROCESSES} web processes, "
            f"all workers and beat draining, {os.cpu_count()} cores shared by all and by the sender.",
            "drained_after_s: from the last answer of that part until every delivery was finished.",
            "lost: answered 202 and not finished in the end, over all parts, the one with crashes included.",
        ],
    )
    sys.exit(1 if figures["lost"] else 0)


@dataclass(frozen=True, slots=True)
class Mooring:
    """One Application that follows a repository at `commit`, and what workers are told to find it."""

    environ: dict[str, str]
    repo_url: str
    commit: str

    def steady(self, rate: float, seconds: float) -> tuple[Seen, float, int]:
        """What the sender saw at `rate`, how long the rest took to drain, and how many were lost."""
        with redis_with_aof() as server, web(server.url, SECRET) as port, self._workers(server):
            self._warm_up(server, port)
            seen = self._load(port, rate=rate, seconds=seconds)
            ended = time.monotonic()
            lost = unfinished(server.url, seen["accepted"])
            return seen, time.monotonic() - ended, lost

    def flat_out(self) -> tuple[Seen, int]:
        """What the sender saw when it sent as many as were answered, and how many were lost."""
        with redis_with_aof() as server, web(server.url, SECRET) as port, self._workers(server):
            self._warm_up(server, port)
            seen = self._load(port, seconds=10)
            return seen, unfinished(server.url, seen["accepted"])

    def bare(self, rate: float, seconds: float) -> tuple[Seen, Seen]:
        """The same two loads on the bare application, which nobody drains."""
        with redis_with_aof() as server, bare_web(server.url) as port:
            self._load(port, rate=100, seconds=3)
            return self._load(port, rate=rate, seconds=seconds), self._load(port, seconds=10)

    def crash(self) -> tuple[Seen, int]:
        """What the sender saw while the intake worker and Redis were killed, and how many were lost."""
        with (
            redis_with_aof() as server,
            web(server.url, SECRET) as port,
            self._workers(server) as group,
        ):
            self._warm_up(server, port)
            pause = threading.Event()
            seen: Seen = {}
            sender = threading.Thread(target=lambda: seen.update(self._load(port, rate=200, seconds=20)))
            sender.start()
            pause.wait(5)
            of_pool(group, "intake").kill()
            pause.wait(5)
            server.kill()
            server.start()
            sender.join()
            return seen, unfinished(server.url, seen["accepted"])

    def _warm_up(self, server: RedisServer, port: int) -> None:
        """Connections made, code warm, workers started."""
        seen = self._load(port, rate=100, seconds=3)
        if unfinished(server.url, seen["accepted"]):
            raise RuntimeError("the deliveries of the warm-up do not end: see the logs above")

    def _load(self, port: int, *, seconds: float, rate: float = 0) -> Seen:
        argv = [sys.executable, "-m", "benchmarks.intake_load", str(port)]
        argv += ["--repo", self.repo_url, "--commit", self.commit]
        argv += ["--seconds", str(seconds), "--rate", str(rate), "--connections", "32" if rate else "16"]
        found = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
        result: Seen = json.loads(found.stdout)
        return result

    @contextmanager
    def _workers(self, server: RedisServer) -> Iterator[psutil.Process]:
        with workers({**self.environ, "MOORING_REDIS_URL": server.url}) as group:
            yield group


@contextmanager
def fleet_of_one() -> Iterator[Mooring]:
    """A Git host with one repository, and an Application in a home namespace of its own that follows it."""
    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    name = secrets.token_hex(4)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}"))
        target = stack.enter_context(fleet.namespace(cluster, f"bench-{name}"))
        repo = stack.enter_context(GitServer()).create("team/apps")
        commit = repo.commit(fleet.files(0))
        made = fleet.application(0, home, target, repo)
        devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
        environ = {
            "MOORING_KUBECONFIG": str(cluster.kubeconfig),
            "MOORING_CONTEXT": cluster.context,
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
            "MOORING_KEEP_FINISHED": "200000",  # so that each can be asked for in the end
        }
        yield Mooring(environ, repo.url, commit)


@contextmanager
def bare_web(redis_url: str) -> Iterator[int]:
    """The bare application under the same server; gives its port."""
    code = (
        "import os, sys; from mooring.settings_web import WebSettings; from webhook.serve import serve; "
        "from benchmarks.intake_bare import bare; "
        "app = bare(os.environ['MOORING_REDIS_URL']); "
        f"serve(app, WebSettings(), '127.0.0.1', int(sys.argv[1]), {WEB_PROCESSES})"
    )
    with serving(code, {"MOORING_REDIS_URL": redis_url}) as port:
        yield port


def unfinished(redis_url: str, ids: list[str]) -> int:
    """How many of the deliveries are not finished after the worker had its time."""
    client = connect(redis_url)
    ledger = Ledger(client)

    def idle() -> bool:
        try:
            return ledger.unfinished() == 0
        except StoreUnavailable:
            return False

    try:
        until(idle, "", 120)
    except TimeoutError:
        print(f"{ledger.unfinished()} deliveries are unfinished", file=sys.stderr)
    found = (ledger.get(id) for id in ids)
    return sum(1 for delivery in found if delivery is None or delivery.state is not DeliveryState.SUCCEEDED)


if __name__ == "__main__":
    main()
