"""How long a sync of several waves takes, from the push until its operation has succeeded.

Two Applications of five waves of four objects each: one whose objects are healthy as soon as they are there
(two ConfigMaps, a ServiceAccount, a Service), one with a Deployment and three ConfigMaps a wave, where each
wave has to wait for the Deployment's controllers and a fake kubelet. A Git host over HTTP, a web tier,
workers, beat, observer and Redis, all real processes on this machine, and a real API server:

    python -m benchmarks.waves

Each round changes all twenty objects of one, sends the signed GitHub webhook, and waits until a watch of the
benchmark's own shows its operation Succeeded at that commit. After each the bare loop does the same work:
git fetch, read, parse, and wave by wave apply the objects and wait until they are healthy.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

from benchmarks import push_fleet as fleet
from benchmarks.processes import redis_with_aof, web
from benchmarks.push import SECRET, Pushes, workers
from benchmarks.push_account import account
from benchmarks.push_watch import Watch
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from workers.health import HealthStatus, assess

WAVES = 5
FORMS = ("at_once", "deployments")
WARM_UP = 2  # rounds of each that are not counted
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLURALS = {
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Service": "api/v1/namespaces/{}/services",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}


@dataclass
class Times:
    """Milliseconds of each round, by form."""

    ours: dict[str, list[float]] = field(default_factory=lambda: {form: [] for form in FORMS})
    bare: dict[str, list[float]] = field(default_factory=lambda: {form: [] for form in FORMS})


def files(form: str, value: str) -> dict[str, str]:
    """The manifests of one Application, one file a wave, with `value` in each of the twenty."""
    found = {}
    for wave in range(WAVES):
        several = _DEPLOYED if form == "deployments" else _HEALTHY
        parts = [
            _HEAD.format(kind=kind, api=api, n=n, wave=wave, value=value)
            + more.format(wave=wave, value=value)
            for n, (api, kind, more) in enumerate(several)
        ]
        found[f"{form}/wave-{wave}.yaml"] = "---\n".join(parts)
    return found


def main() -> None:
    """Measure both forms, ours and bare, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()

    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    name, times = secrets.token_hex(4), Times()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        redis = stack.enter_context(redis_with_aof())
        port = stack.enter_context(web(redis.url, SECRET))
        stack.enter_context(workers(redis.url, home, acts_as.kubeconfig, directory))
        pushes, loops = {}, {}
        for form in FORMS:
            target = stack.enter_context(fleet.namespace(cluster, f"{form.replace('_', '-')}-{name}"))
            bare = stack.enter_context(fleet.namespace(cluster, f"bare-{form.replace('_', '-')}-{name}"))
            repo, own = git.create(form), git.create(f"bare-{form}")
            for one in (repo, own):
                one.commit(files(form, "first"))
            made = fleet.application(0, home, target, repo)
            made["metadata"]["name"] = form.replace("_", "-")
            made["spec"]["source"]["path"] = form
            devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
            statuses = stack.enter_context(Watch(cluster, fleet.APPLICATIONS.format(home), shown_succeeded))
            statuses.when(repo.resolve() or "")
            pushes[form] = Pushes(repo, port, statuses, statuses, 1, form)
            loops[form] = Loop(cluster, own, directory / form, bare, form)
        pauses = random.Random(0)
        for number in range(WARM_UP + options.rounds):
            for form in FORMS:
                took = _ours(pushes[form], form), loops[form].round()
                if number >= WARM_UP:
                    times.ours[form].append(took[0])
                    times.bare[form].append(took[1])
                time.sleep(pauses.uniform(0.2, 1.2))  # never in step with beat
    _report(times, options.rounds)


def shown_succeeded(item: dict[str, Any]) -> str | None:
    """The commit at which the Application's operation has succeeded."""
    state = item.get("status", {}).get("operationState", {})
    if state.get("phase") != "Succeeded":
        return None
    return str(state["syncResult"]["revision"])


def _ours(pushes: Pushes, form: str) -> float:
    commit = pushes.repo.commit(files(form, secrets.token_hex(8)))
    sent = time.time()
    pushes.deliver(commit)
    return (pushes.statuses.when(commit) - sent) * 1000


