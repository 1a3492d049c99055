"""Random pushes, edits, deletions, kills and restarts over many Applications, and whether all is well then.

    python -m benchmarks.soak --minutes 30 --apps 50 --seed 1

A control plane of its own, a Git host, and a whole Mooring of real processes. In the end every field that Git
sets is live, object for object, as a checker says that shares nothing with Mooring
(benchmarks/soak_check.py); nothing is left over; nothing is gone that was nobody's. How much memory each kind
of process has, and how fast that grows, is told. The same seed gives the same steps
(benchmarks/soak_plan.py); on failure they are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import secrets
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import push_fleet as fleet
from benchmarks.fleet import own_cluster
from benchmarks.processes import WEB_PROCESSES, redis_with_aof, serving, until
from benchmarks.processes import workers as group_of
from benchmarks.soak_check import PATHS, Expected, Key, differences, uid
from benchmarks.soak_plan import ROLES, Step, steps
from devcluster.cluster import Cluster, ask
from devcluster.gitserver import GitServer, Repository
from devcluster.redis import RedisServer

CLUSTER: Final = "bench-soak"
POLL_S: Final = 15
SETTLES_S: Final = 300.0
SAMPLED_EVERY_S: Final = 5.0
GROWTH: Final = 0.1  # of its memory, which no role may grow by over the second half
TELLING_S: Final = 600.0  # a half that is shorter tells nothing: processes are killed, and begin anew
_SECRET: Final = b"a webhook secret of the soak"
_FINALIZER: Final = "resources-finalizer.argocd.argoproj.io"
_MERGE: Final = "application/merge-patch+json"


def main() -> None:
    """Sail, and report. Ends with 1 where not all is well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--apps", type=int, default=50)
    parser.add_argument("--objects", type=int, default=8, help="of each Application, at first")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(100_000))
    parser.add_argument(
        "--pause", type=float, default=2.0, help="seconds from a step to the next, on average"
    )
    options = parser.parse_args()
    count = int(options.minutes * 60 / options.pause)
    plan = list(steps(options.seed, options.apps, options.objects, count))
    with own_cluster(CLUSTER) as cluster:
        found = sail(cluster, plan, options.apps, options.objects, options.pause)
    found.tell(options.seed)
    sys.exit(0 if found.well else 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`wrong` are the checker's words; `memory` has kB of PSS by role at each sample, `lasted` seconds."""

    done: Sequence[str]
    wrong: Sequence[str]
    memory: Sequence[dict[str, float]]
    lasted: float

    @property
    def well(self) -> bool:
        return not self.wrong and not self.growing

    @property
    def growing(self) -> list[str]:
        """The roles that have grown by too much."""
        minutes = len(self.memory) // 2 * SAMPLED_EVERY_S / 60
        if minutes * 60 < TELLING_S:
            return []
        roles = sorted({role for one in self.memory for role in one})
        return [role for role in roles if self.slope(role) * minutes > self.median(role) * 1024 * GROWTH]

    def slope(self, role: str) -> float:
        """How many kB the role grows a minute, over the second half: the first is warming up."""
        half = [one.get(role, 0.0) for one in self.memory[len(self.memory) // 2 :]]
        if len(half) < 2:
            return 0.0
        minutes = [number * SAMPLED_EVERY_S / 60 for number in range(len(half))]
        return statistics.linear_regression(minutes, half).slope

    def median(self, role: str) -> float:
        """MB of the role, over the last quarter."""
        last = [one.get(role, 0.0) for one in self.memory[len(self.memory) * 3 // 4 :]]
        return statistics.median(last or [0.0]) / 1024

    def tell(self, seed: int) -> None:
        """Print all of it; the last line is JSON."""
        if self.wrong:
            print(f"seed {seed}, the steps:", *self.done, sep="\n")
            print("what is wrong:", *self.wrong, sep="\n")
        roles = sorted({role for one in self.memory for role in one})
        memory = {role: round(self.median(role), 1) for role in roles}
        grown = {role: round(self.slope(role), 1) for role in roles}
        for role in roles:
            too_much = "  too much" if role in self.growing else ""
            print(f"{role:12} {memory[role]:8.1f} MB PSS  {grown[role]:+9.1f} kB a minute{too_much}")
        result = {
            "benchmark": "soak",
            "seed": seed,
            "steps": len(self.done),
            "seconds": round(self.lasted),
            "wrong": len(self.wrong),
            "growing": self.growing,
            "pss_mb": memory,
            "grown_kb_per_minute": grown,
        }
        print(json.dumps(result), flush=True)


def sail(cluster: Cluster, plan: Sequence[Step], apps: int, objects: int, pause_s: float) -> Outcome:
    """Deploy `apps` Applications by a Mooring of its own, do what `plan` says, wait until all has settled,
    check."""
    began = time.monotonic()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-soak-")))
        redis = stack.enter_context(redis_with_aof())
        git = stack.enter_context(GitServer())
        home = stack.enter_context(fleet.namespace(cluster, f"soak-{secrets.token_hex(3)}"))
        world = World(cluster, home, git.create(f"team/{home}"), redis, apps, objects)
        stack.callback(world.leave)
        world.settle_in()
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(cluster.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
            "MOORING_POLL_SECONDS": str(POLL_S),
            "MOORING_RECONCILE_SECONDS": str(POLL_S),
            "MOORING_LEASE_SECONDS": "3",
        }
        world.port = stack.enter_context(_web(redis.url))
        world.group = stack.enter_context(group_of(environ))
        for app in range(apps):
            world.create_app(app)
        if wrong := world.settled():
            return Outcome(["the first deployment"], wrong, (), time.monotonic() - began)
        world.plant()
        memory = stack.enter_context(_sampled(world))
        done = []
        start = time.monotonic()
        for step in plan:
            time.sleep(max(0.0, start + step.at * pause_s - time.monotonic()))
            done.append(f"{step}{world.take(step)}")
        wrong = world.settled()
        time.sleep(
            2 * SAMPLED_EVERY_S if len(memory) > 2 else 0
        )  # what is there once nothing happens any more
        return Outcome(done, wrong, tuple(memory), time.monotonic() - began)


@dataclass(slots=True)
class World:
    """Everything that steps are about, and who is there of the apps."""

    cluster: Cluster
    home: str
    repo: Repository
    redis: RedisServer
    apps: int
    objects: int
    port: int = 0
    group: psutil.Process = field(default_factory=psutil.Process)
    there: set[int] = field(default_factory=set)
    foreign: dict[Key, str] = field(default_factory=dict)

    # --- before and after -----------------------------------------------------------------------------
    def settle_in(self) -> None:
        """Namespaces, and the first commit."""
        fleet.install_crds(self.cluster)
        for app in range(self.apps):
            ask(self.cluster, "/api/v1/namespaces", {"metadata": {"name": self.namespace(app)}})
        self.repo.commit(
            {
                self.file(app, one): self.manifest(one, 0)
                for app in range(self.apps)
                for one in range(self.objects)
            }
        )

    def plant(self) -> None:
        """Beside each app two objects of nobody's: one that looks like the app's, as a clone does, and one
        that does not."""
        for app in range(self.apps):
            path = PATHS["ConfigMap"].format(self.namespace(app))
            ours = ask(self.cluster, f"{path}/o2")["metadata"]
            clone = {key: ours[key] for key in ("labels", "annotations") if key in ours}
            for name, metadata in (("clone", clone), ("stranger", {})):
                ask(self.cluster, path, {"metadata": {"name": name, **metadata}, "data": {"v": "mine"}})
                key = (self.namespace(app), "ConfigMap", name)
                self.foreign[key] = uid(self.cluster, key)

    def leave(self) -> None:
        """Nothing of it stays, not even where another's control plane was used."""
        for app in range(self.apps):
            for path in (self.app_path(app), f"/api/v1/namespaces/{self.namespace(app)}"):
                with contextlib.suppress(OSError):
                    if path == self.app_path(app):
                        ask(
                            self.cluster,
                            path,
                            {"metadata": {"finalizers": None}},
                            method="PATCH",
                            content_type=_MERGE,
                        )
                    ask(self.cluster, path, method="DELETE")

    def settled(self) -> list[str]:
        """What is wrong once nothing is any more, or once that has been waited for in vain."""
        deadline = time.monotonic() + SETTLES_S
        while (wrong := self._wrong()) and time.monotonic() < deadline:
            time.sleep(1)
        return wrong

    def _wrong(self) -> list[str]:
        there = {fleet.app_name(app): self.namespace(app) for app in self.there}
        every = frozenset(self.namespace(app) for app in range(self.apps))
        wrong = differences(self.cluster, Expected(self.repo, there, every, self.foreign))
        listed = ask(self.cluster, fleet.APPLICATIONS.format(self.home))["items"]
        for one in listed:
            name, status = one["metadata"]["name"], one.get("status", {})
            told = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
            if name not in there:
                wrong.append(f"{name}: is still being deleted")
            elif told != ("Synced", "Healthy"):
                said = [condition["message"] for condition in status.get("conditions", [])]
                wrong.append(f"{name}: {told} {'; '.join(said)}")
        return wrong

    # --- the steps ------------------------------------------------------------------------------------
    def take(self, step: Step) -> str:
        """Do it. What was different from what was planned, for the log."""
        try:
            match step.verb:
                case "push" | "add" | "remove" | "lost":
                    gone = step.verb == "remove"
                    text = None if gone else self.manifest(step.object, step.value)
                    commit = self.repo.commit({self.file(step.app, step.object): text})
                    if step.verb != "lost":
                        self._deliver(commit)
                case "edit":
                    patch: dict[str, Any] = {"metadata": {"labels": {"v": "drift"}}, "data": {"v": "drift"}}
                    if kind(step.object) != "ConfigMap":
                        del patch["data"]
                    path = self.object_path(step.app, step.object)
                    ask(self.cluster, path, patch, method="PATCH", content_type=_MERGE)
                case "delete":
                    ask(self.cluster, self.object_path(step.app, step.object), method="DELETE")
                case "retire":
                    self.there.discard(step.app)
                    ask(self.cluster, self.app_path(step.app), method="DELETE")
                case "return":
                    self.create_app(step.app)
                case "kill" | "restart":
                    return self._end(step)
                case "redis":
                    self.redis.kill()
                    self.redis.start()
        except urllib.error.HTTPError as error:  # not there (yet), or the web tier without its Redis
            return f": HTTP {error.code}"
        except OSError as error:
            return f": {error}"
        return ""

    def _end(self, step: Step) -> str:
        running = self.processes().get(step.role, [])
        victims = running[1:] if step.role == "web" else running  # its first one is not started again
        if step.verb == "restart":
            victims = victims[:1]
        if not victims:
            return ": none runs"
        victim = victims[step.app % len(victims)]
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL if step.verb == "kill" else signal.SIGTERM)
        return f": pid {victim.pid}"

    def create_app(self, app: int) -> None:
        """The Application, once one of that name is gone."""
        made = fleet.application(app, self.home, self.namespace(app), self.repo)
        made["metadata"]["finalizers"] = [_FINALIZER]
        self.there.add(app)

        def created() -> bool:
            try:
                ask(self.cluster, fleet.APPLICATIONS.format(self.home), made)
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise
                return False
            return True

        until(created, f"{fleet.app_name(app)} is being deleted and deleted", SETTLES_S)

    def _deliver(self, commit: str) -> None:
        payload = {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit,
            "repository": {
                "full_name": "team/soak",
                "clone_url": self.repo.url,
                "html_url": self.repo.url.removesuffix(".git"),
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
            "X-Hub-Signature-256": f"sha256={hmac.new(_SECRET, body, hashlib.sha256).hexdigest()}",
        }
        url = f"http://127.0.0.1:{self.port}/webhooks/github"
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10).close()

    # --- names ----------------------------------------------------------------------------------------
    def namespace(self, app: int) -> str:
        return f"{self.home}-{app}"

    def app_path(self, app: int) -> str:
        return f"{fleet.APPLICATIONS.format(self.home)}/{fleet.app_name(app)}"

    def object_path(self, app: int, one: int) -> str:
        return f"{PATHS[kind(one)].format(self.namespace(app))}/o{one}"

    def file(self, app: int, one: int) -> str:
        return f"{fleet.app_name(app)}/o{one}.yaml"

    def manifest(self, one: int, value: int) -> str:
        return _MANIFESTS[kind(one)].format(one=one, value=value)

    # --- processes ------------------------------------------------------------------------------------
    def processes(self) -> dict[str, list[psutil.Process]]:
        """Those that run, by role; the first of each is the parent of the others."""
        found: dict[str, list[psutil.Process]] = defaultdict(list)
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in self.group.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    role = child.name() if child.name() in ROLES else "nursery"
                    found[role] = [child, *child.children(recursive=True)]
            found["supervisor"] = [self.group]
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[-1:] == [str(self.port)]:
                    found["web"] = [child, *child.children(recursive=True)]
        if self.redis.pid is not None:
            found["redis"] = [psutil.Process(self.redis.pid)]
        return found


def kind(one: int) -> str:
    """Of object number `one`."""
    return {0: "Deployment", 1: "Service"}.get(one, "ConfigMap")


@contextmanager
def _web(redis_url: str) -> Iterator[int]:
    environ = {
        "MOORING_REDIS_URL": redis_url,
        "MOORING_WEBHOOK_GITHUB_SECRET": _SECRET.decode(),
    }
    code = (
        "import os, sys; from mooring.settings_web import WebSettings; from webhook.serve import run; "
        f"run(WebSettings.from_env(os.environ), '127.0.0.1', int(sys.argv[1]), {WEB_PROCESSES})"
    )
    with serving(code, environ) as port:
        yield port


@contextmanager
def _sampled(world: World) -> Iterator[list[dict[str, float]]]:
    """kB of PSS by role, every few seconds while the block lasts."""
    samples: list[dict[str, float]] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLED_EVERY_S):
            found = {
                role: sum(_pss(process) for process in running) for role, running in world.processes().items()
            }
            samples.append({**found, "all": sum(found.values())})

    thread = threading.Thread(target=sample, daemon=True, name="memory")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _pss(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error, OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    return 0.0


_MANIFESTS: Final = {
    "ConfigMap": """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: o{one}, labels: {{v: "{value}"}}}}
data: {{v: "{value}", always: "the same"}}
""",
    "Service": """\
apiVersion: v1
kind: Service
metadata: {{name: o{one}, labels: {{v: "{value}"}}}}
spec:
  selector: {{app: o0}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
""",
    "Deployment": """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: o{one}, labels: {{v: "{value}"}}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: o{one}}}}}
  template:
    metadata: {{labels: {{app: o{one}}}}}
    spec: {{containers: [{{name: server, image: "registry.example.com/server:1"}}]}}
""",
}


if __name__ == "__main__":
    main()
