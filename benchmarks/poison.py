"""What ten Applications that poison their renders cost the fifty good ones beside them.

One installation on a real API server, a Git host over HTTP. First pushes to the good Applications alone are
measured as benchmarks/push.py does; then the same beside pushes to ten others, one of them after the other,
whose sources loop, swell, hang, or give more than can be taken. `ratio` is the good ones' push→applied beside
them by that alone, at p95.

    python -m benchmarks.poison
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import poison_fleet
from benchmarks import push_fleet as fleet
from benchmarks.monorepo import Side, side
from benchmarks.processes import until
from benchmarks.push import SETTLES_S, STAGES, WARM_UP, Pushes, Rounds
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.build import tool
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository


def main() -> None:
    """Measure the good ones alone and beside the others, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--apps", type=int, default=50)
    parser.add_argument(
        "--every", type=float, default=2.0, help="seconds from one poisonous push to the next"
    )
    options = parser.parse_args()

    cluster = devcluster.start(say=_say)
    fleet.install_crds(cluster)
    with ExitStack() as stack:
        tools = stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-"))
        for name in ("helm", "jsonnet", "kustomize"):
            (Path(tools) / name).symlink_to(tool(name, _say))
        settings = {
            "MOORING_REMOTE_HOSTS": "127.0.0.1",
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        }
        git = stack.enter_context(GitServer())
        hanging = stack.enter_context(_hanging())
        repo = git.create("good/apps")
        repo.commit({p: text for n in range(options.apps) for p, text in poison_fleet.good(n).items()})
        good = stack.enter_context(
            side(cluster, repo, "good", options.apps, 0, poison_fleet.changed, settings)
        )
        for _ in range(WARM_UP):
            good.pushes.round(Rounds())
        time.sleep(SETTLES_S)
        alone, load_alone = _measure(good, options.rounds)
        poisons = _create(cluster, git, good, hanging)
        with _pushing(poisons, good, options.every) as pushed:
            beside, load_beside = _measure(good, options.rounds)
        notes = [
            f"{options.rounds} rounds each; {options.apps} good Applications, and ten whose sources loop, "
            f"swell, hang or give too much, {len(pushed)} pushes to them; {os.cpu_count()} cores shared by "
            f"everything; load {load_alone:.1f} alone, {load_beside:.1f} beside them.",
        ]
    _report(alone, beside, notes)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _measure(good: Side, rounds: int) -> tuple[Rounds, float]:
    """What pushes took, and the load of the machine in the last minute of them."""
    found, pauses = Rounds(), random.Random(0)
    good.pushes.connect_again()
    for _ in range(rounds):
        good.pushes.round(found)
        time.sleep(pauses.uniform(0.2, 1.2))  # never in step with beat
    return found, os.getloadavg()[0]


def _create(cluster: Cluster, git: GitServer, good: Side, hanging: str) -> dict[str, Repository]:
    """The poisonous repositories by name; returns once each of them was looked at."""
    made: dict[str, Repository] = {}
    for name, files in poison_fleet.poisons(hanging).items():
        made[name] = git.create(f"poison/{name}")
        made[name].commit(files)
        body = poison_fleet.application(name, good.home, good.target, made[name])
        devcluster.ask(cluster, fleet.APPLICATIONS.format(good.home), body)

    def told() -> bool:
        items: list[Any] = devcluster.ask(cluster, fleet.APPLICATIONS.format(good.home))["items"]
        return all(i.get("status", {}).get("conditions") for i in items if i["metadata"]["name"] in made)

    until(told, "not every poisonous Application has a condition", 600)
    return made


@contextmanager
def _pushing(poisons: dict[str, Repository], good: Side, every: float) -> Iterator[list[str]]:
    """Pushes to the poisonous repositories, in turn; gives the names of those that were pushed so far."""
    pushed: list[str] = []
    ended = threading.Event()

    def push() -> None:
        while True:
            for name, repo in poisons.items():
                if ended.wait(every):
                    return
                pushed.append(name)
                new = poison_fleet.again(name, secrets.token_hex(8))
                pushes = Pushes(
                    repo, good.port, good.pushes.configmaps, good.pushes.statuses, 1, f"poison/{name}"
                )
                pushes.deliver(repo.commit(new))

    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    try:
        yield pushed
    finally:
        ended.set()
        pushing.join(30)


@contextmanager
def _hanging() -> Iterator[str]:
    """The URL of a repository on a host that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/team/base.git"


def _report(alone: Rounds, beside: Rounds, notes: list[str]) -> None:
    figures, limit = _figures(beside), _figures(alone)
    ratio = figures["push_to_applied_p95_ms"] / limit["push_to_applied_p95_ms"]
    report("poison", figures, limit, ratio, notes)


def _figures(rounds: Rounds) -> dict[str, float]:
    figures = {
        "push_to_applied_p50_ms": _ms(rounds.applied, 0.50),
        "push_to_applied_p95_ms": _ms(rounds.applied, 0.95),
        "push_to_synced_p50_ms": _ms(rounds.synced, 0.50),
        "push_to_synced_p95_ms": _ms(rounds.synced, 0.95),
    }
    for stage in STAGES:
        figures[f"stage_{stage}_p50_ms"] = _ms(rounds.stages[stage], 0.50)
        figures[f"stage_{stage}_p95_ms"] = _ms(rounds.stages[stage], 0.95)
    return figures


def _ms(values: list[float], share: float) -> float:
    return round(percentile(values, share), 1)


if __name__ == "__main__":
    main()
