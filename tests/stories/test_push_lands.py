"""A push lands in a cluster, and nothing else is touched."""

from __future__ import annotations

import secrets

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.keys import AppKey
from mooring.names import RECONCILE, TASK_MOVED
from mooring.store.views import Views
from tests.stories.ship import Ship, configmap, until
from workers.push import following

pytestmark = pytest.mark.cluster


def test_a_new_application_is_deployed_and_a_push_changes_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"web.yaml": configmap("web", colour="blue"), "other.yaml": configmap("other")})
    ship.create_app("lands", git_repo, namespace)
    ship.synced("lands", first)
    assert ship.configmap(namespace, "web")["data"] == {"colour": "blue"}
    untouched = ship.configmap(namespace, "other")["metadata"]["resourceVersion"]
    ship.quiet()

    second = git_repo.commit({"web.yaml": configmap("web", colour="green")})
    delivery = ship.deliver(git_repo, second)

    until("the new value", lambda: ship.configmap(namespace, "web")["data"]["colour"] == "green")
    ship.synced("lands", second)
    assert ship.configmap(namespace, "other")["metadata"]["resourceVersion"] == untouched
    told = ship.finished(delivery)
    assert told["state"] == "succeeded"
    assert {"received", "fetched", "rendered", "planned", "applied", "synced"} <= {
        s["name"] for s in told["stages"]
    }


def test_a_push_of_what_was_tried_before_it_was_heard_of_is_told_as_it_ended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    def fixed(v: str) -> dict[str, str]:
        return {"a.yaml": configmap("a", v=v) + "immutable: true\n"}

    ship.create_app("fixed", git_repo, namespace)
    ship.synced("fixed", git_repo.commit(fixed("1")))
    ship.quiet()
    changed = git_repo.commit(fixed("2"))
    ship.refresh("fixed")
    until(
        "the sync to fail",
        lambda: ship.app("fixed")["status"]["operationState"]["phase"] in ("Failed", "Error"),
    )
    ship.quiet()

    told = ship.finished(ship.deliver(git_repo, changed))

    assert told["state"] == "failed"
    assert "not tried again by itself: ConfigMap" in told["outcome"]
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}


def test_a_push_that_cannot_be_rendered_is_told_by_its_delivery_and_once_in_the_log(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("breaks", git_repo, namespace)
    ship.synced("breaks", git_repo.commit({"a.yaml": configmap("a")}))

    told = ship.finished(ship.deliver(git_repo, git_repo.commit({"a.yaml": "kind: [\n"})))

    why = "a.yaml:2: is not YAML"
    assert told["state"] == "failed"
    assert told["outcome"].startswith(f"{ship.home}/breaks: {why}")
    (failed,) = [stage for stage in told["stages"] if stage["name"] == "failed"]
    assert failed["app"] == f"{ship.home}_breaks"
    assert failed["note"].startswith(why)
    ship.refresh("breaks")
    ship.reconcile("breaks")
    status = ship.app("breaks")["status"]
    assert status["sync"]["status"] == "Unknown", "what was good before is not what Git has"
    assert status["conditions"][0]["message"].startswith(why)
    line = f"{ship.home}_breaks: ComparisonError: {why}"
    assert sum(ship.log(name).count(line) for name in ("deploy", "slow", "reconcile")) == 1


def test_a_push_finds_an_application_that_was_created_a_moment_ago(
    ship: Ship, git_repo: Repository, git_server: GitServer, namespace: str
) -> None:
    ship.create_app("older", git_repo, namespace)
    ship.synced("older", git_repo.commit({"a.yaml": configmap("a")}))
    fresh = git_server.create(f"fresh-{secrets.token_hex(4)}")
    commit = fresh.commit({"b.yaml": configmap("b")})
    ship.finished(ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="2")})))

    ship.create_app("fresh", fresh, namespace)  # who lists Applications has just done so

    told = ship.finished(ship.deliver(fresh, commit))
    assert told["outcome"] == "synced"


