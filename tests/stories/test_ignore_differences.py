"""Fields that others set: `spec.ignoreDifferences`, and what a sync does to them."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap
from tests.stories.test_kinds import stored

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}
RESPECT = {"syncOptions": ["RespectIgnoreDifferences=true"]}
REPLICAS = {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}


def deployment(*containers: str, replicas: int = 1, **labels: str) -> str:
    """With containers as `name=image`."""
    named = [dict(zip(("name", "image"), each.split("="), strict=True)) for each in containers]
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": named}},
        },
    }
    return json.dumps(body)


def path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/web"


def web(ship: Ship, namespace: str) -> Any:
    return ship.ask(path(namespace))


def scaled(ship: Ship, namespace: str, replicas: int) -> None:
    """As an HPA does it."""
    ship.ask(f"{path(namespace)}/scale", {"spec": {"replicas": replicas}}, **MERGE)


def images(ship: Ship, namespace: str) -> dict[str, str]:
    containers = web(ship, namespace)["spec"]["template"]["spec"]["containers"]
    return {container["name"]: container["image"] for container in containers}


def looked(ship: Ship, name: str) -> Any:
    """The app once everything about it was looked at anew: no proof stands in for a comparison."""
    return ship.refresh(name, "hard")


def sync(app: Any) -> str:
    return str(app["status"]["sync"]["status"])


def named() -> str:
    return f"app-{secrets.token_hex(3)}"


# --- comparing -------------------------------------------------------------------------------------
def test_replicas_that_another_scales_are_no_drift_and_are_not_healed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    ship.create_app("scaled", git_repo, namespace, spec={"ignoreDifferences": [REPLICAS]}, selfHeal=True)
    ship.synced("scaled", commit)
    ship.quiet()
    scaled(ship, namespace, 5)

    for app in (ship.reconcile("scaled"), looked(ship, "scaled")):
        assert sync(app) == "Synced"
        assert app["status"]["sync"]["comparedTo"]["ignoreDifferences"] == [REPLICAS]
    assert web(ship, namespace)["spec"]["replicas"] == 5
    assert ship.mooring("app", "diff", "scaled").returncode == 0

    # What is ignored hides nothing else.
    ship.ask(path(namespace), {"metadata": {"labels": {"tier": "theirs"}}, "spec": {"paused": True}}, **MERGE)
    git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2, tier="front")})
    ship.patch_app("scaled", {"spec": {"syncPolicy": {"automated": None}}})
    app = looked(ship, "scaled")
    assert sync(app) == "OutOfSync"
    shown = ship.mooring("app", "diff", "scaled")
    assert "tier" in shown.stdout and "replicas" not in shown.stdout


def test_without_the_rule_they_are_drift_again(ship: Ship, git_repo: Repository, namespace: str) -> None:
    """A proof from before does not outlive the rule that it rests on."""
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    spec = {"ignoreDifferences": [REPLICAS]}
    ship.create_app("unruled", git_repo, namespace, spec=spec, policy=RESPECT)
    ship.synced("unruled", commit)
    ship.quiet()
    scaled(ship, namespace, 5)
    assert sync(ship.reconcile("unruled")) == "Synced"

    ship.patch_app("unruled", {"spec": {"ignoreDifferences": None}})
    assert sync(ship.reconcile("unruled")) == "OutOfSync"


@pytest.mark.parametrize(
    "rule",
    [
        {"jqPathExpressions": ['.spec.template.spec.containers[] | select(.name == "proxy") | .image']},
        {"jqPathExpressions": ['.spec.template.spec.containers[] | select(.name == "proxy")'], "name": "w*"},
        {"jsonPointers": ["/spec/template/spec/containers/1/image"], "group": "*", "kind": "*"},
        {"managedFieldsManagers": ["updater"]},
    ],
)
def test_a_field_of_one_item_of_a_list_is_ignored_by_every_kind_of_rule(
    ship: Ship, git_repo: Repository, namespace: str, rule: dict[str, Any]
) -> None:
    name = named()
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", "proxy=proxy:1")})
    rules = [{"group": "apps", "kind": "Deployment", **rule}]
    ship.create_app(name, git_repo, namespace, spec={"ignoreDifferences": rules}, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()
    newer = {"containers": [{"name": "proxy", "image": "proxy:9"}]}
    ship.ask(
        f"{path(namespace)}?fieldManager=updater",
        {"spec": {"template": {"spec": newer}}},
        method="PATCH",
        content_type="application/strategic-merge-patch+json",
    )

    assert sync(looked(ship, name)) == "Synced"
    assert images(ship, namespace) == {"web": "web:1", "proxy": "proxy:9"}


def test_the_data_of_a_secret_can_be_left_to_another_and_is_shown_nowhere(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    secret = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {password: from-git, user: me}\n"
    )
    commit = git_repo.commit({"key.yaml": secret})
    rules = [
        {"kind": "Secret", "jsonPointers": ["/data/password"]},
        {"kind": "Secret", "jqPathExpressions": ['.data | select(.password != "x") | .token']},
    ]
    ship.create_app("secretive", git_repo, namespace, spec={"ignoreDifferences": rules}, selfHeal=True)
    ship.synced("secretive", commit)
    ship.quiet()
    values = {"password": "aHVudGVyMg==", "token": "Y29mZmVl"}
    ship.ask(f"/api/v1/namespaces/{namespace}/secrets/key", {"data": values}, **MERGE)

    assert sync(looked(ship, "secretive")) == "Synced"
    # And where it must be told about: an expression that fails on it.
    rules[1]["jqPathExpressions"] = [".data.password | ascii_upcase", ".data.token | error"]
    ship.patch_app("secretive", {"spec": {"ignoreDifferences": rules}})
    ship.condition("secretive", "jqPathExpressions[0]: computes a value, which is no path")
    told = "".join([json.dumps(ship.app("secretive")), *(ship.log(name) for name in ship.children)])
    told += json.dumps(ship.ask(f"/api/v1/namespaces/{ship.home}/events"))
    with ship.redis() as client:
        told += "".join(stored(client, key).decode("latin-1") for key in client.scan_iter())
    assert "secretive" in told
    assert [value for value in (*values.values(), "hunter2", "HUNTER2", "coffee") if value in told] == []


# --- writing ---------------------------------------------------------------------------------------
def test_a_sync_writes_what_is_ignored_as_git_has_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    ship.create_app("written", git_repo, namespace, spec={"ignoreDifferences": [REPLICAS]})
    ship.synced("written", commit)
    ship.quiet()
    scaled(ship, namespace, 5)
    assert sync(ship.reconcile("written")) == "Synced"

    assert ship.operate("written")["status"]["operationState"]["phase"] == "Succeeded"
    assert web(ship, namespace)["spec"]["replicas"] == 2

    # Unless only what is out of sync is to be written, and nothing is.
    ship.patch_app("written", {"spec": {"syncPolicy": {"syncOptions": ["ApplyOutOfSyncOnly=true"]}}})
    scaled(ship, namespace, 5)
    assert sync(ship.reconcile("written")) == "Synced"
    assert ship.operate("written")["status"]["operationState"]["phase"] == "Succeeded"
    assert web(ship, namespace)["spec"]["replicas"] == 5


def test_a_sync_that_respects_the_rules_leaves_what_is_ignored_as_it_is(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    proxy = '.spec.template.spec.containers[] | select(.name == "proxy") | .image'
    rules = [REPLICAS, {"group": "apps", "kind": "Deployment", "jqPathExpressions": [proxy]}]
    first = git_repo.commit({"web.yaml": deployment("web=web:1", "proxy=proxy:1", replicas=2)})
    ship.create_app("respected", git_repo, namespace, spec={"ignoreDifferences": rules}, policy=RESPECT)
    ship.synced("respected", first)
    # When it is created, Git's values are written.
    assert web(ship, namespace)["spec"]["replicas"] == 2
    assert images(ship, namespace) == {"web": "web:1", "proxy": "proxy:1"}
    scaled(ship, namespace, 5)
    ship.ask(
        path(namespace),
        {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:9"}]}}}},
        method="PATCH",
        content_type="application/strategic-merge-patch+json",
    )

    second = ship.pushed(git_repo, {"web.yaml": deployment("proxy=proxy:2", "web=web:2", replicas=3)})
    ship.synced("respected", second)
    assert web(ship, namespace)["spec"]["replicas"] == 5
    assert images(ship, namespace) == {"web": "web:2", "proxy": "proxy:9"}
    assert ship.operate("respected")["status"]["operationState"]["phase"] == "Succeeded"
    assert web(ship, namespace)["spec"]["replicas"] == 5
    assert sync(looked(ship, "respected")) == "Synced"


@pytest.mark.parametrize("way", ["apply", "merge", "replace"])
def test_to_heal_another_field_leaves_what_is_ignored_as_it_is_however_it_is_written(
    ship: Ship, git_repo: Repository, namespace: str, way: str
) -> None:
    name = named()
    options = {"apply": [], "merge": ["ServerSideApply=false"], "replace": ["Replace=true"]}[way]
    policy = {"syncOptions": [*RESPECT["syncOptions"], *options]}
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2, tier="front")})
    spec = {"ignoreDifferences": [REPLICAS]}
    ship.create_app(name, git_repo, namespace, spec=spec, policy=policy, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()
    scaled(ship, namespace, 5)
    ship.ask(path(namespace), {"metadata": {"labels": {"tier": "theirs"}}}, **MERGE)

    assert sync(looked(ship, name)) == "Synced"
    healed = web(ship, namespace)
    assert healed["metadata"]["labels"]["tier"] == "front"
    assert healed["spec"]["replicas"] == 5


def test_a_field_that_cannot_be_changed_can_be_left_alone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """Git names another address than the one that the Service has got: it can be compared and synced."""
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {{name: door, labels: {{v: '{v}'}}}}\n"
        "spec: {{ports: [{{port: 80}}]{more}}}\n"
    )
    first = git_repo.commit({"door.yaml": service.format(v=1, more="")})
    rules = [{"kind": "Service", "jsonPointers": ["/spec/clusterIP", "/spec/clusterIPs"]}]
    ship.create_app("addressed", git_repo, namespace, spec={"ignoreDifferences": rules}, policy=RESPECT)
    ship.synced("addressed", first)
    second = ship.pushed(git_repo, {"door.yaml": service.format(v=2, more=", clusterIP: None")})
    ship.synced("addressed", second)
    door = ship.find(f"/api/v1/namespaces/{namespace}/services/door")
    assert door["metadata"]["labels"]["v"] == "2" and door["spec"]["clusterIP"] != "None"


# --- rules that make no sense ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"jqPathExpressions": [".spec["]}, "jqPathExpressions[0]: is no expression of jq: syntax error"),
        (
            {"jsonPointers": ["/ok", "spec"]},
            "jsonPointers[1]: 'spec' is no JSON pointer: it must begin with '/'",
        ),
        ({"jqPathExpressions": ["last(range(1e12))"]}, "jqPathExpressions[0]: has not ended after 1 s"),
        (
            {"jqPathExpressions": ['"x" | until(false; . + .)']},
            "jqPathExpressions[0]: needs more than 512 MiB of memory",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_named_and_nothing_is_written(
    ship: Ship, git_repo: Repository, namespace: str, rule: dict[str, Any], why: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    name = named()
    rules = [REPLICAS, {"kind": "ConfigMap", **rule}]
    ship.create_app(name, git_repo, namespace, spec={"ignoreDifferences": rules})
    condition = ship.condition(name, f"spec.ignoreDifferences[1].{why}")
    assert condition["type"] == "InvalidSpecError"
    ship.quiet()
    assert ship.configmap(namespace, "a") is None
    assert sync(ship.app(name)) == "Unknown"

    # Corrected, it is synced; and others were never held up.
    ship.patch_app(name, {"spec": {"ignoreDifferences": [REPLICAS]}})
    assert ship.operate(name)["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "a")


# --- what has left Git -------------------------------------------------------------------------------
def test_an_object_that_does_not_count_once_it_has_left_git_is_pruned_with_the_next_sync(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    options = "  annotations: {argocd.argoproj.io/compare-options: IgnoreExtraneous}\n"
    extra = configmap("extra", v="1").replace("metadata:\n", f"metadata:\n{options}")
    stays = {"a.yaml": configmap("a", v="1"), "c.yaml": configmap("c", v="1")}
    first = git_repo.commit({**stays, "b.yaml": extra})
    ship.create_app("extraneous", git_repo, namespace, selfHeal=True)
    ship.synced("extraneous", first)
    second = ship.pushed(git_repo, {"b.yaml": None})

    # It is OutOfSync itself, and the app is not: that alone is no reason to sync.
    ship.synced("extraneous", second)
    for _ in range(2):
        assert ship.resource("extraneous", "extra")["status"] == "OutOfSync"
        assert sync(ship.reconcile("extraneous")) == "Synced"
    assert ship.configmap(namespace, "extra")

    third = ship.pushed(git_repo, {"a.yaml": configmap("a", v="2")})
    ship.synced("extraneous", third)
    ship.quiet()
    assert ship.configmap(namespace, "extra") is None
