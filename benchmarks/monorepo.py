"""What an Application costs that has many neighbours in its repository: nothing, or it is told here.

Two Moorings beside each other on one real API server, each with a Git host's repository over HTTP: one of a
single Application, one of 300, 30 of them Kustomize overlays on two bases. Each round pushes a change of one
Application to each of the two, and waits as benchmarks/push.py does. `ratio` is the one's push→applied by the
other's, at p50. Then pushes that touch one overlay, and pushes that touch a base which 20 of the 300 include:
those 20 are rendered, each once, and no other.

    python -m benchmarks.monorepo
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks import push_fleet as fleet
from benchmarks.processes import free_port, redis_with_aof, running, until, web
from benchmarks.push import (
    SECRET,
    SETTLES_S,
    STAGES,
    WARM_UP,
    Pushes,
    Rounds,
    shown_status,
    shown_value,
    until_settled,
)
from benchmarks.push_watch import Watch
from benchmarks.report import percentile, report
from devcluster import cluster as devcluster
from devcluster.build import tool
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository

_FILES = 3  # ConfigMaps of each application: what it deploys is not what is measured here
_OVERLAYS = 30  # Applications that are Kustomize overlays, the last of all
_SHARING = 20  # the first of those, which have one base; the others have another


@dataclass
class Side:
    """One of the two, and what was measured there. `renders` are those of each round."""

    pushes: Pushes
    home: str
    target: str
    port: int  # of the web tier
    metrics: int
    rounds: Rounds = field(default_factory=Rounds)
    renders: list[float] = field(default_factory=list)

    def round(self) -> None:
        """One push, and how often anything was rendered until it was applied and told."""
        with self._counted():
            self.pushes.round(self.rounds)

    def push(self, files: dict[str, str], value: str, apps: Sequence[int]) -> None:
        """The same with a push of these files, which touches these applications (`Pushes.push`)."""
        with self._counted():
            self.pushes.push(self.rounds, files, value, apps)

    def forget(self) -> None:
        """What was measured so far does not count."""
        self.rounds, self.renders = Rounds(), []

    @contextmanager
    def _counted(self) -> Iterator[None]:
        before = self._rendered()
        yield
        self.renders.append(self._rendered() - before)

    def _rendered(self) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "mooring_renders_total" and sample.labels["result"] == "rendered"
        )


def main() -> None:
    """Measure both sides, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--kustomize-rounds", type=int, default=20)
    options = parser.parse_args()

    cluster = devcluster.start(say=lambda text: print(text, file=sys.stderr))
    fleet.install_crds(cluster)
    with ExitStack() as stack:
        stack.enter_context(_kustomize())
        git = stack.enter_context(GitServer())
        one = stack.enter_context(side(cluster, _repository(git, "one/apps", 1, 0), "one", 1))
        plain = options.apps - _OVERLAYS
        repo = _repository(git, "many/apps", plain, _OVERLAYS)
        many = stack.enter_context(side(cluster, repo, "many", plain, _OVERLAYS))
        for _ in range(WARM_UP):
            one.round()
            many.round()
        one.forget()
        many.forget()
        time.sleep(SETTLES_S)
        pauses = random.Random(0)
        for _ in range(options.rounds):
            one.round()
            many.round()
            time.sleep(pauses.uniform(0.2, 1.2))  # never in step with beat
        measured = replace(many)
        first = options.apps - _OVERLAYS
        many.forget()
        for number in range(options.kustomize_rounds):
            value, touched = secrets.token_hex(8), first + number % _OVERLAYS
            many.push(fleet.overlay(touched, _base(touched - first), value), value, [touched])
        overlay = replace(many)
        many.forget()
        for _ in range(options.kustomize_rounds):
            value = secrets.token_hex(8)
            many.push(fleet.base(_base(0), value), value, range(first, first + _SHARING))
    _report(one, measured, overlay, many, options)


