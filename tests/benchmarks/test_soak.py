"""A soak of a minute; benchmarks/soak.py is the same for as long as one likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.soak import Outcome, sail
from benchmarks.soak_check import Expected, differences
from benchmarks.soak_plan import KILLED, OUTAGES, steps
from benchmarks.soak_weight import Sample
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.stories.controlplane import own_cluster
from tests.stories.ship import configmap

_SEED = 46


@pytest.fixture(scope="module")
def breakable() -> Iterator[Cluster]:
    with own_cluster("soak") as cluster:
        yield cluster


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_whatever_happens_in_the_end_the_cluster_is_as_git_has_it(breakable: Cluster) -> None:
    plan = list(steps(_SEED, apps=4, objects=6, count=60))
    assert {"push", "edit", "delete", "kill", "down", "up"} <= {step.verb for step in plan}

    found = sail(breakable, plan, apps=4, objects=6, pause_s=0.5)

    assert any("kill" in line and ": pid" in line for line in found.done), "somebody was killed"
    assert found.wrong == [], "\n".join([f"seed {_SEED}", *found.done, *found.wrong])


def test_what_grows_while_nobody_kills_it_is_not_well_and_what_varies_or_has_just_begun_is() -> None:
    def outcome(count: int, leak: float = 0.0, **more: float) -> Outcome:
        def at(number: int) -> Sample:
            idle = 100_000.0 + 500 * (number % 7)
            two = number % 10 < (3 if number < count * 5 / 6 else 7) if more.get("busy") else False
            files, keys = 20 + more.get("files", 0) * number, 50 + more.get("keys", 0) * number
            return Sample(
                at=5.0 * number,
                processes={"beat": 1, "deploy": 2 + two, "web": 3},
                pss={"beat": idle + more.get("alone", 0) * number, "deploy": idle + 60_000 * two},
                rss={"beat": idle, "deploy": idle + leak * number + 70_000 * two},
                files={"web": files},
                threads={"web": 9},
                keys={"mooring:proofs:https": keys, "mooring:ledger:delivery": number},
                disk={},
            )

        return Outcome((), (), [at(number) for number in range(count)], 0.0)

    assert outcome(360).well, "the ledger keeps all deliveries"
    assert outcome(60, leak=1000).well, "five minutes tell nothing"
    leaking = outcome(360, leak=300)
    assert [line.partition(":")[0] for line in leaking.growing] == ["kB of memory of deploy"]
    assert not leaking.well
    assert outcome(360, busy=1).well, "a second process is no growth"
    assert not outcome(360, leak=300, busy=1).well
    assert outcome(360, alone=50).well, "it shares less with others, that were killed"
    assert [line.partition(":")[0] for line in outcome(360, alone=300).growing] == ["kB of PSS of all"]
    assert not outcome(360, files=0.5).well
    assert not outcome(360, keys=0.5).well


def test_half_an_hour_has_everything_in_it() -> None:
    plan = list(steps(_SEED, apps=50, objects=8, count=900))
    assert {step.role for step in plan if step.verb == "down"} == set(OUTAGES)
    assert [step.role for step in plan if step.verb == "down"] == [s.role for s in plan if s.verb == "up"]
    assert {step.role for step in plan if step.verb == "kill"} == {*KILLED[0], *KILLED[1], "all"}
    assert {"forget", "restart", "retire", "return", "lost"} <= {step.verb for step in plan}
    middle = next(step.at for step in plan if step.role == "all")
    for half, spares in zip(KILLED, reversed(KILLED), strict=True):
        killed = {s.role for s in plan if s.role and (s.at < middle) == (half is KILLED[0])}
        assert not killed & set(spares)


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
    foreign = {(namespace, "ConfigMap", "mine"): "an identity of its own"}
    expected = Expected(git_repo, {"app": namespace}, frozenset({namespace}), foreign)
    assert differences(cluster, expected) == [
        f"{namespace}/ConfigMap/missing: is not there",
        f"{namespace}/ConfigMap/wrong: .data.v is '2' and not '1'",
        f"{namespace}/ConfigMap/mine: was nobody's, and was deleted or written",
        f"{namespace}/ConfigMap/old: is left over",
    ]
