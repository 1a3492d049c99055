"""How long the first deployment of many Applications takes, and what it costs.

Three hundred Applications of ten objects each (four ConfigMaps, two Services, two Deployments, two
ServiceAccounts), each with a namespace of its own that its sync creates, all in one repository. A Git host
over HTTP, workers, beat, observer and Redis, all real processes on this machine, and a real control plane
that is started for the benchmark alone:

    python -m benchmarks.fleet

It counts from the creation of the first Application until a watch shows all of them Synced and Healthy. The
bare loop before it does the same requests from two processes: it creates each namespace, applies the same
objects server-side, and waits until all Deployments are available. There are no dry-runs in it, because
there are none in ours: what goes into a namespace that does not exist yet cannot be tried.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import yaml

from benchmarks import push_fleet as fleet
from benchmarks.processes import redis_with_aof, until
from benchmarks.processes import workers as group_of
from benchmarks.push_account import account
from benchmarks.push_watch import Watch
from benchmarks.report import report
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from devcluster.outage import started
from workers.health import HealthStatus, assess

CLUSTER = "bench-fleet"
BARE_PROCESSES = 2
OBJECTS = 10
_COMPONENTS = {
    "api_server_cpu_seconds": ("kube-apiserver",),
    "controllers_cpu_seconds": ("kube-controller-manager", "kube-scheduler", "kwok"),
}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLURALS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}


def main() -> None:
    """Measure the bare loop, then Mooring, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--bare", help=argparse.SUPPRESS)  # what one of the bare loop's processes is to do
    options = parser.parse_args()
    if options.bare:
        _bare(json.loads(options.bare))
        return
    with ExitStack() as stack:
        cluster = stack.enter_context(own_cluster(CLUSTER))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        repo = git.create("team/apps")
        repo.commit({path: text for number in range(options.apps) for path, text in files(number).items()})
        before = _control_plane(cluster)
        bare = {"all_healthy_s": _bare_loop(cluster, options.apps)}
        bare |= _spent(cluster, before)
        figures, requests = _mooring(cluster, git, repo, directory, options.apps)
    for verb, count in sorted(requests.items()):
        figures[f"api_{verb}_per_app"] = round(count / options.apps, 1)
    figures["api_requests_per_app"] = round(requests.total() / options.apps, 1)
    report(
        "fleet",
        figures,
        bare,
        figures["all_healthy_s"] / bare["all_healthy_s"],
        notes=[
            f"{options.apps} Applications of {OBJECTS} objects, a namespace each; {os.cpu_count()} cores "
            "shared by everything: Git host, control plane, Mooring, the bare loop.",
            f"Bare loop, from {BARE_PROCESSES} processes: create the namespace, apply the objects, wait "
            "until all Deployments are available.",
            "Requests are those that the API server counted for Mooring's account; CPU is that of all our "
            "processes from the first Application to the end.",
            "The controllers (with scheduler and kubelet) do up to a tenth more for Mooring; what their CPU "
            "differs by besides is the machine, or what our processes take from its caches.",
        ],
    )


def files(number: int) -> dict[str, str]:
    """The manifests of an Application, a file each."""
    app = fleet.app_name(number)
    found = {f"{app}/settings-{n}.yaml": _CONFIG_MAP.format(app=app, n=n) for n in range(4)}
    for n in range(2):
        found[f"{app}/account-{n}.yaml"] = _ACCOUNT.format(app=app, n=n)
        found[f"{app}/service-{n}.yaml"] = _SERVICE.format(app=app, n=n)
        found[f"{app}/deployment-{n}.yaml"] = _DEPLOYMENT.format(app=app, n=n)
    return found


@contextmanager
def own_cluster(name: str) -> Iterator[Cluster]:
    """A control plane of its own, without anybody else's objects; gone in the end."""
    found = devcluster.start(name, say=lambda text: print(text, file=sys.stderr))
    try:
        fleet.install_crds(found)
        yield found
    finally:
        devcluster.stop(name, delete=True)


# --- ours ---------------------------------------------------------------------------------------------
def _mooring(
    cluster: Cluster, git: GitServer, repo: Repository, directory: Path, apps: int
) -> tuple[dict[str, float], Counter[str]]:
    with ExitStack() as stack:
        home = stack.enter_context(fleet.namespace(cluster, "home"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        redis = stack.enter_context(redis_with_aof())
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(acts_as.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
        }
        group = stack.enter_context(group_of(environ))
        until(lambda: at_work(group), "the workers do not start", 60)
        time.sleep(5.0)  # what beat asks for at its start is done
        git.requests.clear()
        watch = stack.enter_context(Watch(cluster, fleet.APPLICATIONS.format(home), settled))
        requests, before = acts_as.requests(), _control_plane(cluster)
        cpu, began = _cpu(group), time.time()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda n: create(cluster, home, repo, n), range(apps)))
        created_s = time.time() - began
        took_s = max(watch.when(fleet.app_name(number), 900) for number in range(apps)) - began
        figures = {
            "all_healthy_s": round(took_s, 1),
            "applications_created_s": round(created_s, 1),
            "cpu_seconds": round(_cpu(group) - cpu, 1),
            **_spent(cluster, before),
            "git_host_requests": float(len(git.requests)),
        }
        return figures, acts_as.requests() - requests


