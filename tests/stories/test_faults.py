"""What everything rests on goes away and comes back: all apps go on by themselves, and nothing is lost."""

from __future__ import annotations

import secrets
import signal
import time
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from devcluster.redis import RedisServer
from mooring.names import RECONCILE, TASK_RECONCILE
from tests.stories import controlplane
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_waves import DEPLOYMENT

pytestmark = pytest.mark.cluster

_APPS = ("plain", "custom", "pruned")
_CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.faults.example.com}
spec:
  group: faults.example.com
  scope: Namespaced
  names: {kind: Boat, plural: boats}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
_BOAT = "apiVersion: faults.example.com/v1\nkind: Boat\nmetadata: {{name: boat}}\nspec: {{v: '{v}'}}\n"
_OBJECTS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Boat": "/apis/faults.example.com/v1/namespaces/{}/boats",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One that may be broken."""
    with controlplane.own_cluster("faults") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    """What is lost is found soon, and all is reconciled all the time."""
    return {
        "MOORING_LEASE_SECONDS": "2",
        "MOORING_POLL_SECONDS": "5",
        "MOORING_RECONCILE_SECONDS": "3",
    }


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "beat", "observer")


@pytest.fixture(autouse=True)
def _nothing_outlives_its_story() -> None:
    """All of these stories are about the same apps."""


class Fleet:
    """Three apps that follow one repository, and an object that is nobody's but looks like one of theirs."""

    def __init__(self, ship: Ship, repo: Repository, namespace: str) -> None:
        self._ship = ship
        self.repo = repo
        self.namespace = namespace
        self._version = 0
        self.push()
        for app in _APPS:
            ship.create_app(app, repo, namespace, path=app, selfHeal=True, allowEmpty=True)
        self.converges()
        ours = ship.configmap(namespace, "plain")["metadata"]
        clone = {"name": "clone", "labels": ours["labels"], "annotations": ours["annotations"]}
        ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": clone})
        self.uids = self._uids()

    def push(self) -> str:
        """The next version of everything, of which nobody is told."""
        self._version += 1
        v = str(self._version)
        files: dict[str, str | None] = {
            "plain/a.yaml": configmap("plain", v=v),
            "plain/steady.yaml": configmap("steady", v="always"),
            "plain/missed.yaml": configmap("missed", v="always"),
            "plain/b.yaml": DEPLOYMENT.replace("{name: web}", f"{{name: web, labels: {{v: '{v}'}}}}", 1),
            "custom/a.yaml": _CRD,
            "custom/b.yaml": _BOAT.format(v=v),
            "pruned/a.yaml": configmap("stays", v=v),
            f"pruned/{v}.yaml": configmap(f"only-{v}", v=v),
        }
        if self._version > 1:
            files[f"pruned/{self._version - 1}.yaml"] = None
        self.commit = self.repo.commit(files)
        return self.commit

    def drift(self) -> None:
        """Somebody edits an object that no push changes, and deletes another."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps"
        merge = {"method": "PATCH", "content_type": "application/merge-patch+json"}
        self._ship.ask(f"{path}/steady", {"data": {"v": "edited"}}, **merge)
        self._ship.ask(f"{path}/missed", method="DELETE")

    def converges(self) -> None:
        """Waits until everything is as Git has it, by the work of whoever is still alive or started anew."""
        v = str(self._version)

        def look() -> bool:
            self._ship.revive()
            return self._live() == {
                ("ConfigMap", "plain"): v,
                ("ConfigMap", "steady"): "always",
                ("ConfigMap", "missed"): "always",
                ("ConfigMap", "stays"): v,
                ("ConfigMap", f"only-{v}"): v,
                ("Deployment", "web"): v,
                ("Boat", "boat"): v,
            }

        until("all objects to be as Git has them", look)
        for app in _APPS:
            self._ship.synced(app, self.commit)
            self._ship.unsaid(app, "")

    def unharmed(self) -> None:
        """Nothing that was to stay was ever deleted."""
        now = self._uids()
        assert {key: now.get(key) for key in self.uids} == self.uids

    def _objects(self) -> dict[tuple[str, str], Any]:
        return {
            (kind, one["metadata"]["name"]): one
            for kind, path in _OBJECTS.items()
            for one in until(f"a list of each {kind}", partial(self._listed, path))
            if one["metadata"]["name"] != "kube-root-ca.crt"
        }

    def _listed(self, path: str) -> list[Any] | None:
        """None while the server has yet to read them: after a start of it, or a definition that is new."""
        try:
            return list(self._ship.ask(path.format(self.namespace))["items"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            if error.code in (429, 500, 503):
                return None
            raise

    def _live(self) -> dict[tuple[str, str], str]:
        def version(one: Any) -> str:
            place = one.get("data") or one["metadata"]["labels"] if one.get("kind") != "Boat" else one["spec"]
            return str(place["v"])

        return {key: version(one) for key, one in self._objects().items() if key[1] != "clone"}

    def _uids(self) -> dict[tuple[str, str], str]:
        """Of what is in every version and is deleted by no story, and of what is nobody's."""
        found = self._objects().items()
        goes = ("only-", "missed")
        return {key: one["metadata"]["uid"] for key, one in found if not key[1].startswith(goes)}


