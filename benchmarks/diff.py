"""What it costs to find the one object of five hundred that differs from Git.

An Application of 500 objects of seven kinds, deployed by real workers on a real API server; then each round
pushes a commit that changes one ConfigMap, and asks three times what a sync would change:

    python -m benchmarks.diff

- by what `mooring app diff` does, in a process that is there already, with nothing remembered of any apply;
- by a worker's whole turn, which has its records, and tells the result in the Application's status;
- by the command itself, from its start to its end.

In between the bare loop does the least that this can cost: git fetch, read, parse, one LIST a kind, compare
what Git says with what is there, one dry-run of what differs. The API server itself counts the requests,
those in the namespace of the objects apart.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

from benchmarks import push_fleet as fleet
from benchmarks.processes import redis_with_aof, until
from benchmarks.push import workers
from benchmarks.push_account import Account, account
from benchmarks.report import percentile, report
from cli.app.rendered import compared
from cli.home import connect
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from mooring.keys import AppKey
from mooring.settings import Settings
from workers import engine, pipeline

APP = "many"
WARM_UP = 2  # rounds that are not counted
# How many of each kind, and under which path they are listed.
KINDS = {
    "ConfigMap": (290, "api/v1/namespaces/{}/configmaps"),
    "Secret": (50, "api/v1/namespaces/{}/secrets"),
    "Service": (50, "api/v1/namespaces/{}/services"),
    "ServiceAccount": (50, "api/v1/namespaces/{}/serviceaccounts"),
    "Role": (30, "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles"),
    "RoleBinding": (20, "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"),
    "Deployment": (10, "apis/apps/v1/namespaces/{}/deployments"),
}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Measured:
    """Milliseconds and requests of each round."""

    took: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)


def files(value: str) -> dict[str, str]:
    """All manifests, one a file; `value` is in the first ConfigMap."""
    return {
        f"{APP}/{kind.lower()}-{number:03}.yaml": _MANIFESTS[kind].format(
            name=f"{kind.lower()}-{number:03}", value="" if (kind, number) != ("ConfigMap", 0) else value
        )
        for kind, (count, _) in KINDS.items()
        for number in range(count)
    }


def changed(value: str) -> dict[str, str]:
    """The one file that each round changes."""
    name = f"{APP}/configmap-000.yaml"
    return {name: files(value)[name]}


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()

    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    name = secrets.token_hex(4)
    measured = {way: Measured() for way in ("diff", "worker", "command", "bare")}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}"))
        target = stack.enter_context(fleet.namespace(cluster, f"bench-{name}"))
        acts_as = stack.enter_context(account(cluster, home, directory, target))
        redis = stack.enter_context(redis_with_aof())
        repo = git.create("many")
        made = fleet.application(0, home, target, repo)
        made["metadata"]["name"] = made["spec"]["source"]["path"] = APP
        repo.commit(files("first"))
        devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
        with workers(redis.url, home, acts_as.kubeconfig, directory):
            _until_deployed(cluster, home)
        _manual(cluster, home)  # from now on it is only asked what differs
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(acts_as.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
        }
        ways = _ways(environ, Loop(acts_as, repo, directory / "bare.git", target), home, target)
        for number in range(WARM_UP + options.rounds):
            repo.commit(changed(secrets.token_hex(8)))
            for way, run in ways.items():
                before, began = acts_as.requests(), time.monotonic()
                run()
                took = (time.monotonic() - began) * 1000
                if number >= WARM_UP:
                    measured[way].took.append(took)
                    measured[way].requests += acts_as.requests() - before
    _report(measured, options.rounds)


def _ways(environ: Mapping[str, str], loop: Loop, home: str, target: str) -> dict[str, Callable[[], None]]:
    settings = Settings.from_env(environ)
    reached = connect(settings)
    own = engine.start(settings, lambda step: None)
    key = AppKey(home, APP)

    def diff() -> None:
        app = reached.applications.get(key)
        assert app is not None
        found = compared(reached, app).differences
        assert [one.key.name for one in found] == ["configmap-000"], found

    def worker() -> None:
        pipeline.sync(own, str(key))
        app = own.applications.get(key)
        assert app is not None
        differ = [one.name for one in app.status.resources if one.status == "OutOfSync"]
        assert differ == ["configmap-000"], differ

    def command() -> None:
        argv = [sys.executable, "-m", "cli.main", "app", "diff", APP, "-o", "name"]
        done = subprocess.run(
            argv, env={**os.environ, **environ}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert done.stdout.splitlines() == [f"ConfigMap {target}/configmap-000"], done.stdout

    return {"diff": diff, "bare": loop.round, "worker": worker, "command": command}


class Loop:
    """The same by hand, over one kept connection and a kept clone."""

    def __init__(self, acts_as: Account, repo: Repository, clone: Path, namespace: str) -> None:
        self._repo, self._clone, self._namespace = repo, clone, namespace
        user = orjson.loads(acts_as.kubeconfig.read_bytes())["users"][0]["user"]
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        subprocess.run(["git", "init", "--quiet", "--bare", str(clone)], check=True)
        cluster = acts_as.cluster
        self._connection = http.client.HTTPSConnection(
            urlsplit(cluster.server).netloc, context=ssl.create_default_context(cafile=str(cluster.ca))
        )

    def round(self) -> None:
        """Find what differs. Raises RuntimeError when that is not the one object that does."""
        self._connection.close()  # the server may have closed it meanwhile
        self._git("fetch", "--quiet", self._repo.url, "+refs/heads/main:refs/heads/seen")
        live = {}
        for kind, (_, path) in KINDS.items():
            for item in self._ask("GET", "/" + path.format(self._namespace) + "?limit=500")["items"]:
                live[kind, item["metadata"]["name"]] = item
        differ = [body for body in self._bodies() if not _within(body, live[_named(body)])]
        if [body["metadata"]["name"] for body in differ] != ["configmap-000"]:
            raise RuntimeError(f"the bare loop found something else: {differ}")
        for body in differ:
            path = KINDS[body["kind"]][1].format(self._namespace)
            self._ask(
                "PATCH", f"/{path}/{body['metadata']['name']}?fieldManager=bare&force=true&dryRun=All", body
            )

    def _bodies(self) -> Iterator[dict[str, Any]]:
        names = self._git("ls-tree", "--format=%(objectname)", "seen", f"{APP}/")
        batch = self._git("cat-file", "--batch", given=names)
        at = 0
        while at < len(batch):
            end = batch.index(b"\n", at)
            size = int(batch[at:end].rpartition(b" ")[2])
            yield yaml.load(batch[end + 1 : end + 1 + size], Loader=_LOADER)
            at = end + size + 2

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {**self._headers, "Content-Type": "application/apply-patch+yaml"}
        self._connection.request(method, path, orjson.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status} {said[:200]!r}")
        return orjson.loads(said)

    def _git(self, *words: str, given: bytes = b"") -> bytes:
        argv = ["git", "-C", str(self._clone), *words]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, input=given).stdout


def _named(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def _within(git: Any, live: Any) -> bool:
    """Whether `live` says all that `git` says, but for its kind: items of a list do not name that."""
    if isinstance(git, dict) and isinstance(live, dict):
        names = git.keys() - {"apiVersion", "kind"}
        return all(_within(git[name], live.get(name)) for name in names)
    if isinstance(git, list) and isinstance(live, list):
        return len(git) == len(live) and all(map(_within, git, live))
    return bool(git == live)


def _until_deployed(cluster: Cluster, home: str) -> None:
    def deployed() -> bool:
        app = devcluster.ask(cluster, f"{fleet.APPLICATIONS.format(home)}/{APP}")
        phase = app.get("status", {}).get("operationState", {}).get("phase")
        return bool(phase == "Succeeded" and app["status"]["sync"]["status"] == "Synced")

    until(deployed, "the Application is not deployed: see the logs above", 120)


def _manual(cluster: Cluster, home: str) -> None:
    path = f"{fleet.APPLICATIONS.format(home)}/{APP}"
    patch = {"spec": {"syncPolicy": {"automated": None}}}
    devcluster.ask(cluster, path, patch, method="PATCH", content_type="application/merge-patch+json")


def _report(measured: Mapping[str, Measured], rounds: int) -> None:
    figures: dict[str, float] = {}
    limit: dict[str, float] = {}
    objects_in_all = sum(count for count, _ in KINDS.values())
    for way, one in measured.items():
        into, prefix = (limit, "diff") if way == "bare" else (figures, way)
        for share in (50, 95):
            into[f"{prefix}_p{share}_ms"] = round(percentile(one.took, share / 100), 1)
        counted = {verb: count / rounds for verb, count in one.requests.items()}
        objects = {verb: count for verb, count in counted.items() if verb.startswith("objects-")}
        into[f"{prefix}_object_lists"] = round(objects.get("objects-list", 0), 1)
        into[f"{prefix}_object_dry_runs"] = round(objects.get("objects-patch", 0), 1)
        into[f"{prefix}_object_gets"] = round(objects.get("objects-get", 0), 1)
        into[f"{prefix}_other_requests"] = round(sum(counted.values()) - sum(objects.values()), 1)
    report(
        "diff",
        figures,
        limit,
        figures["diff_p50_ms"] / limit["diff_p50_ms"],
        notes=[
            f"{rounds} rounds; {objects_in_all} objects of {len(KINDS)} kinds, one of "
            f"which differs; {os.cpu_count()} cores shared by everything.",
            "diff: what `mooring app diff` does, without records of any apply; command: the same from the "
            "start of the program to its end; worker: a turn with records, which tells it in the status.",
            "Bare loop: git fetch, read, parse, one LIST a kind, compare, one dry-run.",
            "Requests are those that the API server counted; the others are those outside of the objects' "
            "namespace: Application, project, credentials, inventory, discovery; a worker's status too.",
        ],
    )


_MANIFESTS = {
    "ConfigMap": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: many
data:
  value: "{value}"
  application.properties: |
    server.port=8080
    database.url=postgres://database.{name}.svc:5432/app
    cache.ttl.seconds=300
""",
    "Secret": """\
apiVersion: v1
kind: Secret
metadata:
  name: {name}
type: Opaque
data:
  password: cGFzc3dvcmQ=
""",
    "Service": """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector:
    app.kubernetes.io/name: {name}
  ports:
    - name: http
      port: 80
      targetPort: http
    - name: metrics
      port: 9090
""",
    "ServiceAccount": """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {name}
""",
    "Role": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {name}
rules:
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [get, list]
""",
    "RoleBinding": """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: role-000
subjects:
  - kind: ServiceAccount
    name: serviceaccount-000
""",
    "Deployment": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: 0
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
    spec:
      containers:
        - name: server
          image: registry.example.com/server:1.0.0
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: configmap-000
          resources:
            requests:
              cpu: 10m
              memory: 16Mi
""",
}


if __name__ == "__main__":
    main()
