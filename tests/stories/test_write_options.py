"""Sync options that say how an object is written, as a user of an Application meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_kinds import job

pytestmark = pytest.mark.cluster


def _work(image: str) -> str:
    body = job("work")
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return json.dumps(body)


def _job(ship: Ship, namespace: str) -> Any:
    return ship.find(f"/apis/batch/v1/namespaces/{namespace}/jobs/work")


def _image(job: Any) -> Any:
    return job["spec"]["template"]["spec"]["containers"][0]["image"]


def test_a_changed_job_fails_with_a_reason_and_runs_anew_once_the_app_says_force(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.json": _work("example.org/work:1")})
    ship.create_app("jobs", git_repo, namespace)
    ship.synced("jobs", first)
    ship.quiet()
    before = _job(ship, namespace)
    delivery = ship.deliver(git_repo, git_repo.commit({"a.json": _work("example.org/work:2")}))
    text = ship.finished(delivery)["outcome"]
    assert '"example.org/work:1", Git has "example.org/work:2"' in text
    assert "set the sync option Force=true" in text
    assert _job(ship, namespace)["metadata"]["uid"] == before["metadata"]["uid"]

    ship.patch_app("jobs", {"spec": {"syncPolicy": {"syncOptions": ["Force=true"]}}})

    state = ship.operate("jobs")["status"]["operationState"]
    assert state["phase"] == "Succeeded", state["message"]
    after = _job(ship, namespace)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert _image(after) == "example.org/work:2"
    ship.reconcile("jobs")
    assert _job(ship, namespace)["metadata"]["uid"] == after["metadata"]["uid"]


def test_an_operation_may_force_as_argo_cds_strategies_have_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.json": _work("example.org/work:1")})
    ship.create_app("forced", git_repo, namespace, auto=False)
    assert ship.operate("forced")["status"]["operationState"]["phase"] == "Succeeded"
    for number, strategy in enumerate(("apply", "hook")):
        image = f"example.org/work:{number + 2}"
        git_repo.commit({"a.json": _work(image)})
        assert ship.operate("forced")["status"]["operationState"]["phase"] == "Failed"
        app = ship.operate("forced", syncStrategy={strategy: {"force": True}})
        assert app["status"]["operationState"]["phase"] == "Succeeded"
        assert _image(_job(ship, namespace)) == image


def test_the_command_line_forces_and_replaces(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit({"a.json": _work("example.org/work:1"), "b.yaml": configmap("b", v="1")})
    ship.create_app("by-hand", git_repo, namespace, auto=False)
    assert ship.mooring("app", "sync", "by-hand", "--timeout", "60").returncode == 0
    git_repo.commit({"a.json": _work("example.org/work:2"), "b.yaml": configmap("b", v="2")})
    refused = ship.mooring("app", "sync", "by-hand", "--timeout", "60")
    assert refused.returncode == 1
    assert "Force=true" in refused.stderr
    done = ship.mooring("app", "sync", "by-hand", "--force", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert "job/work deleted and created anew" in done.stdout
    assert _image(_job(ship, namespace)) == "example.org/work:2"

    git_repo.commit({"b.yaml": configmap("b", v="3")})
    path = f"/api/v1/namespaces/{namespace}/configmaps/b"
    ship.ask(path, {"data": {"by": "hand"}}, method="PATCH", content_type="application/merge-patch+json")
    done = ship.mooring("app", "sync", "by-hand", "--replace", "--timeout", "60")
    assert "configmap/b replaced" in done.stdout
    assert ship.configmap(namespace, "b")["data"] == {"v": "3"}


def test_what_is_replaced_is_healed_and_pruned_as_anything_else(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")}
    first = git_repo.commit(files)
    policy = {"syncOptions": ["Replace=true"]}
    ship.create_app("replaced", git_repo, namespace, policy=policy, selfHeal=True)
    ship.synced("replaced", first)
    ship.quiet()
    ship.ask(
        f"/api/v1/namespaces/{namespace}/configmaps/a",
        {"data": {"by": "hand"}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )
    ship.reconcile("replaced")
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    second = git_repo.commit({"b.yaml": None})
    ship.finished(ship.deliver(git_repo, second))
    ship.synced("replaced", second)
    until("b to be gone", lambda: ship.configmap(namespace, "b") is None)