def create(cluster: Cluster, home: str, repo: Repository, number: int) -> None:
    made = fleet.application(number, home, f"fleet-{number}", repo)
    made["spec"]["syncPolicy"]["syncOptions"] = ["CreateNamespace=true"]
    devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)


def settled(app: dict[str, Any]) -> str | None:
    """The Application's name once it is Synced and Healthy."""
    status = app.get("status", {})
    told = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
    return str(app["metadata"]["name"]) if told == ("Synced", "Healthy") else None


def family(group: psutil.Process) -> list[psutil.Process]:
    return [group, *group.children(recursive=True)]


def at_work(group: psutil.Process) -> bool:
    """Whether each pool has a process that takes tasks."""
    having = {child.name() for child in group.children() if child.is_running() and child.children()}
    return having >= {"deploy", "slow", "reconcile"}


def _cpu(group: psutil.Process) -> float:
    times = [process.cpu_times() for process in family(group)]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def _control_plane(cluster: Cluster) -> dict[str, float]:
    """The CPU seconds that its processes have taken so far."""
    found: dict[str, float] = {}
    for figure, components in _COMPONENTS.items():
        times = [psutil.Process(started(cluster, name).pid).cpu_times() for name in components]
        found[figure] = sum(t.user + t.system for t in times)
    return found


def _spent(cluster: Cluster, before: dict[str, float]) -> dict[str, float]:
    return {figure: round(cpu - before[figure], 1) for figure, cpu in _control_plane(cluster).items()}


# --- the bare loop --------------------------------------------------------------------------------------
def _bare_loop(cluster: Cluster, apps: int) -> float:
    """Seconds until all is applied and available."""
    asked = [
        json.dumps(
            {
                "server": urlsplit(cluster.server).netloc,
                "ca": str(cluster.ca),
                "token": cluster.token,
                "numbers": list(range(process, apps, BARE_PROCESSES)),
            }
        )
        for process in range(BARE_PROCESSES)
    ]
    began = time.monotonic()
    children = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.fleet", "--bare", task]) for task in asked
    ]
    if any(child.wait() for child in children):
        raise RuntimeError("the bare loop failed: see above")
    return round(time.monotonic() - began, 1)


def _bare(task: dict[str, Any]) -> None:
    """What one of its processes does: all of its Applications, then wait for all of their Deployments."""
    connection = http.client.HTTPSConnection(
        task["server"], context=ssl.create_default_context(cafile=task["ca"])
    )
    headers = {"Authorization": f"Bearer {task['token']}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        sent = None if body is None else orjson.dumps(body)
        connection.request(method, path, sent, {**headers, "Content-Type": kind})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status} {said[:200]!r}")
        return orjson.loads(said)

    for number in task["numbers"]:
        namespace = f"bare-{number}"
        ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        for text in files(number).values():
            body = yaml.load(text, Loader=_LOADER)
            path = f"{_PLURALS[body['kind']].format(namespace)}/{body['metadata']['name']}"
            ask("PATCH", f"{path}?fieldManager=bare&force=true", body, "application/apply-patch+yaml")
    waits = {f"bare-{number}" for number in task["numbers"]}
    while waits:
        items = ask("GET", "/apis/apps/v1/deployments?resourceVersion=0")["items"]
        unready = {one["metadata"]["namespace"] for one in items if not _available(one)}
        waits &= unready
        time.sleep(0.5 if waits else 0)


def _available(deployment: dict[str, Any]) -> bool:
    found = assess({**deployment, "apiVersion": "apps/v1", "kind": "Deployment"})
    return found is not None and found.status is HealthStatus.HEALTHY


_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings-{n}
  labels: {{app.kubernetes.io/name: {app}}}
data:
  value: "first"
  application.properties: |
    server.port=8080
    database.url=postgres://database.{app}.svc:5432/{app}
    cache.ttl.seconds=300
"""
_ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: server-{n}
  labels: {{app.kubernetes.io/name: {app}}}
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: server-{n}
  labels: {{app.kubernetes.io/name: {app}}}
spec:
  selector: {{app: server-{n}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"""
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: server-{n}
  labels: {{app.kubernetes.io/name: {app}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: server-{n}}}}}
  template:
    metadata:
      labels: {{app: server-{n}}}
    spec:
      containers:
        - name: server
          image: registry.example.com/{app}:1.0.0
          ports: [{{name: http, containerPort: 8080}}]
          envFrom: [{{configMapRef: {{name: settings-{n}}}}}]
          resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}
"""


if __name__ == "__main__":
    main()
