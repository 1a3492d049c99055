"""One bad object leaves the cluster untouched; a sync that is only tried says what it would do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap
from tests.stories.test_kinds import deployment, job
from tests.stories.test_operations import invalid

pytestmark = pytest.mark.cluster


def _state(ship: Ship, name: str) -> Any:
    return ship.app(name)["status"]["operationState"]


def _inventory(ship: Ship, name: str) -> Any:
    items = ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps")["items"]
    return [one for one in items if one["metadata"]["name"].endswith(f"{ship.home}.{name}")]


def test_one_bad_object_leaves_the_cluster_untouched_and_all_bad_ones_are_told(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("whole", git_repo, namespace)
    ship.synced("whole", first)
    ship.quiet()
    inventory = _inventory(ship, "whole")
    files = {"a.yaml": configmap("a", v="2"), "b.yaml": configmap("b"), "one.json": invalid("one")}

    delivery = ship.deliver(git_repo, git_repo.commit({**files, "two.json": invalid("two")}))

    outcome = ship.finished(delivery)["outcome"]
    assert "Service" in outcome
    assert "one" in outcome
    assert "two" in outcome
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert ship.configmap(namespace, "b") is None
    assert _inventory(ship, "whole") == inventory
    results = {one["name"]: one["message"] for one in _state(ship, "whole")["syncResult"]["resources"]}
    assert results["a"].startswith("not written, since other objects")
    assert results["one"].startswith("one.json:1: ")

    good = git_repo.commit({"one.json": None, "two.json": None})
    ship.finished(ship.deliver(git_repo, good))
    ship.synced("whole", good)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_each_retry_is_tried_first_too_whatever_was_in_order_before(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    same = {"same.yaml": configmap("same")}
    first = git_repo.commit({**same, "a.yaml": configmap("a", v="1")})
    retry = {"limit": 1, "backoff": {"duration": "1s"}}
    ship.create_app("again", git_repo, namespace, policy={"retry": retry})
    ship.synced("again", first)
    ship.quiet()

    ship.pushed(
        git_repo, {"a.yaml": configmap("a", v="2"), "b.yaml": configmap("b"), "one.json": invalid("one")}
    )

    told = _state(ship, "again")
    assert (told["phase"], told["retryCount"]) == ("Failed", 1)
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert ship.configmap(namespace, "b") is None


def test_no_namespace_is_created_for_a_sync_that_comes_to_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    fresh = f"{namespace}-fresh"
    policy = {"syncOptions": ["CreateNamespace=true"]}
    # In a namespace that is there: what the sync itself brings is only known to the server then.
    bad = json.loads(invalid("bad"))
    bad["metadata"]["namespace"] = namespace
    git_repo.commit({"a.yaml": configmap("a"), "bad.json": json.dumps(bad)})
    ship.create_app("fresh", git_repo, fresh, policy=policy, auto=False)

    assert ship.operate("fresh")["status"]["operationState"]["phase"] == "Failed"

    assert ship.find(f"/api/v1/namespaces/{fresh}") is None
    assert _inventory(ship, "fresh") == []
    git_repo.commit({"bad.json": None})
    try:
        assert ship.operate("fresh")["status"]["operationState"]["phase"] == "Succeeded"
        assert ship.configmap(fresh, "a") is not None
    finally:
        ship.ask(f"/api/v1/namespaces/{fresh}", method="DELETE")


def test_what_comes_into_a_new_namespace_is_held_against_its_schema(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    fresh = f"{namespace}-new"
    wrong = deployment("web")
    wrong["spec"] |= {"replicas": "3", "selector": None}
    git_repo.commit({"a.yaml": configmap("a"), "web.json": json.dumps(wrong)})
    policy = {"syncOptions": ["CreateNamespace=true"]}
    ship.create_app("new", git_repo, fresh, policy=policy, auto=False)

    state = ship.operate("new")["status"]["operationState"]

    assert state["phase"] == "Failed"
    assert "web.json:1: spec.replicas: must be an integer, not a string" in state["message"]
    assert "spec.selector: is missing" in state["message"]
    assert ship.find(f"/api/v1/namespaces/{fresh}") is None


def test_a_bad_hook_leaves_the_cluster_untouched_and_no_hook_runs_for_that(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    def hook(name: str, phase: str, image: str = "example.org/work:1") -> str:
        body = job(name)
        body["metadata"]["annotations"] = {"argocd.argoproj.io/hook": phase}
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return json.dumps(body)

    files = {"before.json": hook("before", "PreSync"), "fail.json": hook("fail", "SyncFail")}
    git_repo.commit({**files, "a.yaml": configmap("a"), "after.json": hook("after", "PostSync", "")})
    ship.create_app("hooked", git_repo, namespace, auto=False)

    state = ship.operate("hooked")["status"]["operationState"]

    assert state["phase"] == "Failed"
    assert "after.json:1: " in state["message"]
    assert ship.configmap(namespace, "a") is None
    assert ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"] == []


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "old.yaml": configmap("old")})
    ship.create_app("tried", git_repo, namespace, auto=False)
    assert ship.operate("tried")["status"]["operationState"]["phase"] == "Succeeded"
    history = ship.app("tried")["status"]["history"]
    inventory = _inventory(ship, "tried")
    git_repo.commit({"a.yaml": configmap("a", v="2"), "b.yaml": configmap("b"), "old.yaml": None})

    state = ship.operate("tried", dryRun=True, prune=True)["status"]["operationState"]

    assert (state["phase"], state["message"]) == ("Succeeded", "successfully synced (dry run)")
    assert {one["name"]: (one["status"], one["message"]) for one in state["syncResult"]["resources"]} == {
        "a": ("Synced", "configmap/a configured (dry run)"),
        "b": ("Synced", "configmap/b created (dry run)"),
        "old": ("Pruned", "pruned (dry run)"),
    }
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert ship.configmap(namespace, "b") is None
    assert ship.configmap(namespace, "old") is not None
    app = ship.app("tried")
    assert app["status"]["history"] == history
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert _inventory(ship, "tried") == inventory
    assert history[-1]["revision"] == first


def test_a_dry_run_of_what_would_fail_fails_and_holds_nothing_up(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("foretold", git_repo, namespace)
    ship.synced("foretold", first)
    ship.quiet()
    git_repo.commit({"a.yaml": configmap("a", v="2"), "bad.json": invalid("bad")}, branch="bad")
    state = ship.operate("foretold", dryRun=True, revision="bad")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert state["message"].startswith("one or more objects failed to apply (dry run): Service")
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}

    second = git_repo.commit({"a.yaml": configmap("a", v="3")})
    ship.finished(ship.deliver(git_repo, second))
    ship.synced("foretold", second)
    assert ship.configmap(namespace, "a")["data"] == {"v": "3"}


def test_the_command_line_shows_what_a_sync_would_do(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("shown", git_repo, namespace, auto=False)
    done = ship.mooring("app", "sync", "shown", "--dry-run", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert "configmap/a created (dry run)" in done.stdout
    assert "successfully synced (dry run)" in done.stdout
    assert ship.configmap(namespace, "a") is None
