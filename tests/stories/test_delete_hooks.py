"""Hooks that run before what an Application has is deleted, and after: nothing goes before the first have
succeeded, and the Application not before the last have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.model.finalizers import CLEANUP, POST_DELETE, PRE_DELETE
from tests.stories.ship import Ship, until
from tests.stories.test_deletion import CASCADE, HOLD, delete, going, gone, manifest, told
from tests.stories.test_hooks import FAIL, FINALIZER, RUN, ends, job, jobs

pytestmark = pytest.mark.cluster

BEFORE = [PRE_DELETE, PRE_DELETE + CLEANUP]
AFTER = [POST_DELETE, POST_DELETE + CLEANUP]


def finalizers(ship: Ship, name: str) -> list[str]:
    return list((ship.app(name) or {})["metadata"].get("finalizers", []))


def at_rest(ship: Ship, name: str, expected: list[str]) -> None:
    """Waits until the app has these finalizers, and no worker is at work on it."""
    until("the finalizers", lambda: finalizers(ship, name) == expected)
    until("its end", lambda: not ship.works_on(name))


def deployed(
    ship: Ship, name: str, repo: Repository, namespace: str, files: Mapping[str, str], *, cascade: bool = True
) -> None:
    """An Application that is synced, and takes along what it has."""
    ship.create_app(name, repo, namespace)
    ship.synced(name, repo.commit(files))
    ship.ended(name)
    until("its end", lambda: not ship.works_on(name))
    if cascade:
        ship.patch_app(name, {"metadata": {"finalizers": [*finalizers(ship, name), CASCADE]}})


def held(ship: Ship, namespace: str) -> dict[str, bool]:
    """The Jobs, and whether our finalizer keeps them."""
    found = jobs(ship, namespace)
    return {name: FINALIZER in one["metadata"].get("finalizers", []) for name, one in found.items()}


def runs(ship: Ship, namespace: str, name: str) -> Any:
    """The Job, once it is there and not being deleted."""

    def look() -> Any:
        found = jobs(ship, namespace).get(name)
        return found if found and "deletionTimestamp" not in found["metadata"] else None

    return until(f"the hook {name}", look)


def test_hooks_run_before_what_it_has_is_deleted_and_after_that_is_gone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("a", finalizers=[HOLD]),
        "before.yaml": job("before", RUN, hook="PreDelete"),
        "after.yaml": job("after", RUN, hook="PostDelete"),
        "last.yaml": job("last", hook="PostDelete", sync_wave="1", hook_delete_policy="HookSucceeded"),
    }
    deployed(ship, "around", git_repo, namespace, files)
    assert finalizers(ship, "around") == [*BEFORE, *AFTER, CASCADE]
    assert jobs(ship, namespace) == {}

    delete(ship, "around")

    said = ship.condition("around", f"waits for PreDelete hook batch/Job {namespace}/before to end")
    assert said["type"] == "Deleting"
    assert held(ship, namespace) == {"before": True}
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")
    ends(ship, namespace, "before")

    ship.condition("around", "waits for ConfigMap")
    assert finalizers(ship, "around") == [*AFTER, CASCADE]
    until("it to have gone along", lambda: jobs(ship, namespace) == {})
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    ship.ask(
        path,
        {"metadata": {"finalizers": None}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )

    ship.condition("around", f"waits for PostDelete hook batch/Job {namespace}/after to end")
    assert ship.configmap(namespace, "a") is None
    assert held(ship, namespace) == {"after": True}
    ends(ship, namespace, "after")

    gone(ship, "around")
    # No policy deletes the one; the other ran after it, and has gone by its own.
    assert held(ship, namespace) == {"after": False}
    assert "deleted with all that it had" in told(ship, "around")


def test_a_hook_that_fails_before_keeps_all_and_runs_again_once_somebody_deletes_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("a"),
        "first.yaml": job("first", hook="PreDelete", sync_wave="-1"),
        "backup.yaml": job("backup", FAIL, hook="PreDelete"),
    }
    deployed(ship, "backed", git_repo, namespace, files)
    delete(ship, "backed")

    said = ship.condition("backed", "has failed")
    assert said["type"] == "DeletionError"
    assert f"PreDelete hook batch/Job {namespace}/backup" in said["message"]
    assert "delete that object to have it run again" in said["message"]
    assert f"to go on without PreDelete hooks, take {' and '.join(BEFORE)} off" in said["message"]
    until("an Event that says so", lambda: "backup" in told(ship, "backed"))
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")

    first = runs(ship, namespace, "first")["metadata"]["uid"]
    before = runs(ship, namespace, "backup")["metadata"]["uid"]
    ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs/backup", method="DELETE")
    until("another run", lambda: runs(ship, namespace, "backup")["metadata"]["uid"] != before)
    assert jobs(ship, namespace)["first"]["metadata"]["uid"] == first
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")
    ship.patch_app("backed", {"metadata": {"finalizers": [CASCADE]}})
    gone(ship, "backed")
    assert ship.configmap(namespace, "a") is None


def test_hooks_run_also_where_what_it_has_stays_and_go_as_their_policies_say(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("a"),
        "before.yaml": job("before", hook="PreDelete", hook_delete_policy="HookFailed"),
        "gone.yaml": job("gone", hook="PostDelete", hook_delete_policy="HookSucceeded"),
        "bad.yaml": job("bad", FAIL, hook="PostDelete", hook_delete_policy="HookSucceeded"),
    }
    deployed(ship, "leaves", git_repo, namespace, files, cascade=False)

    delete(ship, "leaves")

    gone(ship, "leaves")
    assert held(ship, namespace) == {"before": False, "bad": False}
    assert ship.configmap(namespace, "a")
    # One that fails after all is gone keeps nothing, as in Argo CD, and is told.
    assert f"PostDelete hook batch/Job {namespace}/bad" in told(ship, "leaves")


def test_whoever_dies_while_a_hook_runs_another_goes_on_with_that_same_hook(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("a"),
        "first.yaml": job("first", hook="PreDelete", sync_wave="-1"),
        "second.yaml": job("second-", RUN, named="generateName", hook="PreDelete"),
    }
    deployed(ship, "survives", git_repo, namespace, files)
    delete(ship, "survives")
    ship.condition("survives", "waits for PreDelete hook batch/Job")
    until("both", lambda: len(jobs(ship, namespace)) == 2)
    before = {name: one["metadata"]["uid"] for name, one in jobs(ship, namespace).items()}
    (second,) = before.keys() - {"first"}
    assert "-predelete-" in second

    for pool in ("deploy", "reconcile"):
        ship.end(pool)
    # Who deletes one that has ended well does not make it run again.
    ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs/first", method="DELETE")
    ship.start("deploy", "reconcile")

    assert {name: one["metadata"]["uid"] for name, one in jobs(ship, namespace).items()} == before
    ends(ship, namespace, second)
    gone(ship, "survives")
    assert ship.configmap(namespace, "a") is None
    assert jobs(ship, namespace) == {}


def test_the_finalizers_come_with_the_hooks_and_go_with_them(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "changes", git_repo, namespace, manifest("a"))
    assert finalizers(ship, "changes") == [CASCADE]

    commit = ship.pushed(git_repo, {"after.yaml": job("after", hook="PostDelete"), **manifest("b")})
    ship.synced("changes", commit)
    assert finalizers(ship, "changes") == [CASCADE, *AFTER]

    commit = ship.pushed(git_repo, {"after.yaml": job("before", hook="PreDelete"), **manifest("c")})
    ship.synced("changes", commit)
    until("the others", lambda: finalizers(ship, "changes") == [CASCADE, *BEFORE])

    commit = ship.pushed(git_repo, {"after.yaml": "", **manifest("d")})
    ship.synced("changes", commit)
    until("none of them", lambda: finalizers(ship, "changes") == [CASCADE])
    assert jobs(ship, namespace) == {}


def test_where_nobody_can_tell_which_hooks_are_deployed_all_stays_until_they_are_given_up(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(
        ship,
        "lost",
        git_repo,
        namespace,
        {**manifest("a"), "before.yaml": job("before", hook="PreDelete")},
    )
    ship.patch_app("lost", {"status": {"sync": {"revision": "0" * 39 + "1"}}})

    delete(ship, "lost")

    said = ship.condition("lost", f"to go on without PreDelete hooks, take {' and '.join(BEFORE)} off")
    assert said["type"] == "DeletionError"
    assert "0000" in said["message"]
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")

    ship.patch_app("lost", {"metadata": {"finalizers": [CASCADE]}})
    gone(ship, "lost")
    assert ship.configmap(namespace, "a") is None
    assert jobs(ship, namespace) == {}


def test_a_hook_whose_namespace_has_gone_is_told_and_can_be_given_up(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    elsewhere = job("after", hook="PostDelete").replace("name: after", "name: after, namespace: no-such-one")
    deployed(ship, "homeless", git_repo, namespace, {**manifest("a"), "after.yaml": elsewhere})

    delete(ship, "homeless")

    said = ship.condition("homeless", "PostDelete hook batch/Job no-such-one/after")
    assert said["type"] == "DeletionError"
    assert "namespace no-such-one does not exist" in said["message"]
    assert f"take {' and '.join(AFTER)} off" in said["message"]
    assert ship.configmap(namespace, "a") is None
    ship.patch_app("homeless", {"metadata": {"finalizers": [CASCADE]}})
    gone(ship, "homeless")


def test_who_gives_up_a_hook_that_runs_does_not_leave_it_held(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({f"{name}/hook.yaml": job(name, RUN, hook="PreDelete") for name in ("along", "stays")})
    for name in ("along", "stays"):
        ship.create_app(name, git_repo, namespace, path=name)
        at_rest(ship, name, BEFORE)
    ship.patch_app("along", {"metadata": {"finalizers": [*BEFORE, CASCADE]}})
    for name in ("along", "stays"):
        delete(ship, name)
        runs(ship, namespace, name)

    ship.patch_app("along", {"metadata": {"finalizers": [CASCADE]}})
    gone(ship, "along")
    assert set(jobs(ship, namespace)) == {"stays"}

    ship.patch_app("stays", {"metadata": {"finalizers": None}})
    gone(ship, "stays")
    until("nobody to keep it", lambda: held(ship, namespace) == {"stays": False})
    assert "deletionTimestamp" not in jobs(ship, namespace)["stays"]["metadata"]
