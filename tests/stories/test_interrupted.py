"""Workers that die, hang or come late in the middle of their work: somebody else finishes it, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from devcluster.gitserver import Repository
from tests.stories.gate import Gate, gated
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_deletion import CASCADE
from tests.stories.test_waves import waved
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def _one_deploy_worker(ship: Ship) -> Iterator[None]:
    """Each story begins and ends with one worker called `deploy`, that works."""
    if "deploy" not in ship.children:
        ship.start("deploy")
    ship.ready("deploy")
    yield
    for name in [name for name in ship.children if name.startswith("deploy")]:
        ship.end(name)


@pytest.fixture
def gate(ship: Ship, namespace: str) -> Iterator[Gate]:
    with Gate(ship.cluster, namespace) as gate:
        yield gate


def _service(name: str, port: int) -> str:
    """Of a kind that is written after all ConfigMaps."""
    return (
        f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n"
        f"  ports:\n  - port: {port}\n  clusterIP: None\n"
    )


@pytest.mark.parametrize("who", ["worker", "pool"])
def test_what_a_killed_worker_was_applying_is_finished_by_another(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate, who: str
) -> None:
    name = f"killed-{who}"
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "s.yaml": _service("s", 80)})
    ship.create_app(name, git_repo, namespace)
    ship.synced(name, first)
    ship.quiet()
    files = {
        "a.yaml": configmap("a", v="2"),
        "b.yaml": configmap("b", v="2"),
        "held.yaml": gated("held"),
        "s.yaml": _service("s", 81),
    }
    second = git_repo.commit(files)
    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        delivery = ship.deliver(git_repo, second)
        gate.waits("held")
        until("the others of its group", lambda: {"a", "b"} <= {event.name for event in watch.events()})
        ship.start("deploy-2")
        ship.ready("deploy-2")

        if who == "worker":
            ship.kill("deploy")
        else:
            for pid in ship.pool("deploy"):
                os.kill(pid, signal.SIGKILL)
        gate.open()

        until("another worker to finish it", lambda: ship.delivery(delivery)["state"] == "succeeded")
        app = ship.synced(name, second)
        assert app["status"]["operationState"]["phase"] == "Succeeded"
        assert ship.configmap(namespace, "held")
        service = ship.find(f"/api/v1/namespaces/{namespace}/services/s")
        assert service["spec"]["ports"][0]["port"] == 81
        told = {name: [event.kind for event in watch.events(name)] for name in ("a", "b", "held")}
        assert told == {"a": ["MODIFIED"], "b": ["ADDED"], "held": ["ADDED"]}


def test_a_late_worker_changes_nothing_that_exists_and_takes_back_what_it_created(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "s.yaml": _service("s", 80)})
    ship.create_app("late", git_repo, namespace)
    ship.synced("late", first)
    ship.quiet()
    superseded = git_repo.commit(
        {
            "a.yaml": gated("a", v="superseded"),
            "only.yaml": gated("only-in-the-superseded"),
            "s.yaml": _service("s", 81),
        }
    )
    late = ship.deliver(git_repo, superseded)
    gate.waits("a")
    gate.waits("only-in-the-superseded")
    ship.signal("deploy", signal.SIGSTOP)
    ship.start("deploy-2")
    newest = git_repo.commit(
        {"a.yaml": configmap("a", v="newest"), "only.yaml": None, "s.yaml": _service("s", 82)}
    )
    delivery = ship.deliver(git_repo, newest)
    assert ship.finished(delivery)["state"] == "succeeded"
    assert ship.synced("late", newest)
    assert ship.finished(late)["state"] == "succeeded"
    assert ship.configmap(namespace, "a")["data"] == {"v": "newest"}
    assert ship.configmap(namespace, "only-in-the-superseded") is None

    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        gate.open()
        until("the late creation", lambda: watch.events("only-in-the-superseded"))
        ship.signal("deploy", signal.SIGCONT)

        until("it to be taken back", lambda: ship.configmap(namespace, "only-in-the-superseded") is None)
        ship.quiet()
        assert not watch.events("a")
    assert ship.configmap(namespace, "a")["data"] == {"v": "newest"}
    assert ship.find(f"/api/v1/namespaces/{namespace}/services/s")["spec"]["ports"][0]["port"] == 82
    assert ship.app("late")["status"]["sync"] == {**ship.app("late")["status"]["sync"], "revision": newest}


def test_a_late_worker_does_not_take_back_what_the_newer_commit_wants_too(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("shared", git_repo, namespace)
    ship.synced("shared", first)
    ship.quiet()
    superseded = git_repo.commit({"new.yaml": configmap("new"), "held.yaml": gated("held")})
    ship.deliver(git_repo, superseded)
    gate.waits("held")
    until("the new one", lambda: ship.configmap(namespace, "new"))
    ship.signal("deploy", signal.SIGSTOP)
    ship.start("deploy-2")
    newest = git_repo.commit({"held.yaml": None})
    assert ship.finished(ship.deliver(git_repo, newest))["state"] == "succeeded"
    ship.synced("shared", newest)
    born = ship.configmap(namespace, "new")["metadata"]["uid"]

    gate.open()
    until("the late creation", lambda: ship.configmap(namespace, "held"))
    ship.signal("deploy", signal.SIGCONT)

    until("it to be taken back", lambda: ship.configmap(namespace, "held") is None)
    ship.quiet()
    assert ship.configmap(namespace, "new")["metadata"]["uid"] == born


def test_who_is_late_with_the_first_deployment_of_an_app_takes_back_what_only_he_wants(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="superseded"), "only.yaml": gated("only-in-the-superseded")})
    ship.create_app("new", git_repo, namespace)
    gate.waits("only-in-the-superseded")
    until("the other of its group", lambda: ship.configmap(namespace, "a"))
    ship.signal("deploy", signal.SIGSTOP)
    ship.start("deploy-2")
    newest = git_repo.commit({"a.yaml": configmap("a", v="newest"), "only.yaml": None})
    assert ship.finished(ship.deliver(git_repo, newest))["state"] == "succeeded"
    born = ship.synced("new", newest)

    gate.open()
    until("the late creation", lambda: ship.configmap(namespace, "only-in-the-superseded"))
    ship.signal("deploy", signal.SIGCONT)

    until("it to be taken back", lambda: ship.configmap(namespace, "only-in-the-superseded") is None)
    ship.quiet()
    assert ship.configmap(namespace, "a")["data"] == {"v": "newest"}
    assert ship.app("new")["status"]["history"] == born["status"]["history"]


def test_what_was_created_when_its_app_went_stays_where_that_was_to_leave_all(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    git_repo.commit({"new.yaml": configmap("new"), "held.yaml": gated("held")})
    ship.create_app("leaving", git_repo, namespace)
    gate.waits("held")
    until("the new one", lambda: ship.configmap(namespace, "new"))

    ship.ask(f"{APPS.format(ship.home)}/leaving", method="DELETE")
    until("the app to be gone", lambda: ship.app("leaving") is None)
    gate.open()
    until("the late creation", lambda: ship.configmap(namespace, "held"))
    until("the end of its work", lambda: not ship.works_on("leaving"))
    assert ship.configmap(namespace, "held")
    assert ship.configmap(namespace, "new")


def test_what_comes_after_an_app_and_all_it_had_were_deleted_is_taken_back(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    git_repo.commit({"new.yaml": configmap("new"), "held.yaml": gated("held")})
    ship.create_app("cascading", git_repo, namespace)
    ship.patch_app("cascading", {"metadata": {"finalizers": [CASCADE]}})
    gate.waits("held")
    until("the new one", lambda: ship.configmap(namespace, "new"))
    ship.signal("deploy", signal.SIGSTOP)
    ship.start("deploy-2")

    ship.ask(f"{APPS.format(ship.home)}/cascading", method="DELETE")
    until("the app to be gone", lambda: ship.app("cascading") is None)
    assert ship.configmap(namespace, "new") is None

    gate.open()
    until("the late creation", lambda: ship.configmap(namespace, "held"))
    ship.signal("deploy", signal.SIGCONT)
    until("it to be taken back", lambda: ship.configmap(namespace, "held") is None)


def test_a_late_worker_does_not_even_begin_the_next_wave(
    ship: Ship, git_repo: Repository, namespace: str, gate: Gate
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("waves", git_repo, namespace)
    ship.synced("waves", first)
    ship.quiet()
    next_wave = waved(configmap("next", v="superseded"), 1)
    superseded = git_repo.commit({"a.yaml": gated("a", v="superseded"), "next.yaml": next_wave})
    ship.deliver(git_repo, superseded)
    gate.waits("a")
    ship.signal("deploy", signal.SIGSTOP)
    gate.open()
    until("the first wave", lambda: ship.configmap(namespace, "a")["data"] == {"v": "superseded"})
    ship.start("deploy-2")
    newest = git_repo.commit({"a.yaml": configmap("a", v="newest"), "next.yaml": None})
    assert ship.finished(ship.deliver(git_repo, newest))["state"] == "succeeded"
    ship.synced("waves", newest)

    seen = ship.log("deploy").count("has taken over")  # by stories before this one
    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        ship.signal("deploy", signal.SIGCONT)
        until("the late worker to see it", lambda: ship.log("deploy").count("has taken over") > seen)
        ship.quiet()
        assert not watch.events()
