"""How much memory a whole Mooring takes with many Applications deployed.

Three hundred Applications of ten objects each (those of benchmarks/fleet.py), deployed by `mooring up` as it
is: web with two processes, four workers, beat, observer, its own Redis, and what counts metrics, on a control
plane of their own. Flower, which is none of them, is off. Then come pushes, edits that are put back, and full
reconciliations, more of them than in an hour:

    python -m benchmarks.memory

It sums up the proportional set size (PSS) of all processes, as the kernel has it: what several share counts
once. The limit is what all of them may have in the end, 400 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import push_fleet
from benchmarks.fleet import create, files, own_cluster, settled
from benchmarks.processes import free_port, running, until
from benchmarks.push import SECRET, Pushes, Rounds, shown_status, shown_value
from benchmarks.push_account import account
from benchmarks.push_watch import Watch
from benchmarks.report import RESULTS
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer

CLUSTER: Final = "bench-memory"
LIMIT_MB: Final = 400.0
RECONCILE_S: Final = 5.0
QUIET_S: Final = 20.0  # what is put off until there is nothing to do is done by then
_MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's, in kB: its share of all, and what it shares with none."""

    pid: int
    pss: float
    private: float
    anonymous: float


def main() -> None:
    """Deploy, work, and tell. Ends with 1 where it is more than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=2.0, help="of pushes, edits and reconciliations")
    parser.add_argument("--processes", action="store_true", help="tell of each process, not only each kind")
    options = parser.parse_args()
    with own_cluster(CLUSTER) as cluster:
        sampled = _sampled(cluster, options.apps, options.minutes, options.processes)
    taken = {when: _by_role(found) for when, found in sampled.items()}
    _tell(taken)
    figures = {f"{when}_mb": round(sum(by_role.values()), 1) for when, by_role in taken.items()}
    figures |= {f"{role}_mb": round(mb, 1) for role, mb in taken["in_the_end"].items()}
    total = figures["in_the_end_mb"]
    result = {
        "benchmark": "memory",
        "figures": figures,
        "limit": {"in_the_end_mb": LIMIT_MB},
        "ratio": round(total / LIMIT_MB, 3),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)
    sys.exit(0 if total <= LIMIT_MB else 1)


Found = Mapping[str, list[Memory]]  # by role


def _sampled(cluster: Cluster, apps: int, minutes: float, each: bool) -> dict[str, Found]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        repo = git.create("team/apps")
        repo.commit({path: text for number in range(apps) for path, text in files(number).items()})
        home = stack.enter_context(push_fleet.namespace(cluster, "home"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        environ = {
            "MOORING_KUBECONFIG": str(acts_as.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
            "MOORING_RECONCILE_SECONDS": str(RECONCILE_S),
            "MOORING_POLL_SECONDS": "30",
            "MOORING_WEBHOOK_GITHUB_SECRET": SECRET.decode(),
        }
        port, metrics = free_port(), free_port()
        argv = [sys.executable, "-P", "-m", "cli.main", "up", "--port", str(port), "--flower-port", "0"]
        up = psutil.Process(
            stack.enter_context(running([*argv, "--metrics-port", str(metrics)], environ)).pid
        )
        until(lambda: len(roles(up).get("deploy", [])) >= 2, "the workers do not start", 60)
        statuses = stack.enter_context(Watch(cluster, push_fleet.APPLICATIONS.format(home), settled))
        time.sleep(QUIET_S)
        found = {"started": _look(up, "started", each)}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: create(cluster, home, repo, number), range(apps)))
        for number in range(apps):
            statuses.when(push_fleet.app_name(number), 900)
        found["deployed"] = _look(up, "deployed", each)
        values = stack.enter_context(Watch(cluster, "/api/v1/configmaps", shown_value))
        synced = stack.enter_context(Watch(cluster, push_fleet.APPLICATIONS.format(home), shown_status))
        pushes = Pushes(repo, port, values, synced, apps, changed=_changed)
        _work(cluster, pushes, apps, minutes)
        found["worked"] = _look(up, "worked", each)
        time.sleep(QUIET_S)
        found["in_the_end"] = _look(up, "in the end", each)
        return found


def _work(cluster: Cluster, pushes: Pushes, apps: int, minutes: float) -> None:
    """A push a second or two, each to another app, an edit beside each third; beat has all reconciled."""
    ends, chance, number = time.monotonic() + minutes * 60, random.Random(0), 0
    while time.monotonic() < ends:
        pushes.round(Rounds())
        if number % 3 == 0:
            path = f"/api/v1/namespaces/fleet-{number * 7 % apps}/configmaps/settings-1"
            edit = {"data": {"value": secrets.token_hex(4)}}
            devcluster.ask(cluster, path, edit, method="PATCH", content_type=_MERGE)
        number += 1
        time.sleep(chance.uniform(0.2, 1.2))


def _changed(number: int, value: str) -> dict[str, str]:
    path = f"{push_fleet.app_name(number)}/settings-0.yaml"
    return {path: files(number)[path].replace("first", value)}


def roles(up: psutil.Process) -> dict[str, list[psutil.Process]]:
    """All processes of a `mooring up`, by what each is for; parents come before their children."""
    found: dict[str, list[psutil.Process]] = {"up": [up]}
    for child in up.children():
        with suppress(psutil.NoSuchProcess):
            found.setdefault(_role(child), []).extend([child, *child.children(recursive=True)])
    return found


def _role(child: psutil.Process) -> str:
    argv = child.cmdline()
    if child.name() in ("intake", "deploy", "slow", "reconcile", "beat", "observer"):
        return child.name()
    named = {"cli.nursery": "nursery", "webhook": "web", "redis-server": "redis"}
    words = (word for part in argv for word in (part, Path(part).name.partition(" ")[0]))
    return next((named[word] for word in words if word in named), child.name())


def _look(up: psutil.Process, when: str, each: bool) -> Found:
    found: dict[str, list[Memory]] = defaultdict(list)
    for role, processes in roles(up).items():
        for process in processes:
            with suppress(OSError):  # has ended
                found[role].append(_memory(process.pid))
    if each:
        print(f"--- {when}", file=sys.stderr)
        for role, process_memory in found.items():
            for one in process_memory:
                words = f"{one.pss / 1024:7.1f} {one.private / 1024:7.1f} {one.anonymous / 1024:7.1f}"
                print(f"{role:10} {one.pid:7} {words}", file=sys.stderr)
    return found


def _memory(pid: int) -> Memory:
    told: dict[str, float] = defaultdict(float)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        told[name.rstrip(":")] = float(value)
    return Memory(pid, told["Pss"], told["Private_Clean"] + told["Private_Dirty"], told["Pss_Anon"])


def _by_role(found: Found) -> dict[str, float]:
    """MB of each."""
    return {role: sum(one.pss for one in processes) / 1024 for role, processes in found.items()}


def _tell(taken: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(title="Benchmark memory: MB of PSS")
    table.add_column("process")
    for when in taken:
        table.add_column(when.replace("_", " "), justify="right")
    for role in taken["in_the_end"]:
        table.add_row(role, *(f"{by_role.get(role, 0.0):.1f}" for by_role in taken.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(by_role.values()):.1f}" for by_role in taken.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
