"""Hooks: what runs before, beside and after what stays, once in each sync, and how a sync waits for it."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_waves import DOOR, opened, waits
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster

HOOK = "argocd.argoproj.io/hook"
FINALIZER = "argocd.argoproj.io/hook-finalizer"
RUN = {"devcluster.mooring.dev/pod": "run"}  # its pod never ends
FAIL = {"devcluster.mooring.dev/pod": "fail"}


def job(name: str, pod: dict[str, str] | None = None, *, named: str = "name", **annotations: str) -> str:
    """A Job that ends as its `pod` does; underscores in names of annotations are hyphens."""
    own = {f"argocd.argoproj.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return f"""apiVersion: batch/v1
kind: Job
metadata: {{{named}: {name}, annotations: {_flow(own)}}}
spec:
  backoffLimit: 0
  template:
    metadata: {{annotations: {_flow(pod or {})}}}
    spec: {{restartPolicy: Never, containers: [{{name: main, image: example.org/tool}}]}}
"""


def _flow(mapping: dict[str, str]) -> str:
    return "{" + ", ".join(f"'{key}': '{value}'" for key, value in mapping.items()) + "}"


def jobs(ship: Ship, namespace: str) -> dict[str, Any]:
    items = ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    return {item["metadata"]["name"]: item for item in items}


def results(ship: Ship, app: str) -> dict[str, tuple[str, str]]:
    """What the last operation says of its hooks: type and phase, by name."""
    state = ship.app(app)["status"]["operationState"]
    return {
        one["name"]: (one["hookType"], one["hookPhase"])
        for one in state["syncResult"]["resources"]
        if one.get("hookType")
    }


def ends(ship: Ship, namespace: str, name: str, how: str = "Complete") -> None:
    """The pods of the Job end, which nobody has them do here but the story."""
    until(f"a pod of {name}", lambda: _pods(ship, namespace, name))
    phase = "Succeeded" if how == "Complete" else "Failed"
    for pod in _pods(ship, namespace, name):
        ship.ask(
            f"/api/v1/namespaces/{namespace}/pods/{pod}/status",
            {"status": {"phase": phase}},
            method="PATCH",
            content_type="application/merge-patch+json",
        )


def _pods(ship: Ship, namespace: str, name: str) -> list[str]:
    items = ship.ask(f"/api/v1/namespaces/{namespace}/pods?labelSelector=job-name={name}")["items"]
    return [item["metadata"]["name"] for item in items if item["status"].get("phase") == "Running"]


def test_hooks_run_before_and_after_and_each_waits_for_what_is_before_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(
        {
            "a.yaml": job("migrate", RUN, hook="PreSync"),
            "b.yaml": configmap("settings", v="1"),
            "c.yaml": DOOR,
            "d.yaml": job("smoke", hook="PostSync"),
        }
    )
    ship.create_app("phases", git_repo, namespace)
    state = waits(ship, "phases", "waiting for completion of hook batch/Job/migrate")
    assert results(ship, "phases") == {"migrate": ("PreSync", "Running")}
    assert ship.configmap(namespace, "settings") is None
    migrate = jobs(ship, namespace)["migrate"]["metadata"]
    assert FINALIZER in migrate["finalizers"]
    assert state["syncResult"]["revision"] == commit

    ends(ship, namespace, "migrate")

    waits(ship, "phases", "waiting for healthy state of /Service/door")
    assert ship.configmap(namespace, "settings")["data"] == {"v": "1"}
    assert "smoke" not in jobs(ship, namespace)
    assert FINALIZER not in jobs(ship, namespace)["migrate"]["metadata"].get("finalizers", [])
    opened(ship, namespace)

    ship.synced("phases", commit)
    state = ship.ended("phases")["status"]["operationState"]
    assert state["phase"] == "Succeeded", state["message"]
    assert results(ship, "phases") == {
        "migrate": ("PreSync", "Succeeded"),
        "smoke": ("PostSync", "Succeeded"),
    }
    assert jobs(ship, namespace)["migrate"]["metadata"]["uid"] == migrate["uid"]
    shown = ship.mooring("app", "get", "phases").stdout
    assert re.search(r"^PreSync +batch +Job +\S+ +migrate +Succeeded", shown, re.MULTILINE), shown
    assert re.search(r"^PostSync +batch +Job +\S+ +smoke +Succeeded", shown, re.MULTILINE), shown


def test_a_hook_is_shown_and_neither_syncs_nor_harms_the_app(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit(
        {"a.yaml": job("migrate", hook="PreSync"), "b.yaml": configmap("settings", v="1")}
    )
    ship.create_app("shown", git_repo, namespace)
    ship.synced("shown", first)
    ship.ended("shown")
    born = jobs(ship, namespace)["migrate"]["metadata"]["uid"]
    shown = ship.resource("shown", "migrate", "Job")
    assert shown["hook"] is True
    assert not shown.get("status")
    ship.quiet()

    second = ship.pushed(git_repo, {"a.yaml": job("migrate", hook="PreSync", sync_wave="-1")})

    app = ship.synced("shown", second)
    assert jobs(ship, namespace)["migrate"]["metadata"]["uid"] == born
    assert app["status"]["operationState"]["syncResult"]["revision"] == first
    assert len(app["status"]["history"]) == 1

    ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate", method="DELETE")
    app = ship.reconcile("shown")
    assert app["status"]["sync"]["status"] == "Synced"
    assert app["status"]["health"]["status"] == "Healthy"
    assert ship.resource("shown", "migrate", "Job") is None


def test_a_hook_of_an_earlier_sync_is_deleted_before_it_runs_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": job("again", hook="PreSync"), "b.yaml": configmap("settings", v="1")})
    ship.create_app("again", git_repo, namespace)
    ship.synced("again", first)
    before = ship.ended("again")["status"]["operationState"]
    born = jobs(ship, namespace)["again"]["metadata"]["uid"]
    ship.quiet()

    with Watch(ship.cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs") as watch:
        second = ship.pushed(git_repo, {"b.yaml": configmap("settings", v="2")})
        app = ship.synced("again", second)
        told = [event.kind for event in watch.events("again") if event.kind != "MODIFIED"]
    assert told == ["DELETED", "ADDED"]
    assert jobs(ship, namespace)["again"]["metadata"]["uid"] != born
    assert app["status"]["operationState"]["startedAt"] != before["startedAt"]
    assert ship.configmap(namespace, "settings")["data"] == {"v": "2"}


def test_delete_policies_are_obeyed_once_the_sync_ends(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(
        {
            "a.yaml": job("gone", hook="PreSync", hook_delete_policy="HookSucceeded"),
            "b.yaml": job("stays", hook="PreSync", hook_delete_policy="HookFailed"),
            "c.yaml": configmap("settings", v="1"),
        }
    )
    ship.create_app("policies", git_repo, namespace)
    ship.synced("policies", commit)
    ship.ended("policies")
    until("the one to be gone", lambda: set(jobs(ship, namespace)) == {"stays"})
    assert results(ship, "policies") == {
        "gone": ("PreSync", "Succeeded"),
        "stays": ("PreSync", "Succeeded"),
    }

    second = git_repo.commit(
        {
            "a.yaml": job("gone", FAIL, hook="PreSync", hook_delete_policy="HookSucceeded"),
            "b.yaml": job("stays", FAIL, hook="PreSync", hook_delete_policy="HookFailed,BeforeHookCreation"),
            "c.yaml": configmap("settings", v="2"),
        }
    )
    ship.finished(ship.deliver(git_repo, second))

    state = ship.ended("policies")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert "batch/Job" in state["message"]
    until("the other to be gone", lambda: set(jobs(ship, namespace)) == {"gone"})
    assert ship.configmap(namespace, "settings")["data"] == {"v": "1"}


def test_whoever_dies_while_a_hook_runs_another_goes_on_with_that_same_hook(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(
        {
            "a.yaml": job("once-", RUN, named="generateName", hook="PreSync"),
            "b.yaml": configmap("settings", v="1"),
        }
    )
    ship.create_app("resumed", git_repo, namespace)
    waits(ship, "resumed", "waiting for completion of hook batch/Job/once-")
    (name,) = jobs(ship, namespace)
    assert "-presync-" in name
    for pool in ("deploy", "reconcile"):
        ship.end(pool)
    ends(ship, namespace, name)
    ship.start("deploy", "reconcile")

    ship.synced("resumed", commit)
    assert ship.ended("resumed")["status"]["operationState"]["phase"] == "Succeeded"
    assert list(jobs(ship, namespace)) == [name]
    assert ship.configmap(namespace, "settings")["data"] == {"v": "1"}


def test_hooks_of_a_failure_run_once_it_is_certain_and_the_sync_still_fails(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(
        {
            "a.yaml": job("migrate", FAIL, hook="PreSync"),
            "b.yaml": configmap("settings", v="1"),
            "c.yaml": job("mend", RUN, hook="SyncFail"),
            "d.yaml": job("never", hook="PostSync"),
        }
    )
    ship.create_app("failing", git_repo, namespace)
    waits(ship, "failing", "waiting for completion of hook batch/Job/mend")
    assert results(ship, "failing") == {"migrate": ("PreSync", "Failed"), "mend": ("SyncFail", "Running")}
    ends(ship, namespace, "mend")

    state = ship.ended("failing")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert "batch/Job" in state["message"] and "migrate" in state["message"]
    assert state["syncResult"]["revision"] == commit
    assert results(ship, "failing")["mend"] == ("SyncFail", "Succeeded")
    ship.condition("failing", "migrate")
    assert ship.configmap(namespace, "settings") is None
    assert set(jobs(ship, namespace)) == {"migrate", "mend"}
    assert not any(
        FINALIZER in one["metadata"].get("finalizers", []) for one in jobs(ship, namespace).values()
    )


def test_a_sync_that_is_tried_again_runs_only_those_hooks_again_that_have_failed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit(
        {
            "a.yaml": job("once", hook="PreSync", sync_wave="-1"),
            "b.yaml": job("twice", FAIL, hook="PreSync"),
            "c.yaml": job("mend", hook="SyncFail"),
        }
    )
    retry = {"limit": 1, "backoff": {"duration": "1s"}}
    ship.create_app("retried", git_repo, namespace, policy={"automated": {}, "retry": retry})
    with Watch(ship.cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs") as watch:
        # Hooks alone make no sync.
        git_repo.commit({"d.yaml": configmap("settings", v="1")})
        ship.refresh("retried")

        state = until(
            "its last try",
            lambda: (
                (found := ship.ended("retried")["status"].get("operationState", {})).get("retryCount")
                and found
            ),
        )
        born = dict.fromkeys(("once", "twice", "mend"), 0)
        for event in watch.events():
            born[event.name] += event.kind == "ADDED"
    assert state["phase"] == "Failed"
    assert born == {"once": 1, "twice": 2, "mend": 1}
    assert ship.configmap(namespace, "settings") is None


def test_a_hook_that_never_ends_is_ended_with_its_sync(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": job("endless", RUN, hook="PreSync"), "b.yaml": configmap("settings", v="1")})
    ship.create_app("endless", git_repo, namespace)
    waits(ship, "endless", "waiting for completion of hook batch/Job/endless")

    done = ship.mooring("app", "terminate-op", "endless")

    assert done.returncode == 0, done.stderr
    state = ship.ended("endless")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert state["message"] == "operation terminated"
    assert results(ship, "endless") == {"endless": ("PreSync", "Failed")}
    until("the hook to be gone", lambda: not jobs(ship, namespace))
    assert ship.configmap(namespace, "settings") is None


def test_a_newer_commit_waits_until_the_hooks_of_the_older_one_have_ended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    older = git_repo.commit(
        {"a.yaml": job("older", RUN, hook="PreSync"), "b.yaml": configmap("settings", v="1")}
    )
    ship.create_app("older", git_repo, namespace)
    waits(ship, "older", "waiting for completion of hook batch/Job/older")

    newer = git_repo.commit({"a.yaml": job("newer", hook="PreSync"), "b.yaml": configmap("settings", v="2")})
    delivery = ship.deliver(git_repo, newer)
    until("the push to be looked at", lambda: "planned" in str(ship.delivery(delivery)))
    until("that to be over", lambda: not ship.works_on("older"))
    state = ship.app("older")["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"]) == ("Running", older)
    assert set(jobs(ship, namespace)) == {"older"}
    ends(ship, namespace, "older")

    assert ship.finished(delivery)["outcome"] == "synced"
    ship.synced("older", newer)
    assert ship.configmap(namespace, "settings")["data"] == {"v": "2"}
    assert not any(
        FINALIZER in one["metadata"].get("finalizers", []) for one in jobs(ship, namespace).values()
    )


def test_an_object_of_somebody_else_that_has_a_hooks_name_is_left_alone_and_fails_the_sync(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    foreign = {"metadata": {"name": "before"}, "data": {"whose": "somebody else's"}}
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", foreign)
    hook = configmap("before", whose="ours").replace(
        "metadata:\n", f"metadata:\n  annotations: {{{HOOK}: PreSync}}\n"
    )
    git_repo.commit({"a.yaml": hook, "b.yaml": configmap("settings", v="1")})
    ship.create_app("foreign", git_repo, namespace)

    ship.condition("foreign", "exists and is no hook of this app")
    assert ship.ended("foreign")["status"]["operationState"]["phase"] == "Failed"
    assert ship.configmap(namespace, "before")["data"] == foreign["data"]
    assert ship.configmap(namespace, "settings") is None


def test_a_job_that_was_kept_becomes_a_hook(ship: Ship, git_repo: Repository, namespace: str) -> None:
    first = git_repo.commit({"a.yaml": job("migrate"), "b.yaml": configmap("settings", v="1")})
    ship.create_app("becomes", git_repo, namespace)
    ship.synced("becomes", first)
    ship.ended("becomes")
    born = jobs(ship, namespace)["migrate"]["metadata"]["uid"]
    ship.quiet()

    second = ship.pushed(
        git_repo, {"a.yaml": job("migrate", hook="PreSync"), "b.yaml": configmap("settings", v="2")}
    )

    ship.synced("becomes", second)
    assert jobs(ship, namespace)["migrate"]["metadata"]["uid"] != born
    assert ship.resource("becomes", "migrate", "Job")["hook"] is True
    ship.quiet()
    ship.reconcile("becomes")
    assert not ship.app("becomes")["status"].get("conditions")


def test_drift_is_mended_without_hooks(ship: Ship, git_repo: Repository, namespace: str) -> None:
    first = git_repo.commit(
        {"a.yaml": job("migrate", hook="PreSync"), "b.yaml": configmap("settings", v="1")}
    )
    ship.create_app("mended", git_repo, namespace, selfHeal=True)
    ship.synced("mended", first)
    ship.ended("mended")
    born = jobs(ship, namespace)["migrate"]["metadata"]["uid"]
    ship.quiet()

    ship.kubectl("-n", namespace, "delete", "configmap", "settings")
    ship.reconcile("mended")

    assert ship.configmap(namespace, "settings")["data"] == {"v": "1"}
    assert jobs(ship, namespace)["migrate"]["metadata"]["uid"] == born


def test_a_hook_that_somebody_deletes_has_failed_and_nobody_waits_for_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": job("doomed", RUN, hook="PreSync"), "b.yaml": configmap("settings", v="1")})
    ship.create_app("doomed", git_repo, namespace)
    waits(ship, "doomed", "waiting for completion of hook batch/Job/doomed")

    ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs/doomed", method="DELETE")

    state = ship.ended("doomed")["status"]["operationState"]
    assert state["phase"] == "Failed"
    assert "was deleted before it had ended" in state["message"]
    until("it to be gone", lambda: not jobs(ship, namespace))


def test_one_job_may_run_before_and_after_a_sync(ship: Ship, git_repo: Repository, namespace: str) -> None:
    commit = git_repo.commit(
        {"a.yaml": job("twice", hook="PreSync,PostSync"), "b.yaml": configmap("settings", v="1")}
    )
    with Watch(ship.cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs") as watch:
        ship.create_app("both", git_repo, namespace)
        ship.synced("both", commit)
        state = ship.ended("both")["status"]["operationState"]
        told = [event.kind for event in watch.events("twice") if event.kind != "MODIFIED"]
    assert state["phase"] == "Succeeded", state["message"]
    assert told == ["ADDED", "DELETED", "ADDED"]
    phases = [one["hookType"] for one in state["syncResult"]["resources"] if one.get("hookType")]
    assert phases == ["PreSync", "PostSync"]


def test_a_definition_may_come_as_a_hook_before_what_it_defines(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    group = f"t{secrets.token_hex(4)}.mooring.test"
    definition = f"""apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: buoys.{group}, annotations: {{helm.sh/hook: "pre-install,pre-upgrade"}}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: buoys, singular: buoy, kind: Buoy}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    buoy = f"apiVersion: {group}/v1\nkind: Buoy\nmetadata: {{name: north}}\n"
    commit = git_repo.commit({"a.yaml": definition, "b.yaml": buoy, "c.yaml": configmap("settings", v="1")})
    ship.create_app("defined", git_repo, namespace)
    try:
        ship.synced("defined", commit)
        state = ship.ended("defined")["status"]["operationState"]
        assert state["phase"] == "Succeeded", state["message"]
        assert ship.find(f"/apis/{group}/v1/namespaces/{namespace}/buoys/north")
    finally:
        ship.ask(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/buoys.{group}", method="DELETE")
