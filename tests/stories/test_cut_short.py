"""Lists that end half-way, expire or are none: nothing is taken for gone, and all goes on afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.names import RECONCILE, TASK_MAINTAIN, TASK_RECONCILE
from tests.stories.ship import Ship, configmap, until
from tests.stories.toll import Lie, Toll
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def toll(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toll]:
    with Toll(cluster, tmp_path_factory.mktemp("toll")) as toll:
        yield toll


@pytest.fixture(scope="module")
def ship_settings(toll: Toll) -> dict[str, str]:
    return {"MOORING_KUBECONFIG": str(toll.kubeconfig)}


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "beat", "observer")


@pytest.mark.parametrize("how", list(Lie), ids=lambda how: how.name.lower())
def test_while_nothing_can_be_listed_nothing_is_taken_for_gone(
    ship: Ship, git_repo: Repository, namespace: str, toll: Toll, how: Lie
) -> None:
    name = f"cut-{how.name.lower()}"
    files = {f"{one}.yaml": configmap(one, v="1") for one in ("a", "b", "c")}
    first = git_repo.commit(files)
    ship.create_app(name, git_repo, namespace, selfHeal=True, allowEmpty=True)
    ship.synced(name, first)
    ship.quiet()
    told = ship.app(name)["status"]["resources"]
    inventories = f"/api/v1/namespaces/{ship.home}/configmaps?labelSelector=applyset.kubernetes.io/id"
    kept = {one["metadata"]["name"]: one["metadata"]["uid"] for one in ship.ask(inventories)["items"]}

    toll.lied, toll.lies = 0, how
    try:
        with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
            ship.end("deploy")  # what it knew is forgotten
            ship.start("deploy")
            second = git_repo.commit({"a.yaml": configmap("a", v="2"), "b.yaml": None})
            delivery = ship.deliver(git_repo, second)
            ship.send(RECONCILE, TASK_RECONCILE)
            ship.send(RECONCILE, TASK_MAINTAIN)

            def waits() -> bool:
                return "waiting" in [stage["name"] for stage in ship.delivery(delivery)["stages"]]

            until("the push to be put off", waits)
            until("several lists to be cut short", lambda: toll.lied >= 6)
            assert not {event.name for event in watch.events()} & {"a", "b", "c"}
        assert ship.app(name)["status"]["resources"] == told, "nothing is told to be missing"
    finally:
        toll.lies = None

    assert ship.finished(delivery)["state"] == "succeeded"
    app = ship.synced(name, second)
    assert app["status"].get("conditions", []) == []
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    until("what left Git to be gone", lambda: ship.configmap(namespace, "b") is None)
    now = {one["metadata"]["name"]: one["metadata"]["uid"] for one in ship.ask(inventories)["items"]}
    assert kept.items() <= now.items()
