"""A sync of some objects only, and one that only applies."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_waves import FILES, opened, waits, waved

pytestmark = pytest.mark.cluster


def one(name: str, kind: str = "ConfigMap", **more: str) -> dict[str, str]:
    return {"kind": kind, "name": name, **more}


def shown(ship: Ship, app: str) -> dict[str, str]:
    return {r["name"]: r["status"] for r in ship.app(app)["status"]["resources"]}


def values(ship: Ship, namespace: str) -> dict[str, Any]:
    found = {name: ship.configmap(namespace, name) for name in "abc"}
    return {name: body and body["data"]["v"] for name, body in found.items()}


@pytest.fixture
def parts(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """An app of a, b and c, deployed with "1"; what Git has now is "2" of a and b, and no c. Its commit."""
    ship.create_app("parts", git_repo, namespace, auto=False)
    first = git_repo.commit({f"{name}.yaml": configmap(name, v="1") for name in "abc"})
    ship.synced("parts", first, status="OutOfSync")
    ship.operate("parts")
    second = git_repo.commit(
        {"a.yaml": configmap("a", v="2"), "b.yaml": configmap("b", v="2"), "c.yaml": None}
    )
    ship.deliver(git_repo, second)
    ship.synced("parts", second, status="OutOfSync")
    return second


def test_only_what_is_selected_is_written_and_the_rest_stays_out_of_sync(
    ship: Ship, parts: str, namespace: str
) -> None:
    before = ship.app("parts")["status"]["history"]

    app = ship.operate("parts", resources=[one("a")], prune=True)

    told = app["status"]["operationState"]
    assert told["phase"] == "Succeeded"
    assert [r["name"] for r in told["syncResult"]["resources"]] == ["a"]
    assert values(ship, namespace) == {"a": "2", "b": "1", "c": "1"}
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert shown(ship, "parts") == {"a": "Synced", "b": "OutOfSync", "c": "OutOfSync"}
    assert app["status"]["history"] == before, "a part is no deployment to go back to"


def test_what_has_left_git_is_pruned_when_it_is_selected_and_asked_for(
    ship: Ship, parts: str, namespace: str
) -> None:
    selected = [one("c", namespace=namespace)]
    assert ship.operate("parts", resources=selected)["status"]["operationState"]["phase"] == "Succeeded"
    assert values(ship, namespace) == {"a": "1", "b": "1", "c": "1"}

    ship.operate("parts", resources=selected, prune=True)

    until("c to be gone", lambda: ship.configmap(namespace, "c") is None)
    assert values(ship, namespace) == {"a": "1", "b": "1", "c": None}


@pytest.mark.parametrize(
    "selected",
    [
        [one("z")],
        [one("a", kind="Service")],
        [one("a", group="apps")],
        [one("a", namespace="elsewhere")],
        [one("*")],
    ],
)
def test_a_selection_of_nothing_is_refused_and_changes_nothing(
    ship: Ship, parts: str, namespace: str, selected: list[dict[str, str]]
) -> None:
    app = ship.operate("parts", resources=selected)

    told = app["status"]["operationState"]
    assert told["phase"] == "Error"
    assert "the app has no such object" in told["message"]
    assert values(ship, namespace) == {"a": "1", "b": "1", "c": "1"}


def test_the_command_selects_by_patterns_and_leaves_out_by_an_exclamation_mark(
    ship: Ship, parts: str, namespace: str
) -> None:
    done = ship.mooring("app", "sync", "parts", "--resource", ":ConfigMap:z", "--timeout", "60")
    assert done.returncode == 20
    assert "has no object :ConfigMap:z" in done.stderr

    done = ship.mooring("app", "sync", "parts", "--resource", "!:ConfigMap:[ac]", "--timeout", "60")

    assert done.returncode == 0, done.stderr
    assert values(ship, namespace) == {"a": "1", "b": "2", "c": "1"}


def test_a_sync_that_waits_gives_way_to_one_of_a_part_and_is_taken_up_again_after_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("waits", git_repo, namespace)
    git_repo.commit(FILES | {"d.yaml": waved(configmap("later"), 6)})
    waits(ship, "waits", "waiting for healthy state of /Service/door")

    selected = {"resources": [one("late")]}
    ship.patch_app("waits", {"operation": {"sync": selected, "initiatedBy": {"username": "sailor"}}})

    until("the selected one to be there", lambda: ship.configmap(namespace, "late"))
    told = waits(ship, "waits", "waiting for healthy state of /Service/door")
    assert told["operation"]["initiatedBy"] == {"automated": True}
    assert ship.configmap(namespace, "later") is None
    opened(ship, namespace)
    assert ship.ended("waits")["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "later")


def test_one_that_only_applies_keeps_to_waves(ship: Ship, git_repo: Repository, namespace: str) -> None:
    ship.create_app("applies", git_repo, namespace, auto=False)
    ship.synced("applies", git_repo.commit(FILES), status="OutOfSync")

    done = ship.mooring("app", "sync", "applies", "--strategy", "apply", "--async")

    assert done.returncode == 0, done.stderr
    told = waits(ship, "applies", "waiting for healthy state of /Service/door")
    assert told["operation"]["sync"]["syncStrategy"] == {"apply": {}}
    assert ship.configmap(namespace, "late") is None
    opened(ship, namespace)
    assert ship.ended("applies")["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "late")
