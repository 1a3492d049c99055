"""Many kinds in one commit: in which order they land, how healthy they are, how each is written."""

from __future__ import annotations

import base64
import json
import re
import secrets
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.names import APPLYSET_PART_OF, ID
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, unobserved, until

pytestmark = pytest.mark.cluster

APPS = "/apis/apps/v1/namespaces"


def deployment(name: str, *, pod: str = "", progress_s: int = 600, image: str = "example.org/web:1") -> Any:
    """A Deployment; `pod` is how its pods behave."""
    annotations = {"devcluster.mooring.dev/pod": pod} if pod else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "progressDeadlineSeconds": progress_s,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    }


def job(name: str, *, pod: str = "") -> Any:
    annotations = {"devcluster.mooring.dev/pod": pod} if pod else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "work", "image": "example.org/work:1"}],
                },
            },
        },
    }


def health(ship: Ship, app: str, status: str) -> Any:
    """Waits until the app's health is `status`."""

    def look() -> Any:
        found = ship.app(app)
        return found if found.get("status", {}).get("health", {}).get("status") == status else None

    return until(f"{app} to be {status}", look)


def test_everything_of_one_commit_lands_namespaces_and_crds_before_what_needs_them(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    group, more = f"{namespace}.stories.mooring.dev", f"{namespace}-more"
    crd = definition(group, "Boat", {"type": "object", "properties": {"sails": {"type": "integer"}}})
    rbac = "rbac.authorization.k8s.io"
    objects: list[Any] = [
        {"apiVersion": f"{group}/v1", "kind": "Boat", "metadata": {"name": "tub"}, "spec": {"sails": 2}},
        deployment("web"),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
        job("work"),
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "web"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "web"},
            "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": namespace}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": "web"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there", "namespace": more}},
        crd,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": more}},
    ]
    # One file, in about the worst order there is.
    commit = git_repo.commit({"all.yaml": "\n---\n".join(json.dumps(item) for item in objects)})
    ship.create_app("kinds", git_repo, namespace)

    app = health(ship, "kinds", "Healthy")
    assert app["status"]["sync"] == {**app["status"]["sync"], "status": "Synced", "revision": commit}
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    results = app["status"]["operationState"]["syncResult"]["resources"]
    assert len(results) == len(objects)
    assert all(r["message"].endswith("created") for r in results), results
    order = [r["kind"] for r in results]
    assert order.index("CustomResourceDefinition") < order.index("Boat")
    assert order.index("Namespace") == 0
    assert order.index("ServiceAccount") < order.index("Deployment")
    assert ship.ask(f"/apis/{group}/v1/namespaces/{namespace}/boats/tub")["spec"] == {"sails": 2}
    assert ship.configmap(more, "there")
    assert app["status"]["summary"]["images"] == ["example.org/web:1", "example.org/work:1"]

    ship.quiet()
    before = _written(ship, namespace, group)
    ship.refresh("kinds", "hard")
    assert _written(ship, namespace, group) == before, "no endless diff"
    ship.synced("kinds", commit)
    ship.ask(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.{group}", method="DELETE")
    ship.ask(f"/api/v1/namespaces/{more}", method="DELETE")


def _written(ship: Ship, namespace: str, group: str) -> list[Any]:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    paths = (
        f"{APPS}/{namespace}/deployments/web",
        f"/api/v1/namespaces/{namespace}/services/web",
        f"/apis/{group}/v1/namespaces/{namespace}/boats/tub",
        f"{rbac}/roles/web",
        f"{rbac}/rolebindings/web",
        f"/apis/batch/v1/namespaces/{namespace}/jobs/work",
    )
    return [unobserved(ship.ask(path)) for path in paths]


def test_health_follows_what_becomes_of_the_pods(ship: Ship, git_repo: Repository, namespace: str) -> None:
    first = git_repo.commit({"web.yaml": json.dumps(deployment("web", pod="unready"))})
    ship.create_app("health", git_repo, namespace)
    ship.synced("health", first)
    health(ship, "health", "Progressing")

    ship.pushed(git_repo, {"web.yaml": json.dumps(deployment("web"))})
    app = health(ship, "health", "Healthy")
    assert app["status"]["health"]["lastTransitionTime"]

    ship.pushed(git_repo, {"web.yaml": None, "job.yaml": json.dumps(job("work", pod="fail"))})
    health(ship, "health", "Degraded")
    assert ship.resource("health", "work", "Job")["health"]["status"] == "Degraded"


def test_a_rollout_past_its_deadline_is_degraded(ship: Ship, git_repo: Repository, namespace: str) -> None:
    manifest = deployment("web", pod="unready", progress_s=2)
    git_repo.commit({"web.yaml": json.dumps(manifest)})
    ship.create_app("late", git_repo, namespace)
    app = health(ship, "late", "Degraded")
    assert app["status"]["sync"]["status"] == "Synced"


def test_a_created_namespace_is_not_marked_ours_and_never_pruned(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    target = f"{namespace}-target"
    policy = {"syncOptions": ["CreateNamespace=true"]}
    ship.create_app("spacious", git_repo, target, policy=policy, allowEmpty=True)
    ship.synced("spacious", git_repo.commit({"a.yaml": configmap("a"), "keep.txt": ""}))

    metadata = ship.ask(f"/api/v1/namespaces/{target}")["metadata"]
    assert ID not in metadata.get("annotations", {})
    assert APPLYSET_PART_OF not in metadata["labels"]

    commit = ship.pushed(git_repo, {"a.yaml": None})
    until("a to be gone", lambda: ship.configmap(target, "a") is None)
    ship.refresh("spacious")
    ship.synced("spacious", commit)
    assert "deletionTimestamp" not in ship.ask(f"/api/v1/namespaces/{target}")["metadata"]
    ship.ask(f"/api/v1/namespaces/{target}", method="DELETE")


def test_sync_options_are_read_with_spaces_and_the_last_word_counts(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    target = f"{namespace}-spaced"
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("spaced", git_repo, target, policy={"syncOptions": ["CreateNamespace = true"]})
    ship.synced("spaced", commit)
    ship.ask(f"/api/v1/namespaces/{target}", method="DELETE")

    policy = {"syncOptions": ["CreateNamespace=true", "CreateNamespace=false"]}
    ship.create_app("unspaced", git_repo, f"{namespace}-unspaced", policy=policy)
    ship.condition("unspaced", "CreateNamespace=true")
    assert ship.find(f"/api/v1/namespaces/{namespace}-unspaced") is None


def test_a_missing_namespace_without_that_option_is_told_with_the_next_step(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("homeless", git_repo, f"{namespace}-absent")
    told = ship.condition("homeless", "CreateNamespace=true")
    assert told["type"] == "SyncError"


def test_a_secrets_value_is_nowhere_but_in_git_and_in_the_secret(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    canary, other = f"canary-{secrets.token_hex(12)}", f"canary-{secrets.token_hex(12)}"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"password": canary},
        "data": {"other": base64.b64encode(other.encode()).decode()},
    }
    first = git_repo.commit({"s.yaml": json.dumps(secret)})
    ship.create_app("secret", git_repo, namespace, selfHeal=True)
    ship.synced("secret", first)
    path = f"/api/v1/namespaces/{namespace}/secrets/s"
    made = ship.ask(path)
    assert base64.b64decode(made["data"]["password"]).decode() == canary
    assert base64.b64decode(made["data"]["other"]).decode() == other
    ship.quiet()
    app = ship.reconcile("secret")
    assert app["status"]["sync"]["status"] == "Synced"
    assert ship.ask(path)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    # The API server's own complaints quote what they complain about: so do broken manifests.
    for broken in (
        {**secret, "data": {"other": other + "!"}},
        {**secret, "type": canary + "/" + "x" * 300, "immutable": canary},
        {**secret, "stringData": {"password": [canary]}},
    ):
        commit = git_repo.commit({"s.yaml": json.dumps(broken)})
        assert ship.finished(ship.deliver(git_repo, commit))["state"] == "failed"
    text = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {canary}\n  x: [\n"
    commit = git_repo.commit({"s.yaml": text})
    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "failed"
    assert ship.ask(path)["data"] == made["data"]

    needles = [word.encode() for word in (canary, other)]
    needles += [base64.b64encode(word)[:-4] for word in needles]
    places = {
        "the Application": json.dumps(ship.app("secret")),
        "Events": json.dumps(ship.ask(f"/api/v1/namespaces/{ship.home}/events")),
        "ConfigMaps": json.dumps(ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps")),
        **{f"the log of {name}": ship.log(name) for name in ship.children},
    }
    found = [place for place, text in places.items() if any(n.decode() in text for n in needles)]
    assert found == []
    with ship.redis() as client:
        kept = [key for key in client.scan_iter() if any(n in client.dump(key) + key for n in needles)]
        kept += [key for key in client.scan_iter() if any(n in stored(client, key) for n in needles)]
    assert kept == []


def stored(client: Any, key: bytes) -> bytes:
    """Everything under one key, as one run of bytes."""
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }[client.type(key)]
    return repr(read(key)).encode()


@pytest.mark.parametrize("wide", [True, False], ids=["of the app", "of the object"])
def test_without_server_side_apply_an_object_is_merged_three_ways(
    ship: Ship, git_repo: Repository, namespace: str, wide: bool
) -> None:
    name = f"merges-{wide}".lower()
    policy = {"syncOptions": ["ServerSideApply=false"]} if wide else {}

    def manifest(**data: str) -> str:
        text = configmap("a", **data)
        own = "  name: a\n  annotations:\n    argocd.argoproj.io/sync-options: ServerSideApply=false\n"
        return text if wide else text.replace("  name: a\n", own)

    ship.create_app(name, git_repo, namespace, policy=policy, selfHeal=True)
    others = {f"{n}.yaml": configmap(n) for n in ("b", "c", "d")}
    ship.synced(name, git_repo.commit({**others, "a.yaml": manifest(v="1", dropped="1")}))
    ship.kubectl("-n", namespace, "patch", "configmap", "a", "-p", '{"data": {"foreign": "stays"}}')

    commit = git_repo.commit({"a.yaml": manifest(v="2")})
    ship.deliver(git_repo, commit)
    ship.synced(name, commit)
    found = ship.configmap(namespace, "a")
    assert found["data"] == {"v": "2", "foreign": "stays"}
    operations = {e["operation"] for e in found["metadata"]["managedFields"] if e["manager"] == "mooring"}
    assert operations == {"Update"}

    # Compared and healed in the same way, and pruned like any other.
    ship.quiet()
    ship.kubectl("-n", namespace, "patch", "configmap", "a", "-p", '{"data": {"v": "drift"}}')
    app = ship.reconcile(name)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2", "foreign": "stays"}
    assert app["status"]["sync"]["status"] == "Synced"
    commit = git_repo.commit({"a.yaml": None})
    ship.deliver(git_repo, commit)
    until("a to be gone", lambda: ship.configmap(namespace, "a") is None)


def test_what_the_schema_refuses_is_merged_with_a_warning(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    twice = deployment("web")
    twice["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "A", "value": "2"},
    ]
    commit = git_repo.commit({"web.yaml": json.dumps(twice), "a.yaml": configmap("a")})
    ship.create_app("twice", git_repo, namespace)

    told = ship.condition("twice", "merged client-side")
    assert re.search(r"env|duplicate", told["message"])
    health(ship, "twice", "Healthy")
    ship.synced("twice", commit)
    path = f"{APPS}/{namespace}/deployments/web"
    version = ship.ask(path)["metadata"]["generation"]
    ship.quiet()

    ship.refresh("twice", "hard")

    ship.synced("twice", commit)
    assert ship.ask(path)["metadata"]["generation"] == version