def test_a_file_renamed_with_its_object_is_pruned(ship: Ship, git_repo: Repository, namespace: str) -> None:
    files = {f"{name}.yaml": configmap(name) for name in ("one", "two", "three", "four")}
    ship.create_app("renames", git_repo, namespace)
    ship.synced("renames", git_repo.commit(files))

    commit = git_repo.commit({"one.yaml": None, "uno.yaml": configmap("uno")})
    ship.deliver(git_repo, commit)

    ship.synced("renames", commit)
    assert ship.configmap(namespace, "uno")
    until("the old one to be gone", lambda: ship.configmap(namespace, "one") is None)
    assert ship.configmap(namespace, "two")


def test_broken_yaml_leaves_the_cluster_as_it_was_and_names_file_and_line(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")})
    ship.create_app("broken", git_repo, namespace)
    ship.synced("broken", first)

    commit = git_repo.commit({"a.yaml": configmap("a", v="2"), "b.yaml": "kind: ConfigMap\n  bad: [\n"})
    told = ship.finished(ship.deliver(git_repo, commit))

    assert told["state"] == "failed", told
    assert "b.yaml:2" in ship.condition("broken", "b.yaml")["message"]
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert ship.configmap(namespace, "b")["data"] == {"v": "1"}


def test_without_automation_a_push_only_shows_that_the_app_is_out_of_sync(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("by-hand", git_repo, namespace, auto=False)
    ship.synced("by-hand", commit, status="OutOfSync")
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.deliver(git_repo, commit)
    ship.synced("by-hand", commit, status="OutOfSync")
    assert ship.configmap(namespace, "a") is None

    ship.patch_app(
        "by-hand", {"operation": {"sync": {"revision": commit}, "initiatedBy": {"username": "me"}}}
    )

    app = ship.synced("by-hand", commit)
    assert "operation" not in app
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert app["status"]["operationState"]["operation"]["initiatedBy"]["username"] == "me"
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_an_app_that_cannot_be_moved_is_in_no_others_way_and_the_page_shows_the_new_commit(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"x/a.yaml": configmap("xa"), "y/a.yaml": configmap("ya")})
    for name, path in (("moved-1", "x"), ("moved-2", "y")):
        ship.create_app(name, git_repo, namespace, path=path)
        ship.synced(name, first)
    ship.quiet()
    second = git_repo.commit({"z.yaml": configmap("z")})
    turn = following(git_repo.url, "main").name
    commits = {str(AppKey(ship.home, "moved-1")): "0" * 40, str(AppKey(ship.home, "moved-2")): second}
    with ship.redis() as client:
        client.hset(f"mooring:moved:{turn}", mapping=commits)

        ship.send(RECONCILE, TASK_MOVED, turn)

        ship.synced("moved-2", second)
        assert ship.app("moved-1")["status"]["sync"]["revision"] == first

        def shown() -> str:
            return next(view.revision for view in Views(client).apps() if view.name == "moved-2")

        until("the page to show it", lambda: shown() == second)


def test_a_push_that_touches_another_path_only_moves_the_revision(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"x/a.yaml": configmap("xa"), "y/a.yaml": configmap("ya", v="1")})
    ship.create_app("path-x", git_repo, namespace, path="x")
    ship.create_app("path-y", git_repo, namespace, path="y")
    for name in ("path-x", "path-y"):
        ship.synced(name, first)
    ship.quiet()
    x = ship.app("path-x")

    second = git_repo.commit({"y/a.yaml": configmap("ya", v="2")})
    ship.deliver(git_repo, second)

    ship.synced("path-y", second)
    moved = ship.synced("path-x", second)
    assert moved["status"]["reconciledAt"] == x["status"]["reconciledAt"]
    assert moved["status"]["operationState"] == x["status"]["operationState"]
    assert moved["status"]["history"] == x["status"]["history"]
