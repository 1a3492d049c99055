"""An app that depends on others is synced after them, and goes before them."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_deletion import CASCADE, HOLD, delete, going, gone, in_wave, manifest, told, unheld
from tests.stories.test_waves import waits

pytestmark = pytest.mark.cluster


def on(*names: str) -> dict[str, str]:
    return {"mooring.dev/depends-on": ", ".join(names)}


def pending(name: str) -> dict[str, str]:
    """A claim that becomes healthy when a story binds it."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "no-such-class",
    }
    return manifest(name, kind="PersistentVolumeClaim", spec=spec)


def bind(ship: Ship, namespace: str, name: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}/status"
    until(f"the claim {name}", lambda: ship.find(path.removesuffix("/status")))
    patch = {"status": {"phase": "Bound"}}
    ship.ask(path, patch, method="PATCH", content_type="application/merge-patch+json")


@pytest.fixture
def other_repo(git_server: GitServer) -> Repository:
    """A second repository."""
    return git_server.create(f"repo-{secrets.token_hex(5)}")


def phase(ship: Ship, name: str) -> Any:
    return ship.app(name).get("status", {}).get("operationState", {}).get("phase")


def test_it_is_synced_once_the_other_is_synced_and_healthy(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    other_repo.commit(pending("disk"))
    commit = git_repo.commit({"web.yaml": configmap("web", v="1")})
    ship.create_app("web", git_repo, namespace, annotations=on("db"))

    said = ship.condition("web", "waits for db, which does not exist")
    assert said["type"] == "DependencyWaiting"
    shown = ship.mooring("app", "get", "web").stdout
    assert f"Depends On:         {ship.home}/db\n" in shown
    assert "DependencyWaiting: waits for db" in shown
    ship.create_app("db", other_repo, namespace, auto=False)
    ship.condition("web", "waits for db, which is OutOfSync")
    ship.operate("db")
    ship.condition("web", "waits for db, which is Progressing")
    assert ship.configmap(namespace, "web") is None
    assert ship.app("web")["status"]["sync"]["status"] == "OutOfSync"

    bind(ship, namespace, "disk")
    ship.synced("web", commit)
    assert not ship.app("web")["status"].get("conditions")


def test_a_push_that_touches_both_reaches_first_the_one_that_the_other_depends_on(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {"db/db.yaml": configmap("db", v="1"), "web/web.yaml": configmap("web", v="1")}
    first = git_repo.commit(files)
    ship.create_app("store", git_repo, namespace, path="db")
    ship.create_app("front", git_repo, namespace, path="web", annotations=on("store"))
    ship.synced("front", first)
    ship.quiet()

    new = {"db/db.yaml": configmap("db", v="2"), "web/web.yaml": configmap("web", v="2")}
    (claim,) = pending("disk").values()
    commit = git_repo.commit({**new, "db/disk.yaml": claim})
    delivery = ship.deliver(git_repo, commit)

    ship.condition("front", "waits for store, which is Progressing")
    assert ship.configmap(namespace, "db")["data"] == {"v": "2"}
    assert ship.configmap(namespace, "web")["data"] == {"v": "1"}
    assert ship.delivery(delivery)["state"] not in ("succeeded", "failed")

    bind(ship, namespace, "disk")
    assert ship.finished(delivery)["state"] == "succeeded"
    ship.synced("front", commit)
    assert ship.configmap(namespace, "web")["data"] == {"v": "2"}

    # A push that concerns the other alone, or nothing of it, is waited for no longer than it takes.
    commit = ship.pushed(git_repo, {"web/web.yaml": configmap("web", v="3")})
    ship.synced("front", commit)


def test_a_sync_by_hand_waits_too_says_so_and_can_be_ended(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    other_repo.commit({"db.yaml": configmap("db", v="1")})
    ship.create_app("base", other_repo, namespace, auto=False)
    commit = git_repo.commit({"web.yaml": configmap("web", v="1")})
    ship.create_app("hand", git_repo, namespace, auto=False, annotations=on("base"))
    ship.synced("hand", commit, status="OutOfSync")

    def asked() -> None:
        wish = {"operation": {"sync": {}, "initiatedBy": {"username": "sailor"}}}
        ship.patch_app("hand", wish)
        waits(ship, "hand", "waits for base, which is OutOfSync")

    asked()
    ended = ship.mooring("app", "terminate-op", "hand")
    assert ended.returncode == 0, ended.stderr
    assert phase(ship, "hand") == "Failed"
    assert ship.configmap(namespace, "web") is None

    asked()
    ship.operate("base")
    app = ship.ended("hand")
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    ship.synced("hand", commit)


def test_a_sync_that_has_begun_goes_on_whatever_becomes_of_the_others(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    ship.create_app("ground", other_repo, namespace, auto=False)
    ship.synced("ground", other_repo.commit({"it.yaml": configmap("it", v="1")}), status="OutOfSync")
    ship.operate("ground")
    commit = git_repo.commit({**pending("disk"), **manifest("last", in_wave(1))})
    ship.create_app("begun", git_repo, namespace, annotations=on("ground"))

    waits(ship, "begun", "waiting for healthy")
    changed = other_repo.commit({"it.yaml": configmap("it", v="2")})
    ship.deliver(other_repo, changed)
    ship.synced("ground", changed, status="OutOfSync")

    bind(ship, namespace, "disk")
    ship.synced("begun", commit)
    assert ship.configmap(namespace, "last")


def test_who_depends_on_itself_is_told_so(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit({"it.yaml": configmap("it", v="1")})
    ship.create_app("own", git_repo, namespace, annotations=on("own"))
    assert ship.condition("own", "own → own")["type"] == "DependencyCycle"
    assert ship.configmap(namespace, "it") is None


@pytest.mark.parametrize("last", ["a", "b", "c"])
def test_all_who_depend_on_each_other_in_a_circle_are_told_so_and_go_on_once_it_is_broken(
    ship: Ship, git_repo: Repository, namespace: str, last: str
) -> None:
    a, b, c = names = [f"{name}-{last}" for name in "abc"]
    needs = {a: b, b: c, c: a}
    commit = git_repo.commit({f"{name}/it.yaml": configmap(name, v="1") for name in names})
    for name in sorted(names, key=lambda name: name[0] == last):
        if name[0] == last:
            for other in needs.keys() - {name}:
                ship.condition(other, "waits for")
        ship.create_app(name, git_repo, namespace, path=name, annotations=on(needs[name]))

    for one in ((a, b, c, a), (b, c, a, b), (c, a, b, c)):
        assert ship.condition(one[0], " → ".join(one))["type"] == "DependencyCycle"
    refused = ship.operate(a)["status"]["operationState"]
    assert refused["phase"] == "Error"
    assert f"depends on itself: {a} → {b} → {c} → {a}" in refused["message"]
    assert all(ship.configmap(namespace, name) is None for name in names)

    ship.patch_app(c, {"metadata": {"annotations": {"mooring.dev/depends-on": None}}})
    for name in (c, b, a):
        ship.synced(name, commit)


def test_who_is_out_of_a_circle_waits_as_everybody_does(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({f"{name}/it.yaml": configmap(name, v="1") for name in ("egg", "hen")})
    ship.create_app("egg", git_repo, namespace, path="egg", annotations=on("hen"))
    ship.create_app("hen", git_repo, namespace, path="hen", annotations=on("egg"), auto=False)
    for name in ("egg", "hen"):
        assert ship.condition(name, "depends on itself")["type"] == "DependencyCycle"

    ship.patch_app("hen", {"metadata": {"annotations": {"mooring.dev/depends-on": None}}})
    assert ship.condition("egg", "waits for hen, which is OutOfSync")["type"] == "DependencyWaiting"
    ship.operate("hen")
    ship.synced("egg", commit)


def test_what_is_no_name_stops_the_app_until_it_is_corrected(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"web.yaml": configmap("web", v="1")})
    ship.create_app("misspelt", git_repo, namespace, annotations=on("a b"))
    ship.condition("misspelt", "'a b' names no Application")
    assert ship.configmap(namespace, "web") is None
    ship.patch_app("misspelt", {"metadata": {"annotations": {"mooring.dev/depends-on": None}}})
    ship.synced("misspelt", commit)


def test_where_both_are_deleted_the_one_that_depends_on_the_other_goes_first(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    other_repo.commit(manifest("under"))
    ship.create_app("lower", other_repo, namespace)
    commit = git_repo.commit(manifest("over", finalizers=[HOLD]))
    ship.create_app("upper", git_repo, namespace, annotations=on("lower"))
    ship.synced("upper", commit)
    for name in ("lower", "upper"):
        ship.patch_app(name, {"metadata": {"finalizers": [CASCADE]}})

    delete(ship, "lower")
    delete(ship, "upper")

    said = ship.condition("lower", "waits for upper, which depends on it")
    assert said["type"] == "Deleting"
    until("the upper one to be deleted", lambda: going(ship, namespace, "over"))
    assert ship.configmap(namespace, "under") and not going(ship, namespace, "under")
    unheld(ship, namespace, "over")
    gone(ship, "lower")
    assert ship.app("upper") is None
    assert ship.configmap(namespace, "under") is None


def test_where_only_the_one_that_others_depend_on_is_deleted_it_goes_and_they_are_named(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    other_repo.commit(manifest("under"))
    ship.create_app("beneath", other_repo, namespace)
    first = git_repo.commit({"over.yaml": configmap("over", v="1")})
    ship.create_app("above", git_repo, namespace, annotations=on("beneath"))
    ship.synced("above", first)
    ship.patch_app("beneath", {"metadata": {"finalizers": [CASCADE]}})

    delete(ship, "beneath")

    gone(ship, "beneath")
    assert ship.configmap(namespace, "under") is None
    assert "above depends on it" in told(ship, "beneath")
    git_repo.commit({"over.yaml": configmap("over", v="2")})
    ship.refresh("above")
    ship.condition("above", "waits for beneath, which does not exist")
    assert ship.configmap(namespace, "over")["data"] == {"v": "1"}


def test_those_who_depend_on_each_other_can_be_deleted(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    for name, needs in (("egg", "hen"), ("hen", "egg")):
        ship.create_app(name, git_repo, namespace, annotations=on(needs))
        ship.patch_app(name, {"metadata": {"finalizers": [CASCADE]}})
    for name in ("egg", "hen"):
        ship.condition(name, "depends on itself")

    ship.ask(APPS.format(ship.home), method="DELETE")

    for name in ("egg", "hen"):
        gone(ship, name)
