"""A soak of a minute; benchmarks/soak.py is the same for as long as one likes."""

from __future__ import annotations

import pytest

from benchmarks.soak import Outcome, sail
from benchmarks.soak_check import Expected, differences
from benchmarks.soak_plan import steps
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.stories.ship import configmap

_SEED = 8


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_whatever_happens_in_the_end_the_cluster_is_as_git_has_it(cluster: Cluster) -> None:
    plan = list(steps(_SEED, apps=4, objects=6, count=40))
    assert {"push", "edit", "delete", "kill"} <= {step.verb for step in plan}

    found = sail(cluster, plan, apps=4, objects=6, pause_s=0.5)

    assert any("kill" in line and ": pid" in line for line in found.done), "somebody was killed"
    assert found.wrong == [], "\n".join([f"seed {_SEED}", *found.done, *found.wrong])


def test_a_process_that_grows_is_not_well_and_one_that_varies_or_has_just_begun_is() -> None:
    def outcome(samples: int, leak_kb: float) -> Outcome:
        beat = [100_000.0 + 500 * (number % 7) for number in range(samples)]
        memory = [{"beat": kb, "deploy": kb + leak_kb * number} for number, kb in enumerate(beat)]
        return Outcome((), (), memory, 0.0)

    assert outcome(360, 0).well
    leaking = outcome(360, 100)
    assert leaking.growing == ["deploy"] and not leaking.well
    assert outcome(60, 1000).well, "five minutes tell nothing"


def test_the_same_seed_gives_the_same_steps() -> None:
    assert list(steps(1, 50, 8, 900)) == list(steps(1, 50, 8, 900))
    assert list(steps(1, 50, 8, 900)) != list(steps(2, 50, 8, 900))


@pytest.mark.cluster
def test_the_checker_tells_each_thing_that_is_wrong(
    cluster: Cluster, git_repo: Repository, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    git_repo.commit({f"app/{name}.yaml": configmap(name, v="1") for name in ("right", "wrong", "missing")})
    for name, v in (("right", "1"), ("wrong", "2"), ("old", "1")):
        devcluster.ask(cluster, path, {"metadata": {"name": name}, "data": {"v": v, "more": "x"}})
    foreign = {(namespace, "ConfigMap", "mine"): "a uid of its own"}
    expected = Expected(git_repo, {"app": namespace}, frozenset({namespace}), foreign)
    assert differences(cluster, expected) == [
        f"{namespace}/ConfigMap/missing: is not there",
        f"{namespace}/ConfigMap/wrong: .data.v is '2' and not '1'",
        f"{namespace}/ConfigMap/mine: was nobody's, and was deleted",
        f"{namespace}/ConfigMap/old: is left over",
    ]
