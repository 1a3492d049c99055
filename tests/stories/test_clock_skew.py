"""Workers whose clocks are five minutes apart: nobody takes another's work, nothing waits for years."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import pytest

from devcluster.gitserver import Repository
from mooring.names import RECONCILE, TASK_RECONCILE, TASK_TICK
from tests.skew import skewed
from tests.stories.gate import Gate, gated
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_operations import state, state_or_none
from tests.stories.test_permissions import project
from tests.stories.test_sync_windows import FREEZE, ending, held, windows
from workers.celery_app import make

pytestmark = pytest.mark.cluster

_SKEW_S = 300


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    """Whose work is taken over soon, and not while they merely wait for a processor."""
    return {"MOORING_LEASE_SECONDS": "5"}


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "slow", "web")


@pytest.fixture
def skews(ship: Ship, request: pytest.FixtureRequest) -> None:
    """Has `deploy` and `reconcile` run so many seconds ahead, and beat by the right time."""
    deploy, reconcile = request.param
    ship.environs |= {"deploy": skewed(deploy), "reconcile": skewed(reconcile)}
    for name in ("deploy", "reconcile", "beat"):
        if name in ship.children:
            ship.end(name)
        (ship.directory / f"{name}.log").write_text("")
        ship.start(name) if name != "beat" else None
    for name in ("deploy", "reconcile"):
        ship.ready(name)
    ship.start("beat")


def _ticks(ship: Ship) -> int:
    """How often the worker `deploy` has looked for what is lost."""
    with make("story", ship.redis_url) as celery:
        told = celery.control.inspect([ship.worker("deploy")], timeout=5).stats() or {}
    return sum(int(one["total"].get(TASK_TICK, 0)) for one in told.values())


@pytest.mark.parametrize(
    "skews", [(_SKEW_S, -_SKEW_S), (-_SKEW_S, _SKEW_S)], indirect=True, ids=["judge-ahead", "judge-behind"]
)
def test_work_is_left_to_who_is_at_it_and_taken_over_when_he_dies(
    ship: Ship, git_repo: Repository, namespace: str, skews: None
) -> None:
    name = f"skewed-{namespace}"
    commit = git_repo.commit({"a.yaml": configmap("a", v="1"), "held.yaml": gated("held")})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/held", method="DELETE")
    with Gate(ship.cluster, namespace) as gate:
        ship.send(RECONCILE, TASK_RECONCILE)
        gate.waits("held")  # by the worker `reconcile`
        seen = until("deploy to say how often it has looked", lambda: _ticks(ship))
        until("the others to have looked for what nobody does", lambda: _ticks(ship) >= seen + 4)
        assert gate.asked.count("held") == 1, "nobody else was at it"

        ship.signal("reconcile", signal.SIGKILL)
        gate.open()
        until("it to be done", lambda: ship.configmap(namespace, "held"))
        ship.synced(name, commit)
    ship.quiet()
    assert state(ship, name)["phase"] == "Succeeded"


@pytest.mark.parametrize("skews", [(_SKEW_S, _SKEW_S)], indirect=True, ids=["ahead"])
def test_a_freeze_lasts_as_long_as_it_was_to_last(
    ship: Ship, git_repo: Repository, namespace: str, skews: None
) -> None:
    project(ship, f"p-{namespace}", syncWindows=[FREEZE])
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("frozen", git_repo, namespace, spec={"project": f"p-{namespace}"})
    held(ship, "frozen")
    window, until_then = ending(20)  # all is up by now, however slow the machine
    windows(ship, f"p-{namespace}", window)
    held(ship, "frozen", until_then)
    ship.synced("frozen", commit)
    created = ship.configmap(namespace, "a")["metadata"]["creationTimestamp"]
    assert created >= until_then, "as the API server's clock has it"


@pytest.mark.parametrize("skews", [(-_SKEW_S, _SKEW_S)], indirect=True, ids=["behind"])
def test_what_is_put_off_comes_when_it_is_due_and_says_the_right_time(
    ship: Ship, git_repo: Repository, namespace: str, skews: None
) -> None:
    target = f"{namespace}-later"
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    backoff = {"duration": "2s", "factor": 1}
    ship.create_app("retried", git_repo, target, policy={"retry": {"limit": 50, "backoff": backoff}})
    until("a retry", lambda: (state_or_none(ship, "retried") or {}).get("retryCount", 0) >= 2)
    ship.ask("/api/v1/namespaces", {"metadata": {"name": target}})
    try:
        ship.synced("retried", commit)
        ended = datetime.fromisoformat(state(ship, "retried")["finishedAt"])
        assert abs((datetime.now(UTC) - ended).total_seconds()) < _SKEW_S / 2
    finally:
        ship.ask(f"/api/v1/namespaces/{target}", method="DELETE")