class Loop:
    """The same waves by hand, over one kept connection."""

    def __init__(self, cluster: Cluster, repo: Repository, clone: Path, namespace: str, form: str) -> None:
        self._cluster, self._repo, self._clone = cluster, repo, clone
        self._namespace, self._form = namespace, form
        subprocess.run(["git", "init", "--quiet", "--bare", str(clone)], check=True)
        self._connection = http.client.HTTPSConnection(
            urlsplit(cluster.server).netloc, context=ssl.create_default_context(cafile=str(cluster.ca))
        )

    def round(self) -> float:
        """One push, in milliseconds."""
        commit = self._repo.commit(files(self._form, secrets.token_hex(8)))
        self._connection.close()  # the server may have closed it meanwhile
        began = time.monotonic()
        self._git("fetch", "--quiet", "--depth=1", self._repo.url, commit)
        for wave in range(WAVES):
            text = self._git("show", f"{commit}:{self._form}/wave-{wave}.yaml")
            bodies = list(yaml.load_all(text, Loader=_LOADER))
            for body in bodies:
                self._ask("PATCH", self._path(body), body)
            for body in bodies:
                while not self._healthy(body):
                    time.sleep(0.005)
        return (time.monotonic() - began) * 1000

    def _healthy(self, body: dict[str, Any]) -> bool:
        if body["kind"] != "Deployment":
            return True
        found = assess(self._ask("GET", self._path(body)))
        return found is None or found.status is HealthStatus.HEALTHY

    def _path(self, body: dict[str, Any]) -> str:
        return f"/{_PLURALS[body['kind']].format(self._namespace)}/{body['metadata']['name']}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self._cluster.token}",
            "Content-Type": "application/apply-patch+yaml",
        }
        query = "?fieldManager=bare&force=true" if body else ""
        self._connection.request(method, path + query, orjson.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status} {said[:200]!r}")
        return orjson.loads(said)

    def _git(self, *words: str) -> str:
        argv = ["git", "-C", str(self._clone), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _report(times: Times, rounds: int) -> None:
    figures: dict[str, float] = {}
    limit: dict[str, float] = {}
    for form, prefix in zip(FORMS, ("", "deployments_"), strict=True):
        for measured, into in ((times.ours, figures), (times.bare, limit)):
            for share in (50, 95):
                key = f"{prefix}push_to_succeeded_p{share}_ms"
                into[key] = round(percentile(measured[form], share / 100), 1)
    report(
        "waves",
        figures,
        limit,
        figures["push_to_succeeded_p50_ms"] / limit["push_to_succeeded_p50_ms"],
        notes=[
            f"{rounds} rounds of each form: {WAVES} waves of 4 objects, all of which change; "
            f"{os.cpu_count()} cores shared by everything.",
            "deployments_: a Deployment and three ConfigMaps a wave; each waits for controllers, scheduler "
            "and a fake kubelet.",
            "Bare loop: git fetch, read, parse, and wave by wave one apply an object and a wait until they "
            "are healthy, asking every 5 ms.",
        ],
    )


_HEAD = """\
apiVersion: {api}
kind: {kind}
metadata:
  name: wave-{wave}-{n}
  annotations:
    argocd.argoproj.io/sync-wave: "{wave}"
    example.com/value: "{value}"
"""
_CONFIG_MAP = 'data:\n  value: "{value}"\n'
_SERVICE = "spec:\n  selector: {{app: wave-{wave}}}\n  ports: [{{port: 80}}]\n"
_DEPLOYMENT = """\
spec:
  replicas: 1
  selector: {{matchLabels: {{app: wave-{wave}}}}}
  template:
    metadata:
      labels: {{app: wave-{wave}}}
      annotations: {{example.com/value: "{value}"}}
    spec:
      containers: [{{name: server, image: registry.example.com/server}}]
"""
_HEALTHY = (
    ("v1", "ConfigMap", _CONFIG_MAP),
    ("v1", "ConfigMap", _CONFIG_MAP),
    ("v1", "ServiceAccount", ""),
    ("v1", "Service", _SERVICE),
)
_DEPLOYED = (
    ("apps/v1", "Deployment", _DEPLOYMENT),
    ("v1", "ConfigMap", _CONFIG_MAP),
    ("v1", "ConfigMap", _CONFIG_MAP),
    ("v1", "ConfigMap", _CONFIG_MAP),
)


if __name__ == "__main__":
    main()
