"""Operations, refreshes and retries, as other programs ask for them and wait for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.names import REFRESH
from tests.stories.gate import Gate, gated
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}


def invalid(name: str) -> str:
    """A manifest that the API server refuses whenever it is applied."""
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 123456}]},
    }
    return json.dumps(body)


def state(ship: Ship, app: str) -> Any:
    return ship.app(app)["status"]["operationState"]


def state_or_none(ship: Ship, app: str) -> Any:
    return (ship.app(app).get("status") or {}).get("operationState")


def failed(ship: Ship, app: str) -> Any:
    """Waits until the app's sync has failed for good; its operationState then."""

    def look() -> Any:
        told = (ship.app(app).get("status") or {}).get("operationState", {})
        return told if told.get("phase") == "Failed" else None

    return until(f"the sync of {app} to fail", look)


def events(ship: Ship, app: str) -> list[Any]:
    found = ship.ask(f"/api/v1/namespaces/{ship.home}/events")["items"]
    uid = ship.app(app)["metadata"]["uid"]
    return [event for event in found if event["involvedObject"].get("uid") == uid]


def test_an_operation_by_kubectl_syncs_the_revision_it_names_and_says_by_whom(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    second = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.create_app("named", git_repo, namespace, auto=False)
    ship.synced("named", second, status="OutOfSync")
    operation = {"operation": {"initiatedBy": {"username": "sailor"}, "sync": {"revision": first}}}

    ship.kubectl(
        "-n", ship.home, "patch", "application", "named", "--type=merge", "-p", json.dumps(operation)
    )

    app = ship.ended("named")
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    told = app["status"]["operationState"]
    assert told["phase"] == "Succeeded"
    assert told["operation"]["initiatedBy"] == {"username": "sailor"}
    assert told["syncResult"]["revision"] == first
    assert told["startedAt"] <= told["finishedAt"]
    assert app["status"]["sync"] == {**app["status"]["sync"], "status": "Synced", "revision": first}

    app = ship.operate("named")  # no revision: what targetRevision is at
    assert app["status"]["operationState"]["syncResult"]["revision"] == second
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_an_operation_prunes_only_when_it_asks_to(ship: Ship, git_repo: Repository, namespace: str) -> None:
    ship.create_app("asked", git_repo, namespace, auto=False)
    ship.synced("asked", git_repo.commit({f"{n}.yaml": configmap(n) for n in "abc"}), status="OutOfSync")
    ship.operate("asked")
    commit = git_repo.commit({"a.yaml": None})
    ship.deliver(git_repo, commit)
    ship.synced("asked", commit, status="OutOfSync")

    told = ship.operate("asked")["status"]["operationState"]
    assert ship.configmap(namespace, "a")
    outcome = next(r for r in told["syncResult"]["resources"] if r["name"] == "a")
    assert outcome["status"] == "PruneSkipped"

    told = ship.operate("asked", prune=True)["status"]["operationState"]
    until("a to be gone", lambda: ship.configmap(namespace, "a") is None)
    outcome = next(r for r in told["syncResult"]["resources"] if r["name"] == "a")
    assert outcome["status"] == "Pruned"


@pytest.mark.parametrize(
    ("sync", "named"),
    [
        ({"resources": [{"kind": "ConfigMap", "name": "z"}]}, "resources"),
        ({"syncOptions": ["Unheard=of"]}, "syncOptions"),
        ({"revision": "no-such-branch"}, "no-such-branch"),
    ],
)
def test_an_operation_that_cannot_be_done_ends_with_a_message_and_changes_nothing(
    ship: Ship, git_repo: Repository, namespace: str, sync: dict[str, Any], named: str
) -> None:
    name = f"cannot-{named.lower()}"
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app(name, git_repo, namespace, auto=False)
    ship.synced(name, commit, status="OutOfSync")

    app = ship.operate(name, **sync)

    assert "operation" not in app
    told = app["status"]["operationState"]
    assert told["phase"] == "Error"
    assert named in told["message"]
    assert told["finishedAt"]
    assert ship.configmap(namespace, "a") is None
    until("an Event that says so", lambda: any(named in one["message"] for one in events(ship, name)))
    if "revision" not in sync:
        assert app["status"]["sync"]["status"] == "OutOfSync", "what is known of the app stays known"

    # The next one is heard.
    assert ship.operate(name)["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "a")


@pytest.mark.parametrize("how", ["normal", "hard"])
def test_a_refresh_is_obeyed_and_its_wish_taken_off(
    ship: Ship, git_repo: Repository, namespace: str, how: str
) -> None:
    name = f"refreshed-{how}"
    ship.create_app(name, git_repo, namespace, auto=False)
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.synced(name, first, status="OutOfSync")
    ship.operate(name)

    # A commit that no webhook told of, and a change that nobody told of.
    second = git_repo.commit({"b.yaml": configmap("b", v="1")})
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    ship.ask(path, {"data": {"v": "drift"}}, **MERGE)
    app = ship.refresh(name, how)

    assert REFRESH not in app["metadata"].get("annotations", {})
    assert app["status"]["sync"]["revision"] == second
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert {r["name"] for r in app["status"]["resources"] if r["status"] == "OutOfSync"} == {"a", "b"}


def test_a_refresh_in_our_own_spelling_is_obeyed_too(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("ours", git_repo, namespace)
    ship.synced("ours", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})

    ship.patch_app("ours", {"metadata": {"annotations": {"mooring.dev/refresh": "normal"}}})

    app = ship.synced("ours", commit)
    until("the wish to be taken off", lambda: "mooring.dev/refresh" not in str(ship.app("ours")["metadata"]))
    assert app["status"]["sync"]["status"] == "Synced"


def test_a_refresh_is_no_wish_that_another_look_takes_off_undone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("swallowed", git_repo, namespace)
    ship.synced("swallowed", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    ship.end("beat")  # nobody tells the workers of the wish
    try:
        commit = git_repo.commit({"a.yaml": configmap("a", v="2")})
        ship.patch_app("swallowed", {"metadata": {"annotations": {REFRESH: "hard"}}})

        app = ship.reconcile("swallowed")

        assert REFRESH not in app["metadata"].get("annotations", {})
        assert app["status"]["sync"]["revision"] == commit, "it was asked where the branch is"
    finally:
        ship.start("beat")


def test_an_operation_while_another_is_at_work_begins_when_that_has_ended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    held = gated("a", v="1")
    first = git_repo.commit({"a.yaml": held})
    second = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.create_app("queues", git_repo, namespace, auto=False)
    ship.synced("queues", second, status="OutOfSync")
    with Gate(ship.cluster, namespace) as gate:
        ship.patch_app("queues", {"operation": {"sync": {"revision": first}}})
        gate.waits("a")
        wish = {"sync": {}, "initiatedBy": {"username": "sailor"}}
        ship.patch_app("queues", {"operation": wish})
        assert state(ship, "queues")["syncResult"]["revision"] == first, "it is at work"
        gate.open()
        told = ship.ended("queues")["status"]

    assert [entry["revision"] for entry in told["history"]] == [first, second]
    assert told["operationState"]["operation"]["initiatedBy"] == {"username": "sailor"}
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_a_failing_object_is_retried_up_to_the_limit_and_not_again_until_there_is_a_new_commit(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    retry = {"limit": 2, "backoff": {"duration": "100ms", "factor": 2, "maxDuration": "1s"}}
    ship.create_app("fails", git_repo, namespace, policy={"retry": retry}, selfHeal=True)
    bad = git_repo.commit({"a.yaml": configmap("a", v="1"), "svc.yaml": invalid("svc")})

    told = failed(ship, "fails")
    assert told["retryCount"] == 2
    assert told["syncResult"]["revision"] == bad
    assert "123456" in told["message"]
    outcomes = {r["name"]: r["status"] for r in told["syncResult"]["resources"]}
    assert outcomes["svc"] == "SyncFailed"
    condition = ship.condition("fails", "123456")
    assert condition["type"] == "SyncError"
    ship.quiet()

    ship.reconcile("fails")
    ship.refresh("fails")
    assert state(ship, "fails") == told, "it is not tried again by itself"
    assert ship.condition("fails", "123456") == condition, "and still says why"

    good = git_repo.commit({"svc.yaml": configmap("instead")})
    ship.deliver(git_repo, good)
    ship.synced("fails", good)
    assert state(ship, "fails")["phase"] == "Succeeded"
    assert ship.configmap(namespace, "instead")
    ship.unsaid("fails", "123456")


def test_what_failed_for_good_is_not_tried_again_for_a_commit_that_changes_nothing_for_the_app(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("mono", git_repo, namespace, path="shop", selfHeal=True)
    ship.synced("mono", git_repo.commit({"shop/a.yaml": configmap("a", v="1")}))
    ship.pushed(git_repo, {"shop/svc.yaml": invalid("svc")})
    told = failed(ship, "mono")
    ship.quiet()

    unrelated = ship.pushed(git_repo, {"bank/a.yaml": configmap("a", v="other")})

    ship.synced("mono", unrelated, status="OutOfSync")
    assert state(ship, "mono") == told, "it is not tried again"
    assert ship.condition("mono", "123456")["type"] == "SyncError", "and still says why"
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    ship.ask(path, {"data": {"v": "drift"}}, **MERGE)
    ship.reconcile("mono")
    assert state(ship, "mono") == told, "not even to heal"

    # Somebody says so; and what is put right is another matter.
    assert ship.operate("mono")["status"]["operationState"]["startedAt"] >= told["finishedAt"]
    assert state(ship, "mono")["phase"] == "Failed"
    ship.synced("mono", ship.pushed(git_repo, {"shop/svc.yaml": configmap("instead")}))
    assert state(ship, "mono")["phase"] == "Succeeded"


def in_retry(ship: Ship, app: str) -> Any:
    """Waits until the app's sync has failed once and is to be tried again; its operationState then."""

    def look() -> Any:
        told = state_or_none(ship, app) or {}
        return told if told.get("retryCount") and told["phase"] == "Running" else None

    return until(f"the sync of {app} to wait for its retry", look)


SELDOM = {"limit": -1, "backoff": {"duration": "1h", "maxDuration": "1h"}}


def test_a_retry_in_back_off_gives_way_to_a_commit_that_changes_something_and_to_no_other(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("gives-way", git_repo, namespace, path="shop", policy={"retry": SELDOM})
    git_repo.commit({"shop/a.yaml": configmap("a"), "shop/svc.yaml": invalid("svc")})
    begun = in_retry(ship, "gives-way")

    unrelated = git_repo.commit({"bank/a.yaml": configmap("a")})
    waits = ship.deliver(git_repo, unrelated)
    ship.synced("gives-way", unrelated, status="OutOfSync")
    assert state(ship, "gives-way") == begun, "it waits on, and is not tried before its time"
    assert ship.condition("gives-way", "123456")["type"] == "SyncError", "and still says why"
    assert ship.delivery(waits)["state"] not in ("succeeded", "failed")

    good = git_repo.commit({"shop/svc.yaml": configmap("instead")})
    assert ship.finished(ship.deliver(git_repo, good))["state"] == "succeeded"
    told = state(ship, "gives-way")
    assert (told["phase"], told["syncResult"]["revision"]) == ("Succeeded", good)
    assert "retryCount" not in told
    assert ship.finished(waits)["state"] == "succeeded"


@pytest.mark.parametrize("refresh", [True, False])
def test_retries_take_the_newest_commit_only_where_they_shall(
    ship: Ship, git_repo: Repository, namespace: str, refresh: bool
) -> None:
    name = f"takes-{refresh}".lower()
    retry = {"limit": -1, "refresh": refresh, "backoff": {"duration": "200ms", "maxDuration": "200ms"}}
    bad = git_repo.commit({"a.yaml": configmap("a"), "svc.yaml": invalid("svc")})
    ship.create_app(name, git_repo, namespace, auto=False)
    ship.synced(name, bad, status="OutOfSync")
    ship.patch_app(name, {"operation": {"sync": {}, "retry": retry}})
    in_retry(ship, name)

    good = git_repo.commit({"svc.yaml": configmap("instead")})  # and nobody tells

    if refresh:
        told = ship.ended(name)["status"]["operationState"]
        assert (told["phase"], told["syncResult"]["revision"]) == ("Succeeded", good)
    else:
        more = in_retry(ship, name)["retryCount"] + 3
        until("more tries", lambda: in_retry(ship, name)["retryCount"] >= more)
        assert state(ship, name)["syncResult"]["revision"] == bad
        ship.patch_app(name, {"status": {"operationState": {"phase": "Terminating"}}})
        assert failed(ship, name)["message"] == "operation terminated"


def test_an_operation_that_is_asked_to_end_ends_as_failed_and_is_not_retried(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    retry = {"limit": 100, "backoff": {"duration": "1h", "maxDuration": "1h"}}
    ship.create_app("ended", git_repo, namespace, policy={"retry": retry})
    ship.synced("ended", git_repo.commit({"a.yaml": configmap("a")}))
    bad = git_repo.commit({"svc.yaml": invalid("svc")})
    delivery = ship.deliver(git_repo, bad)
    until("the sync to wait for its retry", lambda: state(ship, "ended").get("retryCount") == 1)
    # What `argocd app terminate-op` makes Argo CD's API server write.
    ship.patch_app("ended", {"status": {"operationState": {"phase": "Terminating"}}})

    told = ship.finished(delivery)
    assert told["state"] == "failed"
    assert "operation terminated" in told["outcome"]
    ended = state(ship, "ended")
    assert (ended["phase"], ended["message"]) == ("Failed", "operation terminated")
    assert ended["finishedAt"]
    assert ended["syncResult"]["revision"] == bad
    ship.quiet()
    ship.reconcile("ended")
    assert state(ship, "ended") == ended, "it is not tried again by itself"

    good = git_repo.commit({"svc.yaml": configmap("instead")})
    assert ship.finished(ship.deliver(git_repo, good))["state"] == "succeeded"
    assert state(ship, "ended")["phase"] == "Succeeded"


def test_an_operation_that_is_asked_to_end_while_it_runs_does_not_go_on_to_retry(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    retry = {"limit": 100, "backoff": {"duration": "100ms", "maxDuration": "100ms"}}
    commit = git_repo.commit({"a.yaml": configmap("a"), "svc.yaml": invalid("svc")})
    ship.create_app("runs", git_repo, namespace, policy={"retry": retry})
    until("it to be retried", lambda: (state_or_none(ship, "runs") or {}).get("retryCount", 0) >= 2)
    ship.patch_app("runs", {"status": {"operationState": {"phase": "Terminating"}}})

    assert failed(ship, "runs")["message"] == "operation terminated"
    ship.quiet()
    assert state(ship, "runs")["phase"] == "Failed"
    assert state(ship, "runs")["syncResult"]["revision"] == commit


def test_an_operation_by_hand_brings_its_own_retry_sync_options_and_info(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    target = f"{namespace}-own"
    commit = git_repo.commit({"a.yaml": configmap("a"), "svc.yaml": invalid("svc")})
    ship.create_app("brings", git_repo, target, auto=False)
    ship.synced("brings", commit, status="OutOfSync")
    info = [{"name": "Reason", "value": "release 7"}]

    ship.patch_app(
        "brings",
        {
            "operation": {
                "sync": {"syncOptions": ["CreateNamespace=true"]},
                "retry": {"limit": 1, "backoff": {"duration": "100ms"}},
                "info": info,
            }
        },
    )

    told = failed(ship, "brings")
    assert told["retryCount"] == 1
    assert told["operation"]["info"] == info
    assert ship.configmap(target, "a"), "in a namespace that the spec does not ask for"
    ship.ask(f"/api/v1/namespaces/{target}", method="DELETE")


def test_without_a_retry_policy_what_is_refused_fails_at_once(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a"), "svc.yaml": invalid("svc")})
    ship.create_app("fails-once", git_repo, namespace)
    failed(ship, "fails-once")
    assert "retryCount" not in state(ship, "fails-once")
    assert ship.configmap(namespace, "a") is None, "one bad object leaves the cluster untouched"
    assert ship.resource("fails-once", "svc", "Service")["status"] == "OutOfSync"
    assert ship.resource("fails-once", "a")["status"] == "OutOfSync"


def test_nothing_is_pruned_in_a_sync_of_which_a_part_failed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("half-failed", git_repo, namespace)
    ship.synced("half-failed", git_repo.commit({f"{n}.yaml": configmap(n) for n in "abcd"}))

    ship.pushed(git_repo, {"a.yaml": None, "svc.yaml": invalid("svc")})

    assert state(ship, "half-failed")["phase"] == "Failed"
    assert ship.configmap(namespace, "a")
    assert ship.resource("half-failed", "a")["requiresPruning"] is True
    ship.pushed(git_repo, {"svc.yaml": None})
    until("a to be gone", lambda: ship.configmap(namespace, "a") is None)


def test_history_grows_up_to_its_limit_and_every_outcome_is_kept(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("history", git_repo, namespace, spec={"revisionHistoryLimit": 3})
    commits = []
    for number in range(5):
        manifests = {"a.yaml": configmap("a", v=str(number)), "b.yaml": configmap("b")}
        commits.append(git_repo.commit(manifests))
        if number:
            ship.deliver(git_repo, commits[-1])
        ship.synced("history", commits[-1])
        ship.quiet()

    app = ship.app("history")
    history = app["status"]["history"]
    assert [entry["revision"] for entry in history] == commits[-3:]
    assert [entry["id"] for entry in history] == [2, 3, 4]
    assert all(entry["deployedAt"] and entry["source"]["repoURL"] == git_repo.url for entry in history)
    outcomes = app["status"]["operationState"]["syncResult"]["resources"]
    assert {r["name"]: (r["status"], r["hookPhase"], r["syncPhase"]) for r in outcomes} == {
        "a": ("Synced", "Succeeded", "Sync"),
        "b": ("Synced", "Succeeded", "Sync"),
    }
    assert {r["name"]: r["message"].split()[-1] for r in outcomes} == {"a": "configured", "b": "unchanged"}

    def told() -> list[Any]:
        return [event for event in events(ship, "history") if event["reason"] == "OperationCompleted"]

    until("the last Event", lambda: any(commits[-1][:12] in event["message"] for event in told()))
    assert {event["type"] for event in told()} == {"Normal"}
