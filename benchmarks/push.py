"""How long a push takes until the cluster has it, and until the Application says so.

Twenty Applications of ten objects each in one repository; a Git host over HTTP, a web tier, three
workers, beat and Redis, all real processes on this machine, and a real API server:

    python -m benchmarks.push

Each round changes one value in one application, sends the signed GitHub webhook, and waits until a watch
of the benchmark's own shows the new value in the API server, and the Application Synced at that commit.
After each round the bare loop (see push_bare) does the same work, so that both have met the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import push_fleet as fleet
from benchmarks.processes import redis_with_aof, running, until, web
from benchmarks.push_account import Account, account
from benchmarks.push_bare import Bare, Times
from benchmarks.push_watch import Watch
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository

SECRET = b"the secret of the push benchmark"
# In the order of a journey; each one's time is counted from the end of the one before.
STAGES = ("received", "queued", "fetched", "rendered", "planned", "applied", "synced")
SETTLES_S = 4.0  # what a push leaves to be done a second later is done by then
WARM_UP = 5  # rounds that are not counted: connections made, caches filled


@dataclass
class Rounds:
    """What was measured, one value a round, in milliseconds."""

    applied: list[float] = field(default_factory=list)
    synced: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    git_requests: int = 0
    api_requests: Counter[str] = field(default_factory=Counter)
    seconds: float = 0


def main() -> None:
    """Measure the bare loop and Mooring, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--apps", type=int, default=20)
    options = parser.parse_args()

    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    name = secrets.token_hex(4)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        namespace = stack.enter_context(fleet.namespace(cluster, f"bare-{name}"))
        loop = BareRounds(cluster, _repository(git, "bare", options.apps), directory, namespace, options.apps)
        rounds = _mooring(cluster, git, directory, name, loop, options)
    _report(rounds, loop.times, options)


