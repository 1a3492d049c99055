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
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil

from benchmarks import push_fleet as fleet
from benchmarks.fleet import own_cluster
from benchmarks.processes import WEB_PROCESSES, answers, free_port, redis_with_aof, until
from benchmarks.soak_check import PATHS, Expected, Key, differences, identity
from benchmarks.soak_plan import EVERYBODY, ROLES, Step, steps
from benchmarks.soak_weight import Sample, growing, median, sample, spared
from devcluster import outage
from devcluster.cluster import Cluster, ask
from devcluster.gitserver import GitServer, Repository
from devcluster.redis import RedisServer

CLUSTER: Final = "bench-soak"
POLL_S: Final = 15
SETTLES_S: Final = 300.0
SAMPLED_EVERY_S: Final = 5.0
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
    with own_cluster(f"{CLUSTER}-{os.getpid()}") as cluster:
        found = sail(cluster, plan, options.apps, options.objects, options.pause)
    found.tell(options.seed)
    sys.exit(0 if found.well else 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`wrong` are the checker's words; `lasted` in seconds."""

    done: Sequence[str]
    wrong: Sequence[str]
    samples: Sequence[Sample]
    lasted: float

    @property
    def growing(self) -> list[str]:
        return growing(self.samples)

    @property
    def well(self) -> bool:
        return not self.wrong and not self.growing

    def tell(self, seed: int) -> None:
        """Print all of it; the last line is JSON."""
        if self.wrong:
            print(f"seed {seed}, the steps:", *self.done, sep="\n")
            print("what is wrong:", *self.wrong, sep="\n")
        memory: dict[str, tuple[float, float]] = {}
        resident: dict[str, tuple[float, float]] = {}
        for kind in sorted({kind for one in self.samples for kind in one.pss}):
            thirds = spared(self.samples, kind)
            pss, rss, files, threads = (
                [median(part, of, kind) for part in thirds]
                for of in (
                    lambda one: one.pss,
                    lambda one: one.rss,
                    lambda one: one.files,
                    lambda one: one.threads,
                )
            )
            memory[kind] = round(pss[0] / 1024, 1), round(pss[1] / 1024, 1)
            resident[kind] = round(rss[0] / 1024, 1), round(rss[1] / 1024, 1)
            number = thirds[0][0].processes.get(kind, 0) if thirds[0] else 0
            print(
                f"{kind:12} {number:2} processes"
                f" {memory[kind][0]:7.1f} and later {memory[kind][1]:7.1f} MB PSS"
                f"  {resident[kind][0]:7.1f} {resident[kind][1]:7.1f} MB RSS"
                f"  {files[0]:4.0f} {files[1]:4.0f} files  {threads[0]:4.0f} {threads[1]:4.0f} threads"
            )
        first, last = (self.samples[0], self.samples[-1]) if self.samples else (None, None)
        keys = [sum(one.keys.values()) for one in (first, last) if one]
        disk = [{name: round(kb) for name, kb in one.disk.items()} for one in (first, last) if one]
        print("keys in Redis, first and last:", *keys)
        print("kB on disk, first and last:", *disk)
        print(*(f"grows: {line}" for line in self.growing), sep="\n", end="")
        result = {
            "benchmark": "soak",
            "seed": seed,
            "steps": len(self.done),
            "seconds": round(self.lasted),
            "wrong": len(self.wrong),
            "growing": self.growing,
            "pss_mb": memory,
            "rss_mb": resident,
            "keys": keys,
            "disk_kb": disk,
        }
        print(json.dumps(result), flush=True)


def sail(cluster: Cluster, plan: Sequence[Step], apps: int, objects: int, pause_s: float) -> Outcome:
    """Deploy `apps` Applications by a Mooring of its own, do what `plan` says, wait until all has settled,
    check."""
    began = time.monotonic()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-soak-")))
        redis = stack.enter_context(redis_with_aof())
        git = GitServer(directory / "git")
        git.start()
        home = stack.enter_context(fleet.namespace(cluster, f"soak-{secrets.token_hex(3)}"))
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(cluster.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
            "MOORING_POLL_SECONDS": str(POLL_S),
            "MOORING_RECONCILE_SECONDS": str(POLL_S),
            "MOORING_LEASE_SECONDS": "3",
        }
        repo, group = git.create(f"team/{home}"), Group(environ)
        world = World(cluster, home, git, repo, redis, directory / "state", group, apps, objects)
        stack.callback(world.leave)
        world.settle_in()
        stack.enter_context(group)
        until(lambda: answers(group.port), "the web tier does not start", 60)
        for app in range(apps):
            world.create_app(app)
        if wrong := world.settled():
            return Outcome(["the first deployment"], wrong, (), time.monotonic() - began)
        world.plant()
        samples = stack.enter_context(_sampled(world))
        done = []
        start = time.monotonic()
        for step in plan:
            time.sleep(max(0.0, start + step.at * pause_s - time.monotonic()))
            done.append(f"{step}{world.take(step)}")
            print(f"soak {time.strftime('%T')} {done[-1]}", file=sys.stderr, flush=True)
        wrong = world.settled()
        return Outcome(done, wrong, tuple(samples), time.monotonic() - began)


@dataclass(slots=True)
class World:
    """Everything that steps are about, and who is there of the apps."""

    cluster: Cluster
    home: str
    git: GitServer
    repo: Repository
    redis: RedisServer
    state: Path
    group: Group
    apps: int
    objects: int
    there: set[int] = field(default_factory=set)
    foreign: dict[Key, str] = field(default_factory=dict)
    deliveries: list[str] = field(default_factory=list)  # that Redis is to know of

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
                body = {"metadata": {"name": name, **metadata}, "data": {"v": "mine"}}
                made = ask(self.cluster, path, body)
                self.foreign[self.namespace(app), "ConfigMap", name] = identity(made)

    def leave(self) -> None:
        """Nothing of it stays, not even where another's control plane was used."""
        self.git.stop()
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
        outage.ready(self.cluster)
        deadline = time.monotonic() + SETTLES_S
        while (wrong := self._wrong_now()) and time.monotonic() < deadline:
            time.sleep(1)
        return wrong

    def _wrong_now(self) -> list[str]:
        try:
            if wrong := self._wrong():
                self._as_meant()
        except OSError as error:  # of a server that has just begun
            return [str(error)]
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
        return wrong or list(self._unfinished())

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
                    self.there.add(step.app)
                    self._created(step.app)
                case "kill" | "restart":
                    return self._end(step)
                case "down":
                    self._down(step.role)
                case "up":
                    self._up(step.role)
                case "forget":
                    self.redis.kill()
                    for written in self.redis.directory.glob("appendonly*"):  # a directory since Redis 7
                        shutil.rmtree(written) if written.is_dir() else written.unlink()
                    self.deliveries.clear()
                    self.redis.start()
        except urllib.error.HTTPError as error:  # not there (yet), or the web tier without its Redis
            return f": HTTP {error.code}"
        except OSError as error:
            return f": {error}"
        return ""

    def _end(self, step: Step) -> str:
        if step.role == EVERYBODY:
            self.group.kill()
            self.group.start()
            return ""
        running = self.processes().get(step.role, [])
        if step.verb == "restart":
            running = running[:1]
        if not running:
            return ": none runs"
        victim = running[step.app % len(running)]
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL if step.verb == "kill" else signal.SIGTERM)
        return f": pid {victim.pid}"

    def create_app(self, app: int) -> None:
        """The Application, once one of that name is gone."""
        self.there.add(app)
        until(lambda: self._created(app), f"{fleet.app_name(app)} is being deleted and deleted", SETTLES_S)

    def _created(self, app: int) -> bool:
        """Whether that was possible: one of that name may still be being deleted."""
        made = fleet.application(app, self.home, self.namespace(app), self.repo)
        made["metadata"]["finalizers"] = [_FINALIZER]
        with contextlib.suppress(urllib.error.HTTPError):
            ask(self.cluster, fleet.APPLICATIONS.format(self.home), made)
            return True
        return False

    def _as_meant(self) -> None:
        """The Applications there that are to be there, and no others: the API server may have been away."""
        for app in range(self.apps):
            try:
                being = ask(self.cluster, self.app_path(app))["metadata"].get("deletionTimestamp")
            except urllib.error.HTTPError:
                being = None
                if app in self.there:
                    self._created(app)
                continue
            if app not in self.there and not being:
                ask(self.cluster, self.app_path(app), method="DELETE")

    def _down(self, what: str) -> None:
        match what:
            case "redis":
                self.redis.kill()
            case "git":
                self.git.stop()
            case component:
                outage.kill(self.cluster, component)

    def _up(self, what: str) -> None:
        match what:
            case "redis":
                self.redis.start()
            case "git":
                self.git = GitServer(self.git.root, port=self.git.port)
                self.git.start()
            case component:
                outage.begin(self.cluster, component)

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
        url = f"http://127.0.0.1:{self.group.port}/webhooks/github"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            self.deliveries.append(json.load(answer)["id"])

    def _unfinished(self) -> Iterator[str]:
        for id in self.deliveries:
            url = f"http://127.0.0.1:{self.group.port}/api/v1/deliveries/{id}"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    state = json.load(answer)["state"]
            except urllib.error.HTTPError as error:
                state = f"HTTP {error.code}"
            if state not in ("succeeded", "failed"):
                yield f"delivery {id} was accepted, and is: {state}"

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
        for child in self.group.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                role = _role(child)
                found[role] = [child, *(() if role == "supervisor" else child.children(recursive=True))]
        if (pid := self.redis.pid) is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                found["redis"] = [psutil.Process(pid)]
        return found


