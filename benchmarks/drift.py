"""How long an edit of a live object stays until it is put back.

Twenty Applications of ten objects each in one repository, automated with self-heal; workers, beat, observer
and Redis, all real processes on this machine, and a real API server:

    python -m benchmarks.drift

Each round changes a field that Git sets of one object, as `kubectl edit` does, and waits until a watch of the
benchmark's own shows Git's value again. After each round a bare loop does the same: a watch of one ConfigMap
that puts the field back with one apply as soon as it sees another value.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from benchmarks import push_fleet as fleet
from benchmarks.processes import redis_with_aof
from benchmarks.push import SETTLES_S, WARM_UP, until_settled, workers
from benchmarks.push_account import Account, account
from benchmarks.push_watch import Watch
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer

GITS = "first"  # what Git has, of each ConfigMap of the fleet
_MERGE = "application/merge-patch+json"
_BARE = "bare-settings-0"


@dataclass
class Rounds:
    """What was measured, one value a round, in milliseconds."""

    healed: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    api_requests: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measure the bare loop and Mooring, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--apps", type=int, default=20)
    options = parser.parse_args()

    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    name = secrets.token_hex(4)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        git = stack.enter_context(GitServer())
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}"))
        target = stack.enter_context(fleet.namespace(cluster, f"bench-{name}"))
        bare = stack.enter_context(fleet.namespace(cluster, f"bare-{name}"))
        acts_as = stack.enter_context(account(cluster, home, directory))
        redis = stack.enter_context(redis_with_aof())
        repo = git.create("team/apps")
        apps = range(options.apps)
        commit = repo.commit({path: text for number in apps for path, text in fleet.files(number).items()})
        for number in apps:
            made = fleet.application(number, home, target, repo)
            devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
        stack.enter_context(workers(redis.url, home, acts_as.kubeconfig, directory))
        until_settled(cluster, home, options.apps, commit)
        ours = stack.enter_context(Edits(cluster, target))
        stack.enter_context(BareLoop(cluster, bare))
        theirs = stack.enter_context(Edits(cluster, bare))
        rounds = _measure(ours, theirs, acts_as, options)
    _report(rounds, options)


class Edits:
    """Edits of ConfigMaps in one namespace, and when each was put back."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._watch = Watch(cluster, self._path, self._shown)
        self._last: dict[str, str] = {}  # by name, the edit that was seen last

    def round(self, name: str) -> float:
        """One edit of the ConfigMap: milliseconds until Git's value is there again."""
        value = secrets.token_hex(8)
        began = time.time()
        devcluster.ask(
            self._cluster,
            f"{self._path}/{name}?fieldManager=kubectl-edit",
            {"data": {"value": value}},
            method="PATCH",
            content_type=_MERGE,
        )
        return (self._watch.when(f"{value} put back") - began) * 1000

    def _shown(self, item: dict[str, Any]) -> str | None:
        name, value = item["metadata"]["name"], (item.get("data") or {}).get("value")
        if value != GITS:
            self._last[name] = str(value)
            return None
        return f"{self._last[name]} put back" if name in self._last else None

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.__exit__()


class BareLoop:
    """The least that putting back can cost: a watch, and one apply over a kept connection. No queue, no plan,
    no guard, no status."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _BARE},
            "data": {"value": GITS},
        }
        context = ssl.create_default_context(cafile=str(cluster.ca))
        host = urlsplit(cluster.server).netloc
        self._watching, self._writing = (HTTPSConnection(host, context=context) for _ in range(2))

    def _ask(self, connection: HTTPSConnection, method: str, path: str, body: object = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self._cluster.token}",
            "Content-Type": "application/apply-patch+yaml",
        }
        connection.request(method, path, orjson.dumps(body) if body else None, headers)
        return connection.getresponse()

    def _apply(self) -> None:
        path = f"{self._path}/{_BARE}?fieldManager=bench&force=true"
        answer = self._ask(self._writing, "PATCH", path, self._body)
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"the bare apply failed: {said[:200].decode(errors='replace')}")

    def _loop(self, answer: Any) -> None:
        try:
            while line := answer.readline():
                item = orjson.loads(line)["object"]
                if item["metadata"]["name"] == _BARE and item["data"].get("value") != GITS:
                    self._apply()
        except (OSError, ValueError, HTTPException):
            return  # closed in the end

    def __enter__(self) -> Self:
        self._apply()
        version = devcluster.ask(self._cluster, self._path)["metadata"]["resourceVersion"]
        path = f"{self._path}?watch=1&resourceVersion={version}&timeoutSeconds=3600"
        answer = self._ask(self._watching, "GET", path)
        threading.Thread(target=self._loop, args=(answer,), daemon=True, name="bare loop").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching.sock is not None:
            self._watching.sock.close()


def _measure(ours: Edits, theirs: Edits, acts_as: Account, options: argparse.Namespace) -> Rounds:
    rounds = Rounds()
    pauses = random.Random(0)
    time.sleep(SETTLES_S)
    before = Counter[str]()
    for number in range(-WARM_UP, options.rounds):
        if number == 0:
            time.sleep(SETTLES_S)
            rounds, before = Rounds(), acts_as.requests()
        # Seldom the same one: whoever is changed again and again is put back ever more seldom.
        app, config = number % options.apps, number // options.apps % fleet.CONFIG_MAPS
        rounds.healed.append(ours.round(f"{fleet.app_name(app)}-settings-{config}"))
        rounds.bare.append(theirs.round(_BARE))
        # Never in step with beat, and long enough that edits come one by one, as they do.
        time.sleep(pauses.uniform(0.4, 1.2))
    time.sleep(SETTLES_S)
    rounds.api_requests = acts_as.requests() - before
    return rounds


def _report(rounds: Rounds, options: argparse.Namespace) -> None:
    figures, limit = (
        {
            "drift_to_healed_p50_ms": round(percentile(took, 0.50), 1),
            "drift_to_healed_p95_ms": round(percentile(took, 0.95), 1),
        }
        for took in (rounds.healed, rounds.bare)
    )
    figures["api_requests_per_edit"] = round(rounds.api_requests.total() / len(rounds.healed), 1)
    report(
        "drift",
        figures,
        limit,
        figures["drift_to_healed_p50_ms"] / limit["drift_to_healed_p50_ms"],
        notes=[
            f"{options.rounds} edits, {options.apps} Applications of 10 objects in one repository, "
            f"{os.cpu_count()} cores shared by everything: Git host, API server, Mooring and the bare loop.",
            "From the moment that the edit is sent. Bare loop: a watch of whole objects, and one apply.",
            "Requests are those that the API server counted for Mooring's account, beat's and observer's "
            "included.",
        ],
    )


if __name__ == "__main__":
    main()