@pytest.fixture(scope="module")
def fleet(ship: Ship, git_server: GitServer) -> Fleet:
    namespace = f"faults-{secrets.token_hex(4)}"
    ship.ask("/api/v1/namespaces", {"metadata": {"name": namespace}})
    return Fleet(ship, git_server.create(namespace), namespace)


def _put_off(ship: Ship, delivery: str) -> None:
    def look() -> bool:
        return "waiting" in [stage["name"] for stage in ship.delivery(delivery)["stages"]]

    until("the push to be put off", look)


@contextmanager
def _still(ship: Ship, *names: str) -> Iterator[None]:
    """Within the block these processes hold still."""
    for name in names:
        ship.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            ship.signal(name, signal.SIGCONT)


def test_the_api_server_dies_and_comes_back(ship: Ship, fleet: Fleet) -> None:
    with controlplane.without(ship.cluster, "kube-apiserver"):
        delivery = ship.deliver(fleet.repo, fleet.push())
        _put_off(ship, delivery)
        ship.send(RECONCILE, TASK_RECONCILE)

    assert ship.finished(delivery)["state"] == "succeeded"
    fleet.converges()
    fleet.unharmed()


def test_etcd_holds_still_for_longer_than_anybody_waits(ship: Ship, fleet: Fleet) -> None:
    with controlplane.frozen(ship.cluster, "etcd"):
        delivery = ship.deliver(fleet.repo, fleet.push())
        ship.send(RECONCILE, TASK_RECONCILE)
        _put_off(ship, delivery)

    assert ship.finished(delivery)["state"] == "succeeded"
    fleet.converges()
    fleet.unharmed()


def test_etcd_is_stopped_for_a_minute_of_pushes_and_drift(ship: Ship, fleet: Fleet) -> None:
    deliveries = [ship.deliver(fleet.repo, fleet.push())]
    ship.finished(deliveries[0])
    with ExitStack() as away:
        with _still(ship, "deploy", "reconcile", "observer"):
            fleet.drift()  # whoever finds it does so without etcd
            away.enter_context(controlplane.without(ship.cluster, "etcd"))
        over = time.monotonic() + 60
        deliveries.append(ship.deliver(fleet.repo, fleet.push()))
        ship.send(RECONCILE, TASK_RECONCILE)
        until("a minute without etcd to be over", lambda: time.monotonic() > over)
        deliveries.append(ship.deliver(fleet.repo, fleet.push()))

    fleet.converges()
    fleet.unharmed()
    assert [ship.finished(delivery)["state"] for delivery in deliveries] == ["succeeded"] * 3


def test_redis_dies_and_has_forgotten_everything(ship: Ship, fleet: Fleet, own_redis: RedisServer) -> None:
    delivery = ship.deliver(fleet.repo, fleet.push())
    assert delivery
    own_redis.kill()
    fleet.push()
    own_redis.start()

    fleet.converges()
    fleet.unharmed()
