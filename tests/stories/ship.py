"""A whole Mooring of real processes, for one story: web, three workers, beat, its own home namespace."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.names import DEPLOY, RECONCILE, SLOW, TASK_RECONCILE
from mooring.store.due import DUE
from tests.measured import measured
from tests.ports import free_port
from workers.celery_app import make
from workers.proof import ROLLOUT
from workers.push import groups

SECRET = "a webhook secret of the tests"
# With what hangs. The pool for what is slow gives way to everybody: on a busy machine it takes its time.
PATIENCE_S = 180.0
# As old may be what a process knows of argocd-cm and of keys, and of projects.
TRUSTED_S = 10.0
PROJECTS_TRUSTED_S = 1.0
APPS = "/apis/argoproj.io/v1alpha1/namespaces/{}/applications"
T = TypeVar("T")
_numbers = itertools.count(1)
_POOLS = ("intake", "deploy", "slow", "reconcile")


def until(what: str, look: Callable[[], T | None]) -> T:
    """The first answer of `look` that is not None or False; fails naming `what` was waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S:.0f} s in vain for: {what}")
        time.sleep(0.05)


@dataclass
class Ship:
    """The processes and what a story does with them."""

    cluster: Cluster
    home: str
    redis_url: str
    directory: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    port: int = 0
    metrics: dict[str, int] = field(default_factory=dict)  # ports, by the names of processes
    environs: dict[str, Mapping[str, str]] = field(default_factory=dict)  # more variables, by the same

    # --- processes ----------------------------------------------------------------------------
    def start(self, *names: str) -> None:
        """Start these processes (all when none is named) and wait until the web tier answers.

        With beat, all pools are also waited for until what beat asks for at its start is done: a story that
        has begun by then may see its push found by that poll, instead of by its own delivery.
        """
        names = names or (*_POOLS, "web", "beat")
        for name in names:
            self._spawn(name)
        if "web" in self.children:
            until("the web tier", self._answers)
        if "beat" in names:
            for name in _POOLS:
                self.ready(name)
            with self.redis() as client:
                queues = [f"mooring:queue:{name}" for name in (DEPLOY, RECONCILE, SLOW)]
                until("what beat asks for first", lambda: not any(map(client.llen, queues)))

    def _spawn(self, name: str) -> None:
        kind = name.partition("-")[0]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "MOORING_REDIS_URL": self.redis_url,
        }
        if kind in ("web", "worker", "beat", "observer"):
            self.metrics[name] = free_port()
            environ["MOORING_METRICS_ADDRESS"] = f"127.0.0.1:{self.metrics[name]}"
        if kind == "web":
            self.port = free_port()
            environ["MOORING_WEBHOOK_GITHUB_SECRET"] = SECRET
            argv = [sys.executable, "-m", "webhook", "--port", str(self.port)]
        else:
            environ |= {
                "MOORING_KUBECONFIG": str(self.cluster.kubeconfig),
                "MOORING_NAMESPACE": self.home,
                "MOORING_STATE_DIR": str(self.directory / f"state-{name}"),
                "MOORING_RECONCILE_SECONDS": "3600",
                "MOORING_POLL_SECONDS": "3600",
                **self.settings,
            }
            modules = {
                "beat": ["workers.beat"],
                "observer": ["workers.observer"],
                "worker": ["cli.main", "worker"],
            }
            module = modules.get(kind, ["workers.run", kind])
            argv = [sys.executable, "-m", *module]
        environ |= self.environs.get(name, {})
        log = (self.directory / f"{name}.log").open("ab")
        self.children[name] = subprocess.Popen(
            argv, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )

    settings: Mapping[str, str] = field(default_factory=dict)

    def kill(self, name: str) -> None:
        """kill -9, as a machine that goes down."""
        child = self.children.pop(name)
        child.send_signal(signal.SIGKILL)
        child.wait()

    def end(self, name: str) -> None:
        """Ended for good, whatever state it is in, with its children."""
        child = self.children.pop(name)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def revive(self) -> None:
        """Starts again what has ended by itself, as `mooring up` or a Deployment does."""
        for name, child in self.children.items():
            if child.poll() is not None:
                self._spawn(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """To the process and all its children, as SIGSTOP a machine that hangs and SIGCONT one that wakes."""
        os.killpg(self.children[name].pid, number)

    def pool(self, name: str) -> list[int]:
        """The process ids of its pool."""
        parent = self.children[name].pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def worker(self, pool: str) -> str:
        """What Celery calls the worker of this pool."""
        return f"{pool}@{socket.gethostname()}"

    def ready(self, name: str) -> None:
        """Waits until the worker takes tasks, by itself or as one of all."""
        log, pool = name if name in self.children else "worker", name.partition("-")[0]
        until(f"{name} to be ready", lambda: re.search(rf"\b{pool}@\S+ ready\.", self.log(log)))

    def stop(self) -> None:
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child in self.children.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2).close()
            return True  # anything but 200 is raised
        return False

    # --- what is measured -----------------------------------------------------------------------
    def measured(self, name: str) -> dict[str, list[Sample]]:
        """What the process tells at /metrics: samples by their names."""
        found: dict[str, list[Sample]] = {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[name]}/metrics", timeout=20) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(sample)
        return found

    def counted(self, name: str, metric: str, **labels: str) -> float:
        """The sum of what the process tells of `metric` with these labels."""
        samples = self.measured(name).get(metric, [])
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def health(self, name: str) -> tuple[int, str]:
        """Status and words of the process's /healthz; 0 while nobody listens."""
        try:
            url = f"http://127.0.0.1:{self.metrics[name]}/healthz"
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def api(self, path: str) -> tuple[int, Any]:
        """What the web tier's API answers: status and content."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=20) as answer:
            return answer.status, json.load(answer)

    # --- the queue ------------------------------------------------------------------------------
    def send(self, queue: str, task: str, *args: Any, **options: Any) -> None:
        """A task by its name, as `celery call` or Flower send it."""
        with make("story", self.redis_url) as app:
            app.send_task(task, args=args, queue=queue, **options)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    # --- the cluster ----------------------------------------------------------------------------
    def ask(self, path: str, body: Any = None, method: str | None = None, **options: Any) -> Any:
        return devcluster.ask(self.cluster, path, body, method=method, **options)

    def find(self, path: str) -> Any:
        """The object, or None when it is not there."""
        try:
            return self.ask(path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def configmap(self, namespace: str, name: str) -> Any:
        return self.find(f"/api/v1/namespaces/{namespace}/configmaps/{name}")

    def app(self, name: str) -> Any:
        return self.find(f"{APPS.format(self.home)}/{name}")

    def create_app(
        self,
        name: str,
        repo: Repository,
        namespace: str,
        *,
        path: str = ".",
        revision: str = "main",
        auto: bool = True,
        policy: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
        annotations: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """An Application that follows `revision`.

        `more` goes into syncPolicy.automated, `policy` into syncPolicy; `spec` replaces fields of the spec.
        """
        automated = {"automated": {"prune": True, **more}} if auto else {}
        source = {"repoURL": repo.url, "path": path, "targetRevision": revision}
        self.ask(
            APPS.format(self.home),
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": name, "namespace": self.home, "annotations": dict(annotations or {})},
                "spec": {
                    "project": "default",
                    **({} if "sources" in (spec or {}) else {"source": source}),
                    "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                    "syncPolicy": {**automated, **(policy or {})},
                    **(spec or {}),
                },
            },
        )

    def patch_app(self, name: str, patch: Any) -> Any:
        path = f"{APPS.format(self.home)}/{name}"
        return self.ask(path, patch, method="PATCH", content_type="application/merge-patch+json")

    def condition(self, name: str, text: str) -> Any:
        """Waits for a condition whose message holds `text`."""

        def look() -> Any:
            found = (self.app(name) or {}).get("status", {}).get("conditions", [])
            return next((c for c in found if text in c["message"]), None)

        return until(f"a condition of {name} that says {text!r}", look)

    def synced(self, name: str, commit: str, *, status: str = "Synced") -> Any:
        """Waits until the app is compared at `commit` with this result."""

        def look() -> Any:
            app = self.app(name)
            sync = (app or {}).get("status", {}).get("sync", {})
            return app if sync.get("revision") == commit and sync.get("status") == status else None

        return until(f"{name} {status} at {commit[:8]}", look)

    def synced_all(self, name: str, *commits: str, status: str = "Synced") -> Any:
        """Waits until the app of several sources is compared at these commits, one a source."""

        def look() -> Any:
            app = self.app(name)
            sync = (app or {}).get("status", {}).get("sync", {})
            return app if sync.get("revisions") == [*commits] and sync.get("status") == status else None

        return until(f"{name} {status} at {', '.join(commit[:8] for commit in commits)}", look)

    def unsaid(self, name: str, text: str) -> None:
        """Waits until no condition's message holds `text`."""

        def look() -> bool:
            found = self.app(name).get("status", {}).get("conditions", [])
            return not any(text in c["message"] for c in found)

        until(f"no condition of {name} that says {text!r}", look)

    def resource(self, app: str, name: str, kind: str = "ConfigMap") -> Any:
        """What the app's status says of one object now, or None."""
        found = self.app(app).get("status", {}).get("resources", [])
        return next((r for r in found if (r["kind"], r["name"]) == (kind, name)), None)

    def operate(self, name: str, **sync: Any) -> Any:
        """An operation put on the object as `argocd app sync` does; the app once it has ended."""
        self.patch_app(name, {"operation": {"sync": sync, "initiatedBy": {"username": "sailor"}}})
        return self.ended(name)

    def ended(self, name: str) -> Any:
        """Waits until no operation is asked for or running; the app then."""

        def look() -> Any:
            app = self.app(name)
            phase = app.get("status", {}).get("operationState", {}).get("phase", "Running")
            return app if "operation" not in app and phase != "Running" else None

        return until(f"the end of the operation of {name}", look)

    def refresh(self, name: str, how: str = "normal") -> Any:
        """Asks for a refresh as `argocd app get --refresh` does; the app once it has been looked at."""
        key = "argocd.argoproj.io/refresh"
        self.patch_app(name, {"metadata": {"annotations": {key: how}}})

        def look() -> Any:
            app = self.app(name)
            return app if key not in app["metadata"].get("annotations", {}) else None

        return until(f"the refresh of {name}", look)

    def reconcile(self, name: str) -> Any:
        """Calls the reconciliation of one app as `celery call` does; the app once that has ended."""
        key = AppKey(self.home, name)
        with redis.Redis.from_url(self.redis_url) as client:

            def count(what: str) -> int:
                return int(client.hget(f"mooring:turn:app:{key}", what) or 0)

            before = count("wanted")  # a look that is under way has not seen what the story has just done
            with make("stories", self.redis_url) as celery:
                celery.send_task(TASK_RECONCILE, args=[str(key), "reconcile"], queue=RECONCILE)
            until(f"the reconciliation of {name}", lambda: count("done") > before)
        return self.app(name)

    def pushed(self, repo: Repository, files: Mapping[str, Any]) -> str:
        """Commits `files`, delivers that as a push and waits for its end; the commit."""
        commit = repo.commit(files)
        self.finished(self.deliver(repo, commit))
        return commit

    def kubectl(self, *args: str, given: str = "") -> str:
        """What kubectl prints. Fails with what it says when it fails."""
        done = subprocess.run(
            [*self.cluster.kubectl, *args], input=given, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mooring(self, *args: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """The `mooring` command, as a user of this installation runs it."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "TZ": "UTC",
            "MOORING_KUBECONFIG": str(self.cluster.kubeconfig),
            "MOORING_NAMESPACE": self.home,
            "MOORING_REDIS_URL": self.redis_url,
            "MOORING_STATE_DIR": str(self.directory / "state-cli"),
            **measured(),
        }
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *args],
            env=environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def wanted(self) -> str:
        """What is wanted and not done, as Redis has it: open turns, waiting steps, lengths of the queues."""
        with contextlib.suppress(redis.RedisError), self.redis() as client:
            names = [name.decode() for name in client.smembers("mooring:turns")]
            lines = [f"{name}: {client.hgetall(f'mooring:turn:{name}')}" for name in names]
            lines += [
                f"{step!r} at {at}" for step, at in client.zrange("mooring:due", 0, -1, withscores=True)
            ]
            lines += [
                f"{key!r}: {client.llen(key)}"
                for key in client.keys("mooring:queue:*")
                if client.type(key) == b"list"
            ]
            return "\n".join([*lines, f"at {time.time()}"])
        return "Redis does not answer"

    @contextmanager
    def sends_due(self, *tasks: str) -> Iterator[None]:
        """Steps of these tasks are sent when they are due, as beat would, which is not there."""
        ended = threading.Event()

        def send() -> None:
            with self.redis() as client:
                while not ended.wait(0.2):
                    for step in client.zrangebyscore(DUE, "-inf", time.time()):
                        task, args, queue = json.loads(step)
                        if task in tasks and client.zrem(DUE, step):
                            self.send(queue, task, *args)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        try:
            yield
        finally:
            ended.set()
            sending.join()

    def read_anew(self, trusted_s: float = TRUSTED_S) -> None:
        """Waits until no process goes by what it has read before, as one of them does no more."""
        began = time.monotonic()
        until("all to be read anew", lambda: time.monotonic() > began + trusted_s)

    def quiet(self) -> None:
        """Waits until nothing is wanted of any app that there is: one that is gone may have been put off."""
        with redis.Redis.from_url(self.redis_url) as client:

            def still() -> bool:
                wanted = {name.decode() for name in client.smembers("mooring:turns")}
                apps = [Application.parse(raw) for raw in self.ask(APPS.format(self.home))["items"]]
                followed = [follows for app in apps for follows in groups(app)]
                return wanted.isdisjoint(
                    [*(f"app:{app.key}" for app in apps), *(follows.name for follows in followed)]
                )

            until("the end of all work", still)

    def quiet_but(self, *names: str) -> None:
        """Waits until these apps wait for their time alone: nobody is at work on them or about to be."""
        turns = [f"mooring:turn:app:{AppKey(self.home, name)}" for name in names]
        with self.redis() as client:
            until(
                f"{', '.join(names)} to be left alone",
                lambda: not any(client.hexists(turn, at) for turn in turns for at in ("holder", "queued")),
            )

    def looks(self, name: str) -> int:
        """How often the app's turn was taken and its work done, or what stood for that."""
        with self.redis() as client:
            return int(client.hget(f"mooring:turn:app:{AppKey(self.home, name)}", "done") or 0)

    def works_on(self, name: str) -> bool:
        """Whether a worker is at work on the app right now."""
        with self.redis() as client:
            return bool(client.hexists(f"mooring:turn:app:{AppKey(self.home, name)}", "holder"))

    # --- the Git host -----------------------------------------------------------------------------
    def deliver(
        self,
        repo: Repository,
        commit: str,
        *,
        ref: str = "refs/heads/main",
        id: str = "",
        before: str = "0" * 40,
        secret: str = SECRET,
    ) -> str:
        """A signed GitHub push. The delivery's id of ours."""
        payload = {
            "ref": ref,
            "before": before,
            "after": commit,
            "repository": {
                "full_name": "team/repo",
                "clone_url": repo.url,
                "html_url": repo.url.removesuffix(".git"),
                "default_branch": "main",
            },
            "pusher": {"name": "sailor"},
            "commits": [],
        }
        body = json.dumps(payload).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/webhooks/github",
            body,
            {
                "Content-Type": "application/json",
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": id or f"{secrets.token_hex(8)}-{next(_numbers)}",
                "X-Hub-Signature-256": f"sha256={signature}",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["id"])

    def delivery(self, id: str) -> Any:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/api/v1/deliveries/{id}", timeout=10
        ) as answer:
            return json.load(answer)

    def finished(self, id: str) -> Any:
        """Waits until the delivery has an end."""

        def look() -> Any:
            found = self.delivery(id)
            return found if found["state"] in ("succeeded", "failed") else None

        return until(f"the end of delivery {id}", look)


def unobserved(body: Any) -> Any:
    """The object as whoever writes it has left it: without what its controller, which may come late, says of
    it in its status."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "resourceVersion"}
    metadata["annotations"] = {
        key: value for key, value in metadata.get("annotations", {}).items() if key != ROLLOUT
    }
    metadata["managedFields"] = [one for one in metadata["managedFields"] if "subresource" not in one]
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def configmap(name: str, **data: str) -> str:
    """A manifest."""
    lines = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines}"
