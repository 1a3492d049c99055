"""What befalls the things that Mooring rests on, and is no outage: nothing is pruned by mistake, nothing is
lost, the apps say what is the matter and go on by themselves once it is over."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from devcluster.gitserver import Repository
from devcluster.redis import RedisServer
from tests import full_disk
from tests.definitions import definition
from tests.stories.gate import Gate, gated
from tests.stories.ship import Ship, configmap, until
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    """What is lost is found soon, and all is reconciled all the time."""
    return {
        "MOORING_LEASE_SECONDS": "2",
        "MOORING_POLL_SECONDS": "3",
        "MOORING_RECONCILE_SECONDS": "3",
    }


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "beat", "observer")


def _v(ship: Ship, namespace: str, name: str) -> str | None:
    return ((ship.configmap(namespace, name) or {}).get("data") or {}).get("v")


@contextmanager
def _nothing_deleted(ship: Ship, namespace: str) -> Iterator[None]:
    """Whoever deletes a ConfigMap of the namespace within the block, if only for a moment, is told on."""
    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        yield
        assert not [event for event in watch.events() if event.kind == "DELETED"]


@pytest.mark.parametrize("every", [False, True], ids=["its branch", "every branch"])
def test_what_is_gone_from_the_git_host_is_not_gone_from_the_cluster(
    ship: Ship, git_repo: Repository, namespace: str, every: bool
) -> None:
    name = "emptied" if every else "without-branch"
    first = git_repo.commit({f"{one}.yaml": configmap(one, v="1") for one in ("a", "b")})
    git_repo.point("refs/heads/other", first)
    ship.create_app(name, git_repo, namespace, selfHeal=True, allowEmpty=True)
    ship.synced(name, first)

    with _nothing_deleted(ship, namespace):
        git_repo.point("refs/heads/main", None)
        if every:
            git_repo.point("refs/heads/other", None)
        ship.deliver(git_repo, "0" * 40, before=first)
        assert ship.condition(name, "no branch, tag or version 'main'")["type"] == "ComparisonError"
        second = git_repo.commit({f"{one}.yaml": configmap(one, v="2") for one in ("a", "b")})
        ship.synced(name, second)
        ship.unsaid(name, "")
    assert [_v(ship, namespace, one) for one in ("a", "b")] == ["2", "2"]


def test_a_history_that_is_rewritten_while_it_is_deployed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """Six force-pushes with no history in common, as fast as they come: the last one is what counts."""
    first = git_repo.commit({"a.yaml": configmap("a", v="first")})
    ship.create_app("rewritten", git_repo, namespace, selfHeal=True)
    ship.synced("rewritten", first)

    with _nothing_deleted(ship, namespace):
        deliveries = []
        for number in range(6):
            last = git_repo.commit({"a.yaml": configmap("a", v=f"{number}")}, parent="")
            deliveries.append(ship.deliver(git_repo, last))
        ship.synced("rewritten", last)
    assert _v(ship, namespace, "a") == "5"
    assert {ship.finished(delivery)["state"] for delivery in deliveries} == {"succeeded"}


def test_a_kind_is_taken_away_under_its_objects_and_comes_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    group = f"m{secrets.token_hex(3)}.example.com"
    boats = definition(group, "Boat")
    ship.ask(_DEFINITIONS, boats)
    boat = f"/apis/{group}/v1/namespaces/{namespace}/boats/boat"
    files = {
        "a.yaml": configmap("a", v="1"),
        "boat.yaml": f"apiVersion: {group}/v1\nkind: Boat\nmetadata: {{name: boat}}\nspec: {{v: '1'}}\n",
    }
    first = git_repo.commit(files)
    ship.create_app("taken-away", git_repo, namespace, selfHeal=True)
    ship.synced("taken-away", first)
    try:
        with _nothing_deleted(ship, namespace):
            ship.ask(f"{_DEFINITIONS}/boats.{group}", method="DELETE")
            assert ship.condition("taken-away", "Boat")["type"] in ("ComparisonError", "SyncError")
            ship.ask(_DEFINITIONS, boats)
            until("the boat to be there again", lambda: ship.find(boat))
            ship.synced("taken-away", first)
            ship.unsaid("taken-away", "Boat")
    finally:
        ship.ask(f"{_DEFINITIONS}/boats.{group}", method="DELETE")


def _full(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)


def _unable_to_save(client: redis.Redis) -> None:
    full_disk.fill(client)


def _a_replica_of_nobody(client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def _a_replica_of_another(client: redis.Redis) -> None:
    """Of one that was its own replica, until it has what that has: so it is where a machine goes down and
    comes back, and nobody points to the other one."""
    with RedisServer() as other, redis.Redis.from_url(other.url) as elsewhere:
        here, there = (one.connection_pool.connection_kwargs for one in (client, elsewhere))
        client.config_set("masterauth", there["password"])
        elsewhere.config_set("masterauth", here["password"])
        elsewhere.execute_command("REPLICAOF", "127.0.0.1", here["port"])
        until("the other to have it all", lambda: elsewhere.info()["master_link_status"] == "up")
        elsewhere.execute_command("REPLICAOF", "NO", "ONE")
        client.execute_command("REPLICAOF", "127.0.0.1", there["port"])
        until("it to have it all back", lambda: client.info()["master_link_status"] == "up")


def _mend(client: redis.Redis) -> None:
    """Whatever of these has befallen it."""
    full_disk.clear(client)
    client.config_set("maxmemory", 0)
    client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("befalls", [_full, _unable_to_save, _a_replica_of_nobody, _a_replica_of_another])
def test_a_redis_that_takes_no_writes_is_waited_for(
    ship: Ship, git_repo: Repository, namespace: str, befalls: Callable[[redis.Redis], None]
) -> None:
    name = befalls.__name__.strip("_").replace("_", "-")
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, first)
    ship.quiet()

    told = ship.log("observer").count("nobody is woken")
    with _nothing_deleted(ship, namespace), ship.redis() as client:
        try:
            befalls(client)
            second = git_repo.commit({"a.yaml": configmap("a", v="2"), "b.yaml": configmap("b", v="2")})
            path = f"/api/v1/namespaces/{namespace}/configmaps/b"
            merge = {"method": "PATCH", "content_type": "application/merge-patch+json"}
            ship.ask(path, {"data": {"v": "drift"}}, **merge)
            until("somebody to be told", lambda: ship.log("observer").count("nobody is woken") > told)
        finally:
            _mend(client)

        until("all to be as Git has it", lambda: [_v(ship, namespace, one) for one in "ab"] == ["2", "2"])
        ship.synced(name, second)
        ship.pushed(git_repo, {"a.yaml": configmap("a", v="3")})
        assert _v(ship, namespace, "a") == "3"
    assert {name: child.poll() for name, child in ship.children.items()} == dict.fromkeys(ship.children)


def test_a_redis_that_goes_away_under_those_at_work_is_told_in_lines(
    ship: Ship, git_repo: Repository, namespace: str, own_redis: RedisServer
) -> None:
    ship.create_app("at-work", git_repo, namespace)
    ship.synced("at-work", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    names = ("intake", "deploy", "slow", "reconcile", "beat", "observer")
    before = {name: len(ship.log(name)) for name in names}

    def told(name: str) -> str:
        return ship.log(name)[before[name] :]

    with Gate(ship.cluster, namespace) as gate:
        second = git_repo.commit({"held.yaml": gated("held")})
        ship.deliver(git_repo, second)
        gate.waits("held")
        own_redis.kill()
        gate.open()
        until("its end to be told in vain", lambda: "Couldn't ack" in told("deploy"))
        own_redis.start()

        def there() -> bool:
            ship.revive()  # as who started them does
            return ship.configmap(namespace, "held") is not None

        until("all to be as Git has it", there)
        ship.synced("at-work", second)

    for name in names:
        assert "Traceback" not in told(name)
        assert "optional breaking change" not in told(name)