def kind(one: int) -> str:
    """Of object number `one`."""
    return {0: "Deployment", 1: "Service"}.get(one, "ConfigMap")


class Group:
    """All processes of a Mooring but Redis, kept running as `mooring up` keeps them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.port = free_port()
        self._environ = {**os.environ, **environ, "MOORING_WEBHOOK_GITHUB_SECRET": _SECRET.decode()}
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._supervisor = subprocess.Popen(
            [sys.executable, "-c", _MOORING, str(self.port), str(WEB_PROCESSES)],
            env=self._environ,
            start_new_session=True,
            stdout=sys.stderr,
        )

    def kill(self) -> None:
        """-9 to the one that keeps the others: the kernel ends them with it."""
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait()

    def children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._supervisor is not None:
                parent = psutil.Process(self._supervisor.pid)
                return [parent, *parent.children()]
        return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._supervisor is not None:
            self._supervisor.terminate()
            try:
                self._supervisor.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def _role(process: psutil.Process) -> str:
    """Of a child of the supervisor; one that was grown has only its name of its own."""
    if process.name() in ROLES:
        return process.name()
    line = process.cmdline()
    modules = {"webhook": "web", "workers.beat": "beat", "workers.observer": "observer"}
    for word in line:
        if word in modules:
            return modules[word]
    if "workers.run" in line:
        return line[-1]
    return "nursery" if "cli.nursery" in line else "supervisor"


@contextmanager
def _sampled(world: World) -> Iterator[list[Sample]]:
    """A sample every few seconds while the block lasts."""
    samples: list[Sample] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLED_EVERY_S):
            samples.append(sample(time.monotonic(), world.processes(), world.redis.url, world.state))

    thread = threading.Thread(target=look, daemon=True, name="weight")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


_MOORING: Final = """\
import os, sys
from cli import processes, supervise
from mooring.settings import Settings
settings = Settings.from_env(os.environ)
children = [
    *processes.workers(os.environ, settings),
    processes.beat(os.environ, settings),
    processes.observer(os.environ, settings),
    processes.web(os.environ, settings.redis_url, "127.0.0.1", int(sys.argv[1]), int(sys.argv[2])),
]
supervise.run(children, drain_s=20)
"""
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
