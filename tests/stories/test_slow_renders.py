"""A render that takes its time takes nobody else's: it goes on in the pool for what is slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]

# Seconds of additions: more than a worker that deploys waits for, far less than a render may take.
PROGRAM = """
local r = std.range(1, 1000), sum(f) = std.foldl(function(n, i) n + f(i), r, 0);
{
  apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'sum' },
  data: { sum: '%d' % sum(function(i) sum(function(j) j) + sum(function(j) j) + sum(function(j) i)) },
}
"""


def test_a_slow_program_is_applied_by_the_slow_pool_and_nobody_is_told_of_trouble(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"slow/a.yaml": configmap("a", v="1"), "quick/a.yaml": configmap("b", v="1")})
    for name in ("slow", "quick"):
        ship.create_app(name, git_repo, namespace, path=name)
    for name in ("slow", "quick"):
        ship.synced(name, first)
    ship.quiet()

    slow = git_repo.commit({"slow/sum.jsonnet": PROGRAM})
    waiting = ship.deliver(git_repo, slow)
    quick = git_repo.commit({"quick/a.yaml": configmap("b", v="2")})
    told = ship.finished(ship.deliver(git_repo, quick))
    assert told["outcome"] == "synced"
    told = ship.finished(waiting)

    assert told["outcome"] == "synced"
    assert "waiting" not in {stage["name"] for stage in told["stages"]}
    assert ship.configmap(namespace, "sum")["data"] == {"sum": str(3 * 1000 * sum(range(1001)))}
    assert not ship.app("slow")["status"].get("conditions")
    done = f"sync of {ship.home}_slow: Succeeded"
    lines = {pool: ship.log(pool).count(done) for pool in ("deploy", "slow", "reconcile")}
    assert lines["slow"] == 1, lines
    assert not any(slow in line for line in ship.log("deploy").splitlines() if done in line)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel knows no autogroups")
def test_that_pool_gives_way_to_all_other_sessions(ship: Ship) -> None:
    said = {pool: Path(f"/proc/{ship.pool(pool)[0]}/autogroup").read_text() for pool in ("slow", "deploy")}
    assert {pool: text.split()[1:] for pool, text in said.items()} == {
        "slow": ["nice", "10"],
        "deploy": ["nice", "0"],
    }