@contextmanager
def side(
    cluster: Cluster,
    repo: Repository,
    name: str,
    plain: int,
    overlays: int = 0,
    changed: Callable[[int, str], dict[str, str]] = fleet.changed,
    further: Mapping[str, str] | None = None,
) -> Iterator[Side]:
    """A Mooring with so many Applications in the repository `<name>/apps`, all of them synced; with `further`
    settings. Rounds are of plain ones."""
    apps = plain + overlays
    unique = secrets.token_hex(4)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-bench-")))
        home = stack.enter_context(fleet.namespace(cluster, f"home-{name}-{unique}"))
        target = stack.enter_context(fleet.namespace(cluster, f"bench-{name}-{unique}"))
        redis = stack.enter_context(redis_with_aof())
        for number in range(apps):
            made = fleet.application(number, home, target, repo)
            devcluster.ask(cluster, fleet.APPLICATIONS.format(home), made)
        port = stack.enter_context(web(redis.url, SECRET))
        metrics = free_port()
        environ = {
            "MOORING_REDIS_URL": redis.url,
            "MOORING_KUBECONFIG": str(cluster.kubeconfig),
            "MOORING_NAMESPACE": home,
            "MOORING_STATE_DIR": str(directory / "state"),
            "MOORING_RECONCILE_SECONDS": "3600",  # a full look at everything is not a push's cost
            "MOORING_POLL_SECONDS": "3600",
            "MOORING_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
            **(further or {}),
        }
        stack.enter_context(running([sys.executable, "-m", "cli.main", "worker"], environ))
        del environ["MOORING_METRICS_ADDRESS"]
        stack.enter_context(running([sys.executable, "-m", "workers.beat"], environ))
        configmaps = stack.enter_context(
            Watch(cluster, f"/api/v1/namespaces/{target}/configmaps", shown_value)
        )
        statuses = stack.enter_context(Watch(cluster, fleet.APPLICATIONS.format(home), shown_status))
        until_settled(cluster, home, apps, repo.resolve() or "", 60 + 2 * apps)
        until(lambda: _answers(metrics), "nobody tells what is rendered")
        pushes = Pushes(repo, port, configmaps, statuses, plain, f"{name}/apps", changed)
        yield Side(pushes, home, target, port, metrics)


def _repository(git: GitServer, name: str, plain: int, overlays: int) -> Repository:
    repo = git.create(name)
    wanted = {f"settings-{n}.yaml" for n in range(_FILES)}
    files = {
        path: text
        for number in range(plain)
        for path, text in fleet.files(number).items()
        if path.rpartition("/")[2] in wanted
    }
    for number in range(overlays):
        files |= fleet.base(_base(number)) | fleet.overlay(plain + number, _base(number))
    repo.commit(files)
    return repo


def _base(overlay: int) -> str:
    """The base of an overlay, which are counted from 0."""
    return "shared" if overlay < _SHARING else "other"


@contextmanager
def _kustomize() -> Iterator[None]:
    """Kustomize on PATH, for whatever starts after it."""
    before = os.environ["PATH"]
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as directory:
        Path(directory, "kustomize").symlink_to(tool("kustomize", lambda text: print(text, file=sys.stderr)))
        os.environ["PATH"] = f"{directory}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).close()
    except OSError:
        return False
    return True


def _report(one: Side, many: Side, overlay: Side, base: Side, options: argparse.Namespace) -> None:
    figures, limit = _figures(many), _figures(one)
    for name, side in (("overlay", overlay), ("base", base)):
        figures[f"{name}_push_to_applied_p50_ms"] = _ms(side.rounds.applied, 0.50)
        figures[f"{name}_push_to_all_synced_p50_ms"] = _ms(side.rounds.synced, 0.50)
        figures[f"renders_per_{name}_push"] = max(side.renders)
        figures[f"renders_per_{name}_push_at_least"] = min(side.renders)
    report(
        "monorepo",
        figures,
        limit,
        figures["push_to_applied_p50_ms"] / limit["push_to_applied_p50_ms"],
        notes=[
            f"{options.rounds} rounds; {options.apps} Applications of {_FILES} ConfigMaps in one repository, "
            f"and one of them alone; {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}.",
            f"{_OVERLAYS} of them are Kustomize overlays, {_SHARING} of which have the base that changes.",
            "renders_per_push: sources rendered from the push until its delivery had ended, at most.",
        ],
    )


def _figures(side: Side) -> dict[str, float]:
    figures = {
        "push_to_applied_p50_ms": _ms(side.rounds.applied, 0.50),
        "push_to_applied_p95_ms": _ms(side.rounds.applied, 0.95),
        "push_to_synced_p50_ms": _ms(side.rounds.synced, 0.50),
        "push_to_synced_p95_ms": _ms(side.rounds.synced, 0.95),
        "renders_per_push": max(side.renders),
    }
    for stage in STAGES:
        figures[f"stage_{stage}_p50_ms"] = _ms(side.rounds.stages[stage], 0.50)
    return figures


def _ms(values: list[float], share: float) -> float:
    return round(percentile(values, share), 1)


if __name__ == "__main__":
    main()
