"""How many deliveries we accept, how fast, and whether any is lost when things die meanwhile.

Real gunicorn, a real Celery worker draining, and the sender, all on this machine over loopback:

    python -m benchmarks.intake

1. 500 deliveries/s of 20 KB for 20 s: how long an answer takes (p99).
2. As many as it takes, for 10 s, beside a bare WSGI application that verifies and does one XADD.
3. 200 deliveries/s for 20 s, in which the worker is killed with -9 and replaced, and Redis is killed
   and restarted from its append-only file. Whatever was answered 202 must be finished in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.intake_load import SECRET
from benchmarks.processes import WEB_PROCESSES, redis_with_aof, running, serving, until, web
from benchmarks.report import percentile, report
from mooring.delivery import DeliveryState
from mooring.errors import StoreUnavailable
from mooring.store.connection import connect
from mooring.store.ledger import Ledger


def main() -> None:
    """Run all three parts and report."""
    parser = argparse.ArgumentParser(description="Deliveries accepted a second, and how fast.")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    lost = 0

    with redis_with_aof() as server, web(server.url, SECRET) as port, worker(server.url):
        load(port, rate=100, seconds=3)  # connections made, code warm
        steady = load(port, rate=options.rate, seconds=options.seconds)
        lost += unfinished(server.url, steady["accepted"])
    with redis_with_aof() as server, web(server.url, SECRET) as port, worker(server.url):
        most = load(port, seconds=10)
        lost += unfinished(server.url, most["accepted"])
    with redis_with_aof() as server, bare_web(server.url) as port:
        load(port, rate=100, seconds=3)
        bare_steady = load(port, rate=options.rate, seconds=options.seconds)
        bare_most = load(port, seconds=10)
    crashed, lost_in_crash, turned_away = crash()

    figures = {
        "accepted_per_s": round(len(most["accepted"]) / most["seconds"], 1),
        "accept_p50_ms": round(percentile(steady["latencies_ms"], 0.50), 2),
        "accept_p99_ms": round(percentile(steady["latencies_ms"], 0.99), 2),
        "accept_max_ms": round(max(steady["latencies_ms"]), 2),
        "refused": steady["refused"] + most["refused"],
        "lost": lost + lost_in_crash,
        "accepted_while_crashing": crashed,
        "turned_away_while_crashing": turned_away,
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
            f"one worker of 2 processes draining, {os.cpu_count()} cores shared by all and by the sender.",
            "lost: answered 202 and not finished in the end, over all parts, the one with crashes included.",
        ],
    )
    sys.exit(1 if figures["lost"] else 0)


def crash() -> tuple[int, int, int]:
    """Deliveries accepted, lost, and turned away while the worker and Redis are killed."""
    with redis_with_aof() as server, web(server.url, SECRET) as port:
        first, second = threading.Event(), threading.Event()
        result: dict[str, Any] = {}
        sender = threading.Thread(target=lambda: result.update(load(port, rate=200, seconds=20)))
        with worker(server.url) as victim:
            sender.start()
            first.wait(5)
            os.killpg(victim.pid, signal.SIGKILL)
        with worker(server.url):
            second.wait(3)
            server.kill()
            server.start()
            sender.join()
            lost = unfinished(server.url, result["accepted"])
        return len(result["accepted"]), lost, result["refused"]


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


@contextmanager
def worker(redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker that drains `intake`."""
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.intake_worker", "worker"]
    argv += ["-Q", "intake", "-c", "2", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
    with running(argv, {"MOORING_REDIS_URL": redis_url}) as child:
        yield child


def load(port: int, *, seconds: float, rate: float = 0) -> dict[str, Any]:
    """What the sender saw; see intake_load."""
    argv = [sys.executable, "-m", "benchmarks.intake_load", str(port)]
    argv += ["--seconds", str(seconds), "--rate", str(rate), "--connections", "32" if rate else "16"]
    found = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(found.stdout)
    return result


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
