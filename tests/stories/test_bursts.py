"""Many pushes at once cost few syncs, one after the other, and the last commit wins."""

from __future__ import annotations

import json

import pytest

from devcluster.gitserver import Repository
from mooring.names import STATE
from tests.stories.ship import APPS, Ship, configmap
from tests.stories.watch import Event, Watch

pytestmark = pytest.mark.cluster

_PUSHES = 200


def _claim(event: Event) -> str:
    state = event.body["metadata"].get("annotations", {}).get(STATE, "{}")
    return str(json.loads(state).get("claim", ""))


def _running(event: Event) -> bool:
    return bool(event.body["status"].get("operationState", {}).get("phase") == "Running")


def test_a_burst_of_pushes_is_synced_one_at_a_time_and_at_most_twice_after_the_last(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="0"), "b.yaml": configmap("b")})
    ship.create_app("burst", git_repo, namespace)
    ship.synced("burst", first)
    ship.quiet()
    # All commits are there beforehand, so that a push is nothing but a ref that moves and its delivery.
    git_repo.point("refs/heads/next", git_repo.resolve("main"))
    commits = [
        git_repo.commit({"a.yaml": configmap("a", v=str(n))}, branch="next") for n in range(1, _PUSHES + 1)
    ]

    with Watch(ship.cluster, APPS.format(ship.home)) as watch:
        deliveries = []
        for commit in commits:
            git_repo.point("refs/heads/main", commit)
            deliveries.append(ship.deliver(git_repo, commit))
        # A sync that is under way now may not have been claimed yet.
        under_way = ship.works_on("burst")
        last_push = int(ship.app("burst")["metadata"]["resourceVersion"])

        for delivery in deliveries:
            assert ship.finished(delivery)["state"] == "succeeded"
        app = ship.synced("burst", commits[-1])
        ship.quiet()
        events = watch.events("burst")

    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "a")["data"] == {"v": str(_PUSHES)}
    before = events[0]
    for event in events[1:]:
        if _claim(event) != _claim(before):
            assert not _running(before), "an operation was claimed while another one ran"
        before = event
    after = {_claim(event) for event in events if event.version > last_push}
    running_then = {_claim(event) for event in events if event.version <= last_push}
    assert 1 <= len(after - running_then) <= 2 + under_way
    history = [entry["revision"] for entry in app["status"]["history"]]
    order = [commits.index(revision) for revision in history if revision in commits]
    assert order == sorted(order)
