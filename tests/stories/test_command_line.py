"""What people do with `mooring app` on a Mooring that runs: they see how it ended, and scripts do too."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Any

import pytest

from cli.app.rendered import compared
from cli.home import connect
from devcluster.gitserver import Repository
from mooring.model.application import Application
from mooring.settings import Settings
from tests.cli.transcript import Transcript
from tests.stories import kubelet
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_operations import invalid, state_or_none

pytestmark = pytest.mark.cluster


def state(ship: Ship, app: str) -> Any:
    return ship.app(app)["status"]["operationState"]


def test_a_sync_waits_for_its_own_end_and_shows_each_object(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b")})
    ship.create_app("shown", git_repo, namespace, auto=False)

    done = ship.mooring("app", "sync", "shown", "--info", "ticket=42", "--timeout", "60")

    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"]
    assert [(row[0], row[2], row[3]) for row in rows[1:3]] == [
        ("ConfigMap", "a", "Synced"),
        ("ConfigMap", "b", "Synced"),
    ]
    assert done.stdout.splitlines()[-1].startswith(f"Succeeded at {commit[:12]}: ")
    info = {one["name"]: one["value"] for one in state(ship, "shown")["operation"]["info"]}
    assert info["ticket"] == "42"


def test_a_sync_right_after_another_within_the_same_second_ends(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("again", git_repo, namespace, auto=False)
    requests = set()
    for _ in range(4):  # nothing to do, a few tens of milliseconds each
        done = ship.mooring("app", "sync", "again", "--timeout", "60", "-o", "json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["status"]["operationState"]
        assert told["phase"] == "Succeeded"
        requests.add(json.dumps(told["operation"]["info"]))
    assert len(requests) == 4  # each saw its own


def test_an_operation_that_is_withdrawn_is_not_waited_for(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("withdrawn", git_repo, namespace, auto=False)
    assert ship.mooring("app", "sync", "withdrawn", "--timeout", "60").returncode == 0
    ended: list[subprocess.CompletedProcess[str]] = []
    for worker in ("deploy", "reconcile"):
        ship.signal(worker, signal.SIGSTOP)
    try:
        sync = threading.Thread(target=lambda: ended.append(ship.mooring("app", "sync", "withdrawn")))
        sync.start()
        until("the operation to be asked for", lambda: "operation" in ship.app("withdrawn"))
        ship.patch_app("withdrawn", {"operation": None})
        sync.join(60)
    finally:
        for worker in ("deploy", "reconcile"):
            ship.signal(worker, signal.SIGCONT)
    assert ended[0].returncode == 20
    assert "was withdrawn" in ended[0].stderr


def test_a_sync_that_fails_is_an_exit_code_and_names_the_object(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a"), "bad.json": invalid("bad")})
    ship.create_app("failing", git_repo, namespace, auto=False)

    done = ship.mooring("app", "sync", "failing", "--timeout", "60")

    assert done.returncode == 1
    assert "SyncFailed" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("mooring: the sync failed: failing: Service ")
    waited = ship.mooring("app", "wait", "failing", "--operation", "--timeout", "60")
    assert waited.returncode == 1
    assert "the last operation of failing failed" in waited.stderr


def test_several_are_synced_by_name_or_by_label(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit({f"{n}/{n}.yaml": configmap(n) for n in "abc"} | {"bad/bad.json": invalid("bad")})
    for name in ("a", "b", "c", "bad"):
        ship.create_app(f"set-{name}", git_repo, namespace, path=name, auto=False)
        if name != "c":
            ship.patch_app(f"set-{name}", {"metadata": {"labels": {"set": "one"}}})

    done = ship.mooring("app", "sync", "set-a", "set-b", "-o", "name", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{ship.home}/set-a", f"{ship.home}/set-b"]

    done = ship.mooring("app", "sync", "-l", "set=one", "-o", "json", "--timeout", "60")
    assert done.returncode == 1  # one of them
    ended = {app["metadata"]["name"]: app["status"]["operationState"] for app in json.loads(done.stdout)}
    assert {name: told["phase"] for name, told in ended.items()} == {
        "set-a": "Succeeded",
        "set-b": "Succeeded",
        "set-bad": "Failed",
    }
    assert "set-bad: Service" in done.stderr
    assert ship.configmap(namespace, "c") is None
    assert ship.mooring("app", "sync", "-l", "set=two").returncode == 13
    assert ship.mooring("app", "sync").returncode == 2
    assert ship.mooring("app", "sync", "set-a", "-l", "set=one").returncode == 2

    waited = ship.mooring("app", "wait", "set-a", "set-b", "--timeout", "60")
    assert waited.returncode == 0, waited.stderr
    assert [line.split(": ")[0] for line in waited.stdout.splitlines()] == [
        f"{ship.home}/set-a",
        f"{ship.home}/set-b",
    ]
    waited = ship.mooring("app", "wait", "-l", "set=one", "--sync", "--timeout", "1")
    assert waited.returncode == 20
    assert "not done after 1 s" in waited.stderr


def test_history_is_told_to_people_and_to_programs(ship: Ship, git_repo: Repository, namespace: str) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("told", git_repo, namespace, auto=False)
    assert ship.mooring("app", "sync", "told", "--timeout", "60").returncode == 0
    second = git_repo.commit({"a.yaml": configmap("a", v="2")})
    assert ship.mooring("app", "sync", "told", "--timeout", "60").returncode == 0
    assert ship.mooring("app", "history", "told", "-o", "id").stdout == "0\n1\n"
    rows = [line.split() for line in ship.mooring("app", "history", "told").stdout.splitlines()]
    assert rows[0] == ["ID", "DATE", "REVISION", "TARGET", "BY"]
    assert [row[2] for row in rows[1:]] == [first[:12], second[:12]]


def test_a_rollback_goes_back_to_what_was_deployed_from_wherever_that_came(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("back", git_repo, namespace, auto=False)
    assert ship.mooring("app", "sync", "back", "--timeout", "60").returncode == 0
    git_repo.commit({"a.yaml": configmap("a", v="2")})
    assert ship.mooring("app", "sync", "back", "--timeout", "60").returncode == 0
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}

    done = ship.mooring("app", "rollback", "back", "--timeout", "60")

    assert done.returncode == 0, done.stderr
    assert f"Succeeded at {first[:12]}" in done.stdout
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert ship.mooring("app", "rollback", "back", "1", "--timeout", "60").returncode == 0
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    assert ship.mooring("app", "set", "back", "--path", "other").returncode == 0
    assert ship.mooring("app", "rollback", "back", "0", "--timeout", "60").returncode == 0
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    assert "has no entry 9: `mooring app history back`" in ship.mooring("app", "rollback", "back", "9").stderr


def test_an_operation_in_retry_is_terminated_and_not_tried_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a"), "bad.json": invalid("bad")})
    ship.create_app("endless", git_repo, namespace, auto=False)
    flags = ["--retry-limit", "100", "--retry-backoff-duration", "1s", "--retry-backoff-factor", "1"]
    assert ship.mooring("app", "sync", "endless", "--async", *flags).returncode == 0
    until("a second try", lambda: (state_or_none(ship, "endless") or {}).get("retryCount", 0) >= 1)

    done = ship.mooring("app", "terminate-op", "endless")

    assert done.returncode == 0, done.stderr
    told = state(ship, "endless")
    assert told["phase"] == "Failed"
    assert told["message"] == "operation terminated"
    assert "ended: operation terminated" in done.stdout
    ship.refresh("endless")  # a look at it does not begin it anew
    assert state(ship, "endless")["finishedAt"] == told["finishedAt"]
    assert ship.mooring("app", "terminate-op", "endless").returncode == 20


def test_a_refresh_says_how_the_app_is_now(ship: Ship, git_repo: Repository, namespace: str) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("fresh", git_repo, namespace, auto=False)
    assert ship.mooring("app", "sync", "fresh", "--timeout", "60").returncode == 0
    commit = git_repo.commit({"a.yaml": configmap("a", v="2")})  # nobody tells

    done = ship.mooring("app", "refresh", "fresh")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{ship.home}/fresh: sync OutOfSync at {commit[:12]}, ")
    rows = json.loads(ship.mooring("app", "resources", "fresh", "-o", "json").stdout)
    assert [(row["kind"], row["name"], row["status"]) for row in rows] == [("ConfigMap", "a", "OutOfSync")]


def test_what_a_person_sees_from_the_first_sync_to_the_rollback(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    shown = Transcript(ship.mooring, {r"(?<= main    )\S+": "sailor"})
    files = {"shop/a.yaml": configmap("a", v="1"), "shop/b.yaml": configmap("b")}
    git_repo.commit(files)
    ship.create_app("shop", git_repo, namespace, path="shop", auto=False)
    shown.type("app", "sync", "shop", "--timeout", "60")
    shown.type("app", "wait", "shop", "--timeout", "60")
    shown.type("app", "get", "shop")
    git_repo.commit(
        {"shop/a.yaml": configmap("a", v="2"), "shop/b.yaml": None, "shop/bad.json": invalid("bad")}
    )
    shown.type("app", "refresh", "shop")
    shown.type("app", "resources", "shop")
    shown.type("app", "sync", "shop", "--timeout", "60")
    shown.type("app", "history", "shop")
    git_repo.commit({"shop/bad.json": None})
    shown.type("app", "sync", "shop", "--prune", "--timeout", "60")
    shown.type("app", "rollback", "shop", "--timeout", "60")
    shown.type("app", "history", "shop")
    until("it to be compared with Git", lambda: ship.app("shop")["status"]["sync"]["status"] == "OutOfSync")
    shown.type("app", "wait", "shop", "--sync", "--timeout", "1")
    shown.is_as("story")


def test_the_doctor_sees_beat(ship: Ship) -> None:
    done = ship.mooring("doctor", "-o", "json")
    assert done.returncode == 0, done.stdout
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["processes"]["said"].startswith("beat runs")


def test_logs_are_those_of_the_pods_that_an_app_runs(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    with kubelet.node(ship.cluster) as node:
        git_repo.commit({"web.json": _deployment("web", node), "a.yaml": configmap("a")})
        ship.create_app("talks", git_repo, namespace, auto=False)
        assert ship.mooring("app", "sync", "talks", "--timeout", "60").returncode == 0
        pods = until("two pods", lambda: _pods(ship, namespace, 2))

        one = ship.mooring("app", "logs", "talks", "-c", "main", "--tail", "7")
        assert one.returncode == 0, one.stderr
        assert sorted(one.stdout.splitlines()) == sorted(
            f"[{pod}/main] {text}" for pod in pods for text in ("main begins", "tailLines=7")
        )
        followed = ship.mooring("app", "logs", "talks", "--follow", "--kind", "deployment", "--name", "web")
        assert followed.returncode == 0, followed.stderr
        for pod in pods:
            for container in ("main", "side"):
                assert f"[{pod}/{container}] {container} goes on\n" in followed.stdout
        assert ship.mooring("app", "logs", "talks", "-c", "nobody").returncode == 13
        assert ship.mooring("app", "logs", "talks", "--kind", "ConfigMap").returncode == 13


def _pods(ship: Ship, namespace: str, count: int) -> list[str] | None:
    found = [pod["metadata"]["name"] for pod in ship.ask(f"/api/v1/namespaces/{namespace}/pods")["items"]]
    return sorted(found) if len(found) == count else None


def _deployment(name: str, node: str) -> str:
    labels = {"app": name}
    containers = [{"name": each, "image": "example.com/web"} for each in ("main", "side")]
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeName": node, "containers": containers},
            },
        },
    }
    return json.dumps(body)


def test_a_tree_shows_what_has_come_of_an_apps_objects_and_how_that_is(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    web, db = json.loads(_deployment("web", "")), json.loads(_deployment("db", ""))
    for one in (web, db):
        one["spec"] |= {"replicas": 1}
        del one["spec"]["template"]["spec"]["nodeName"]
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    db = {**db, "kind": "StatefulSet", "spec": {**db["spec"], "volumeClaimTemplates": [claim]}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    password = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "password"},
        "stringData": {"it": "swordfish"},
    }
    git_repo.commit({f"{n}.json": json.dumps(one) for n, one in enumerate((web, db, service, password))})
    ship.create_app("tree", git_repo, namespace)

    def grown() -> Any:
        done = ship.mooring("app", "tree", "tree", "-o", "json")
        assert done.returncode == 0, done.stderr
        found = {(one["kind"], one["name"]): one for one in json.loads(done.stdout)}
        if len(found) < 4 or any(one["status"] != "Synced" for one in found.values()):
            return None
        below = {of: [child["kind"] for child in one.get("children", ())] for of, one in found.items()}
        whole = {
            ("Deployment", "web"): ["ReplicaSet"],
            ("StatefulSet", "db"): ["PersistentVolumeClaim", "Pod", "ControllerRevision"],
            ("Service", "web"): ["EndpointSlice"],
            ("Secret", "password"): [],
        }
        for kinds in below.values():
            if "Endpoints" in kinds:  # which newer versions of Kubernetes may leave out
                kinds.remove("Endpoints")
        web = found["Deployment", "web"]
        (replicas,) = web.get("children") or [{}]
        (pod,) = replicas.get("children") or [{}]
        healthy = [one.get("health", {}).get("status") == "Healthy" for one in (web, replicas, pod)]
        return found if below == whole and all(healthy) else None

    found = until("all that comes of it", grown)
    (replicas,) = found["Deployment", "web"]["children"]
    (pod,) = replicas["children"]

    def by_web() -> Any:
        status, told = ship.api(f"applications/{ship.home}/tree/tree")
        return told if status == 200 else None

    # Who reaches no cluster has a worker look, and is told nothing that objects say.
    told = until("the tree as the web tier has it", by_web)
    assert (told["seen"], told["moreObjects"], told["unseenKinds"]) == (True, 0, [])
    (by_name,) = [one for one in told["objects"] if (one["kind"], one["name"]) == ("Deployment", "web")]
    assert (by_name["status"], by_name["health"]) == ("Synced", "Healthy")
    assert by_name["children"][0]["children"][0]["name"] == pod["name"]
    assert "swordfish" not in json.dumps(told) and "message" not in json.dumps(told)

    shown = ship.mooring("app", "tree", "tree").stdout
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["NAME", "STATUS", "HEALTH", "MESSAGE"]
    assert lines[1][:3] == ["Application", f"{ship.home}/tree", "Synced"]
    at = lines.index(["├─", "apps/Deployment", f"{namespace}/web", "Synced", "Healthy"])
    assert lines[at + 1] == ["│", "└─", "apps/ReplicaSet", f"{namespace}/{replicas['name']}", "Healthy"]
    assert lines[at + 2] == ["│", "└─", "Pod", f"{namespace}/{pod['name']}", "Healthy"]
    assert "swordfish" not in shown + json.dumps(list(found.values()))


def test_a_diff_has_only_those_tried_that_may_differ(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({f"{n}.yaml": configmap(n, v="1") for n in "abcde"})
    ship.create_app("many", git_repo, namespace)
    ship.synced("many", commit)
    ship.quiet()
    patch = {"data": {"v": "2"}}
    path, merge = f"/api/v1/namespaces/{namespace}/configmaps/c", "application/merge-patch+json"
    ship.ask(path, patch, method="PATCH", content_type=merge)
    app = Application.parse(ship.app("many"))
    environ = {"MOORING_STATE_DIR": str(ship.directory / "state-diff"), "MOORING_NAMESPACE": ship.home}
    home = connect(Settings.from_env({**environ, "MOORING_KUBECONFIG": str(ship.cluster.kubeconfig)}))
    for each, dry_runs in ((False, 1), (True, 5)):
        home.api.transport.count.clear()
        found = compared(home, app, each=each)
        assert [one.key.name for one in found.differences] == ["c"]
        assert home.api.transport.count["PATCH"] == dry_runs
    assert ship.mooring("app", "diff", "many", "--hard-refresh", "-o", "name").stdout.split("/")[-1] == "c\n"


def test_a_hard_refresh_of_a_diff_asks_the_rules_that_came_since(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("ruled", git_repo, namespace)
    ship.synced("ruled", commit)
    ship.quiet()
    rules, name = "/apis/admissionregistration.k8s.io/v1", f"no-{namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["configmaps"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
    ship.ask(f"{rules}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    ship.ask(f"{rules}/validatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": bound})
    try:

        def refused() -> bool:
            return "denied request" in ship.mooring("app", "diff", "ruled", "--hard-refresh").stderr

        until("the rule to be known", refused)
        done = ship.mooring("app", "diff", "ruled")
        assert (done.returncode, "denied request" in done.stderr) == (0, False)
    finally:
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            ship.ask(f"{rules}/{kind}/{name}", method="DELETE")


def test_an_object_that_cannot_be_compared_is_not_said_to_be_equal(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    def service(port: int) -> str:
        made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
        return json.dumps({**made, "spec": {"ports": [{"port": port}]}})

    commit = git_repo.commit({"shop/web.json": service(80)})
    ship.create_app("compared", git_repo, namespace, path="shop")
    ship.synced("compared", commit)
    ship.patch_app("compared", {"spec": {"syncPolicy": {"automated": None}}})
    git_repo.commit({"shop/web.json": service(123456)})

    told = ship.mooring("app", "diff", "compared")
    assert told.returncode == 20
    assert "must be between 1 and 65535" in told.stderr
    assert "mooring: 1 of its objects could not be compared: see above" in told.stderr
    assert "no difference" not in told.stderr