def _mooring(
    cluster: Cluster,
    git: GitServer,
    directory: Path,
    name: str,
    loop: BareRounds,
    options: argparse.Namespace,
) -> Rounds:
    with ExitStack() as stack:
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}"))
        target = stack.enter_context(fleet.namespace(cluster, f"bench-{name}"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        redis = stack.enter_context(redis_with_aof())
        repo = _repository(git, "team/apps", options.apps)
        for number in range(options.apps):
            made = fleet.application(number, home, target, repo)
            devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
        port = stack.enter_context(web(redis.url, SECRET))
        stack.enter_context(workers(redis.url, home, acts_as.kubeconfig, directory))
        configmaps = stack.enter_context(
            Watch(cluster, f"/api/v1/namespaces/{target}/configmaps", shown_value)
        )
        statuses = stack.enter_context(Watch(cluster, fleet.APPLICATIONS.format(home), shown_status))
        until_settled(cluster, home, options.apps, repo.resolve() or "")
        pushes = Pushes(repo, port, configmaps, statuses, options.apps)
        for _ in range(WARM_UP):
            pushes.round(Rounds())
        return _measure(pushes, loop, git, acts_as, options.rounds)


def _measure(pushes: Pushes, loop: BareRounds, git: GitServer, acts_as: Account, count: int) -> Rounds:
    """`count` rounds, less the requests that are made without any push."""
    rounds = Rounds()
    idle_s = 10.0
    time.sleep(SETTLES_S)
    before = acts_as.requests()
    time.sleep(idle_s)
    idle = acts_as.requests() - before
    before, began = acts_as.requests(), time.monotonic()
    pauses = random.Random(0)
    loop.warm_up()
    for _ in range(count):
        git.requests.clear()
        pushes.round(rounds)
        rounds.git_requests += len(git.requests)
        loop.round()
        # Never in step with beat, and long enough that pushes come one by one, as they do.
        time.sleep(pauses.uniform(0.2, 1.2))
    time.sleep(SETTLES_S)
    rounds.seconds = time.monotonic() - began
    rounds.api_requests = acts_as.requests() - before
    for verb, counted in idle.items():
        rounds.api_requests[verb] -= round(counted / idle_s * rounds.seconds)
    return rounds


class Pushes:
    """Pushes to the repository, round robin over the applications."""

    def __init__(
        self,
        repo: Repository,
        port: int,
        configmaps: Watch,
        statuses: Watch,
        apps: int,
        name: str = "team/apps",
        changed: Callable[[int, str], dict[str, str]] = fleet.changed,
    ) -> None:
        """`name` is the repository's at the Git host; `changed` are the files that give an application a
        value."""
        self.repo = repo
        self._name = name
        self.configmaps = configmaps
        self.statuses = statuses
        self._apps = apps
        self._changed = changed
        self._number = 0
        self._web = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def round(self, rounds: Rounds) -> None:
        """One push that changes one application, from the moment that the Git host has it."""
        number, self._number = self._number % self._apps, self._number + 1
        value = secrets.token_hex(8)
        self.push(rounds, self._changed(number, value), value, [number])

    def push(self, rounds: Rounds, files: dict[str, str], value: str, apps: Sequence[int]) -> None:
        """One push of `files`: applied when the first object has `value`, synced when all of `apps` are."""
        commit = self.repo.commit(files)
        sent = time.time()
        id = self.deliver(commit)
        applied = self.configmaps.when(value)
        synced = max(self.statuses.when(f"{fleet.app_name(number)} {commit}") for number in apps)
        rounds.applied.append((applied - sent) * 1000)
        rounds.synced.append((synced - sent) * 1000)
        for stage, took in _stages(sent, self._finished(id)).items():
            rounds.stages.setdefault(stage, []).append(took)

    def connect_again(self) -> None:
        """After a pause, in which the web tier has closed the connection."""
        self._web.close()

    def deliver(self, commit: str) -> str:
        """Send the webhook of a push; the delivery's id."""
        url = self.repo.url
        payload = {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit,
            "repository": {
                "full_name": self._name,
                "clone_url": url,
                "html_url": url.removesuffix(".git"),
                "default_branch": "main",
            },
            "pusher": {"name": "sailor"},
            "commits": [],
        }
        body = json.dumps(payload).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": secrets.token_hex(16),
            "X-Hub-Signature-256": f"sha256={hmac.new(SECRET, body, hashlib.sha256).hexdigest()}",
        }
        return str(self._ask("POST", "/webhooks/github", body, headers)["id"])

    def _finished(self, id: str) -> Any:
        found: list[Any] = []

        def ended() -> bool:
            found[:] = [self._ask("GET", f"/api/v1/deliveries/{id}")]
            return found[0]["state"] in ("succeeded", "failed")

        until(ended, f"delivery {id} does not end", 60)
        if found[0]["state"] != "succeeded":
            raise RuntimeError(f"delivery {id} failed: {found[0]['outcome']}")
        return found[0]

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        self._web.request(method, path, body, headers or {})
        answer = self._web.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: HTTP {answer.status} {said[:200].decode(errors='replace')}")
        return json.loads(said)


def _stages(sent: float, delivery: Any) -> dict[str, float]:
    """Milliseconds of each stage of a delivery's time line, counted from the end of the one before."""
    ends: dict[str, float] = {}
    for stage in delivery["stages"]:
        ends.setdefault(stage["name"], stage["at"])
    took, last = {}, sent
    for name in STAGES:
        if name in ends:
            took[name], last = (ends[name] - last) * 1000, ends[name]
    return took


class BareRounds:
    """The same pushes to a repository of its own, taken by the bare loop in both its forms."""

    def __init__(
        self, cluster: Cluster, repo: Repository, directory: Path, namespace: str, apps: int
    ) -> None:
        self.repo = repo
        self._apps = apps
        self._number = 0
        self._loop = Bare(cluster, repo, directory, namespace)
        self.times: dict[str, list[Times]] = {"git": [], "mirror": []}

    def warm_up(self) -> None:
        """Rounds that are not counted, on a connection that the server has not closed meanwhile."""
        self._loop.connect_again()
        for _ in range(2):
            self.round()
        self.times = {kind: [] for kind in self.times}

    def round(self) -> None:
        """One push each."""
        number, self._number = self._number % self._apps, self._number + 1
        app = fleet.app_name(number)
        for kind, run in (("git", self._loop.by_git), ("mirror", self._loop.by_mirror)):
            commit = self.repo.commit(fleet.changed(number, secrets.token_hex(8)))
            self.times[kind].append(run(commit, app, f"{app}-settings-0"))


def _repository(git: GitServer, name: str, apps: int) -> Repository:
    repo = git.create(name)
    repo.commit({path: text for number in range(apps) for path, text in fleet.files(number).items()})
    return repo


@contextmanager
def workers(redis_url: str, home: str, kubeconfig: Path, directory: Path) -> Iterator[None]:
    """Our workers, beat and observer, for the Applications in `home`."""
    environ = {
        "MOORING_REDIS_URL": redis_url,
        "MOORING_KUBECONFIG": str(kubeconfig),
        "MOORING_NAMESPACE": home,
        "MOORING_STATE_DIR": str(directory / "state"),
        "MOORING_RECONCILE_SECONDS": "3600",  # a full look at everything is not a push's cost
        "MOORING_POLL_SECONDS": "3600",
    }
    with ExitStack() as stack:
        for pool in ("intake", "deploy", "slow", "reconcile"):
            stack.enter_context(running([sys.executable, "-m", "workers.run", pool], environ))
        for module in ("workers.beat", "workers.observer"):
            stack.enter_context(running([sys.executable, "-m", module], environ))
        yield


def until_settled(cluster: Cluster, home: str, apps: int, commit: str, seconds: float = 180) -> None:
    """Waits until every application is Synced at `commit` and healthy."""

    def settled() -> bool:
        items = devcluster.ask(cluster, fleet.APPLICATIONS.format(home))["items"]
        states = [
            (status.get("sync", {}).get("status"), status.get("health", {}).get("status"))
            for item in items
            if (status := item.get("status", {})).get("sync", {}).get("revision") == commit
        ]
        return states.count(("Synced", "Healthy")) == apps

    until(settled, "the applications do not become Synced and Healthy: see the logs above", seconds)


def shown_value(item: dict[str, Any]) -> str | None:
    """The value of a ConfigMap of the fleet: each push has another one."""
    value = (item.get("data") or {}).get("value")
    return value if isinstance(value, str) else None


def shown_status(item: dict[str, Any]) -> str | None:
    """The Application and the commit that it is Synced at."""
    sync = item.get("status", {}).get("sync", {})
    if sync.get("status") != "Synced":
        return None
    return f"{item['metadata']['name']} {sync.get('revision')}"


def _report(rounds: Rounds, bare: dict[str, list[Times]], options: argparse.Namespace) -> None:
    totals = {kind: [sum(times.values()) for times in measured] for kind, measured in bare.items()}
    figures: dict[str, float] = {
        "push_to_applied_p50_ms": _ms(rounds.applied, 0.50),
        "push_to_applied_p95_ms": _ms(rounds.applied, 0.95),
        "push_to_synced_p50_ms": _ms(rounds.synced, 0.50),
        "push_to_synced_p95_ms": _ms(rounds.synced, 0.95),
    }
    limit = {
        "push_to_applied_p50_ms": _ms(totals["git"], 0.50),
        "push_to_applied_p95_ms": _ms(totals["git"], 0.95),
        "own_fetch_p50_ms": _ms(totals["mirror"], 0.50),
        "own_fetch_p95_ms": _ms(totals["mirror"], 0.95),
    }
    for step in bare["git"][0]:
        limit[f"{step}_p50_ms"] = _ms([times[step] for times in bare["git"]], 0.50)
    whole = sum(fmean(took) for took in rounds.stages.values())
    for stage, took in rounds.stages.items():
        figures[f"stage_{stage}_p50_ms"] = _ms(took, 0.50)
        figures[f"stage_{stage}_share_percent"] = round(100 * fmean(took) / whole, 1)
    pushes = len(rounds.applied)
    figures["api_requests_per_push"] = round(rounds.api_requests.total() / pushes, 1)
    for verb, counted in sorted(rounds.api_requests.items()):
        figures[f"api_{verb}_per_push"] = round(counted / pushes, 1)
    figures["git_host_requests_per_push"] = round(rounds.git_requests / pushes, 1)
    report(
        "push",
        figures,
        limit,
        figures["push_to_applied_p50_ms"] / limit["push_to_applied_p50_ms"],
        notes=[
            f"{options.rounds} rounds, {options.apps} Applications of 10 objects in one repository, "
            f"{os.cpu_count()} cores shared by everything: Git host, API server, Mooring and the bare loop.",
            "Bare loop: git fetch of the commit by its id, read, parse, one apply; own_fetch: the same with "
            "Mooring's own fetch, which has the host confirm the branch meanwhile.",
            "Stages count from the end of the one before, as the ledger has them; `received` from the "
            "moment that the webhook is sent.",
            "Requests are those that the API server counted for Mooring's account, less those of as long a "
            "time without pushes.",
        ],
    )


def _ms(values: list[float], share: float) -> float:
    return round(percentile(values, share), 1)


if __name__ == "__main__":
    main()
