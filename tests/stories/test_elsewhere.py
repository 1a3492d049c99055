"""Bases in other repositories: no source of an app tells when they change, so they are asked for again."""

from __future__ import annotations

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.store.polls import Polls
from tests.stories.ship import Ship, configmap, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("web", "worker", "beat")


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    return {"MOORING_POLL_SECONDS": "3", "MOORING_REMOTE_HOSTS": "127.0.0.1"}


def base(colour: str) -> dict[str, str]:
    return {"base/kustomization.yaml": "resources: [map.yaml]\n", "base/map.yaml": configmap("map", v=colour)}


def overlay(base: Repository, prefix: str, revision: str = "main") -> dict[str, str]:
    resource = f"{base.url}//base?ref={revision}"
    return {f"{prefix}/kustomization.yaml": f"namePrefix: {prefix}-\nresources: ['{resource}']\n"}


def test_a_base_that_moves_is_found_by_the_poll_and_only_its_readers_are_looked_at(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    bases = git_server.create("team/polled-bases")
    fixed = bases.commit(base("blue"))
    commit = git_repo.commit(
        {
            **overlay(bases, "moves"),
            **overlay(bases, "stays", fixed),
            "alone/map.yaml": configmap("alone", v="blue"),
        }
    )
    for name in ("moves", "stays", "alone"):
        ship.create_app(name, git_repo, namespace, path=name)
    for name in ("moves", "stays", "alone"):
        ship.synced(name, commit)
    assert ship.configmap(namespace, "moves-map")["data"] == {"v": "blue"}

    ship.quiet()
    before = {name: ship.looks(name) for name in ("moves", "stays", "alone")}
    bases.commit(base("white"))  # and nobody delivers it

    until("the base's push", lambda: ship.configmap(namespace, "moves-map")["data"] == {"v": "white"})
    ship.synced("moves", commit)
    ship.quiet()
    looked_at = [name for name, looks in before.items() if ship.looks(name) > looks]
    assert looked_at == ["moves"], "of three apps, one is looked at"
    assert ship.configmap(namespace, "stays-map")["data"] == {"v": "blue"}


def test_a_base_whose_host_is_gone_leaves_its_readers_as_they_are(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    with GitServer() as other:
        bases = other.create("team/bases")
        bases.commit(base("blue"))
        commit = git_repo.commit(overlay(bases, "left"))
        ship.create_app("left", git_repo, namespace, path="left")
        ship.synced("left", commit)
    until("the poll to say so", lambda: "is not asked for changes" in ship.log("worker"))
    with ship.redis() as client:
        until("it to be left alone", lambda: any(one.failures for one in Polls(client).all().values()))
    status = ship.synced("left", commit)["status"]
    assert not status.get("conditions")
    assert ship.configmap(namespace, "left-map")["data"] == {"v": "blue"}
