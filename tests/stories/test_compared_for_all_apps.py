"""What argocd-cm says of comparing: it holds for all apps, beside what each says itself."""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_ignore_differences import (
    MERGE,
    RESPECT,
    deployment,
    images,
    looked,
    named,
    path,
    scaled,
    sync,
    web,
)
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster

GROUP = f"compare{secrets.token_hex(4)}.mooring.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
IGNORE = "resource.customizations.ignoreDifferences."
CONFIG = {
    f"{IGNORE}apps_Deployment": "jsonPointers:\n- /spec/replicas\n",
    f"{IGNORE}all": "managedFieldsManagers:\n- updater\n",
    "resource.customizations": (
        "'*.mooring.dev/Door':\n"
        "  ignoreDifferences: |\n"
        "    jqPathExpressions:\n"
        '    - .spec.panes[] | select(.name == "left") | .colour\n'
    ),
    f"resource.customizations.knownTypeFields.{GROUP}_Engine": (
        "- field: spec.template.spec\n  type: core/v1/PodSpec\n"
    ),
    "resource.compareoptions": "ignoreResourceStatusField: none\nignoreAggregatedRoles: false\n",
    # Argo CD looks at an app when an object of it has changed; nothing is to be spared here.
    "resource.customizations.ignoreResourceUpdates.all": "jsonPointers: [/status]",
    "resource.ignoreResourceUpdatesEnabled": "true",
}
PANES = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "colour": {"type": "string"}},
    },
}
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture(scope="module")
def ship_config(cluster: Cluster) -> Iterator[dict[str, str]]:
    kinds: dict[str, dict[str, Any]] = {
        "Door": {"type": "object", "properties": {"panes": PANES}},
        "Engine": FREE,
        "Lamp": FREE,
    }
    for kind, spec in kinds.items():
        body = definition(GROUP, kind, spec)
        schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["status"] = FREE
        devcluster.ask(cluster, DEFINITIONS, body)

    def served() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            for kind in kinds:
                devcluster.ask(cluster, f"/apis/{GROUP}/v1/{kind.lower()}s")
            return True
        return False

    until("the kinds to be served", served)
    yield CONFIG
    for kind in kinds:
        devcluster.ask(cluster, f"{DEFINITIONS}/{kind.lower()}s.{GROUP}", method="DELETE")


def one(kind: str, **fields: Any) -> str:
    name = kind.lower()
    return json.dumps({"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, **fields})


def place(namespace: str, kind: str) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{namespace}/{kind.lower()}s/{kind.lower()}"


def edit(ship: Ship, data: dict[str, Any]) -> None:
    ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps/argocd-cm", {"data": data}, **MERGE)


# --- what is ignored --------------------------------------------------------------------------------
def test_what_all_apps_leave_to_others_is_no_drift_beside_what_one_leaves_itself(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name = named()
    own = [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/metadata/labels/tier"]}]
    panes = [{"name": "left", "colour": "red"}, {"name": "right", "colour": "green"}]
    files = {
        "web.yaml": deployment("web=web:1", "proxy=proxy:1", replicas=2, tier="front"),
        "door.yaml": one("Door", spec={"panes": panes}),
    }
    commit = git_repo.commit(files)
    ship.create_app(name, git_repo, namespace, spec={"ignoreDifferences": own}, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()

    scaled(ship, namespace, 5)  # by the kind's key
    newer = {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:9"}]}}}}
    strategic = "application/strategic-merge-patch+json"
    updater = f"{path(namespace)}?fieldManager=updater"  # by the key for all kinds
    ship.ask(updater, newer, method="PATCH", content_type=strategic)
    ship.ask(path(namespace), {"metadata": {"labels": {"tier": "theirs"}}}, **MERGE)  # by the app itself
    panes[0]["colour"] = "blue"  # by the old map
    ship.ask(place(namespace, "Door"), {"spec": {"panes": panes}}, **MERGE)

    assert sync(looked(ship, name)) == "Synced"
    assert ship.mooring("app", "diff", name).returncode == 0
    now = web(ship, namespace)
    assert (now["spec"]["replicas"], now["metadata"]["labels"]["tier"]) == (5, "theirs")
    assert images(ship, namespace)["proxy"] == "proxy:9"
    assert ship.ask(place(namespace, "Door"))["spec"]["panes"] == panes

    # And nothing else is.
    panes[1]["colour"] = "black"
    ship.ask(place(namespace, "Door"), {"spec": {"panes": panes}}, **MERGE)
    looked(ship, name)
    ship.quiet()
    healed = ship.ask(place(namespace, "Door"))["spec"]["panes"]
    assert {pane["name"]: pane["colour"] for pane in healed}["right"] == "green"


@pytest.mark.parametrize("options", [["ServerSideApply=false"], ["Replace=true"]])
def test_what_is_ignored_is_no_drift_however_it_is_written(
    ship: Ship, git_repo: Repository, namespace: str, options: list[str]
) -> None:
    name = named()
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    ship.create_app(name, git_repo, namespace, policy={"syncOptions": options}, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()
    scaled(ship, namespace, 5)
    app = ship.app(name)
    for _ in range(2):
        assert sync(looked(ship, name)) == "Synced"
        ship.quiet()
    assert web(ship, namespace)["spec"]["replicas"] == 5
    assert ship.app(name)["status"]["operationState"] == app["status"]["operationState"]


def test_a_sync_that_respects_ignored_fields_leaves_those_of_all_apps_alone_too(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name = named()
    git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    ship.create_app(name, git_repo, namespace, policy=RESPECT)
    until(f"{name} to be there", lambda: ship.find(path(namespace)))
    ship.quiet()
    scaled(ship, namespace, 5)
    later = ship.pushed(git_repo, {"web.yaml": deployment("web=web:2", replicas=3)})
    ship.synced(name, later)
    assert (web(ship, namespace)["spec"]["replicas"], images(ship, namespace)) == (5, {"web": "web:2"})

    # Without it, it is written as Git has it.
    ship.patch_app(name, {"spec": {"syncPolicy": {"syncOptions": None}}})
    assert ship.operate(name)["status"]["operationState"]["phase"] == "Succeeded"
    assert web(ship, namespace)["spec"]["replicas"] == 3


def test_other_rules_have_everything_compared_anew_and_those_that_make_no_sense_stop_everybody(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name, key = named(), f"{IGNORE}apps_Deployment"
    commit = git_repo.commit({"web.yaml": deployment("web=web:1", replicas=2)})
    ship.create_app(name, git_repo, namespace, policy=RESPECT)
    ship.synced(name, commit)
    ship.quiet()
    scaled(ship, namespace, 5)
    assert sync(ship.reconcile(name)) == "Synced"
    try:
        edit(ship, {key: None})
        # Nobody asked for it, and no proof from before holds.
        ship.synced(name, commit, status="OutOfSync")

        edit(ship, {key: "jsonPointers: [spec/replicas]"})
        condition = ship.condition(
            name, f"ConfigMap argocd-cm, {key}: jsonPointers[0]: 'spec/replicas' is no "
        )
        assert condition["type"] == "ComparisonError"
        ship.read_anew()  # by whoever takes the push, too
        later = git_repo.commit({"new.yaml": configmap("new", v="1")})
        assert ship.finished(ship.deliver(git_repo, later))["state"] == "failed"
        assert ship.configmap(namespace, "new") is None
    finally:
        edit(ship, {key: CONFIG[key]})
    ship.synced(name, later)
    assert ship.configmap(namespace, "new")["data"] == {"v": "1"}
    assert web(ship, namespace)["spec"]["replicas"] == 5
    assert not ship.app(name)["status"].get("conditions")


# --- known types ------------------------------------------------------------------------------------
def test_what_a_controller_writes_in_other_words_is_no_drift(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    name = named()

    def engine(image: str, cpu: str, **more: Any) -> dict[str, Any]:
        limits = {"limits": {"cpu": cpu}}
        pod = {"containers": [{"name": "a", "image": image, "resources": limits}], **more}
        return {"size": "1000m", "template": {"spec": pod}}

    git = engine("a:1", "1000m", nodeSelector={})
    commit = git_repo.commit({"engine.yaml": one("Engine", spec=git)})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, commit)
    ship.quiet()
    # As its controller reads it into types of Kubernetes, and writes it again.
    ship.ask(place(namespace, "Engine"), {"spec": {"template": None}}, **MERGE)
    ship.ask(place(namespace, "Engine"), {"spec": engine("a:1", "1")}, **MERGE)
    version = ship.ask(place(namespace, "Engine"))["metadata"]["resourceVersion"]

    for _ in range(2):  # compared, and proved
        assert sync(looked(ship, name)) == "Synced"
        ship.quiet()
    assert ship.ask(place(namespace, "Engine"))["metadata"]["resourceVersion"] == version
    assert ship.mooring("app", "diff", name).returncode == 0

    # What really differs does, and is all that is shown; so is what looks the same elsewhere.
    ship.patch_app(name, {"spec": {"syncPolicy": {"automated": None}}})
    ship.ask(place(namespace, "Engine"), {"spec": {**engine("a:2", "1"), "size": "1"}}, **MERGE)
    assert sync(looked(ship, name)) == "OutOfSync"
    shown = ship.mooring("app", "diff", name).stdout
    assert "a:2" in shown and "size" in shown
    assert "+        cpu" not in shown and "nodeSelector" not in shown


# --- status -----------------------------------------------------------------------------------------
def test_a_status_is_neither_compared_nor_written_whatever_argocd_cm_says(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """Not even that of a kind whose status is a field as any other."""
    name = named()
    commit = git_repo.commit({"lamp.yaml": one("Lamp", spec={}, status={"lit": False})})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, commit)
    assert "status" not in ship.ask(place(namespace, "Lamp"))
    ship.quiet()
    ship.ask(place(namespace, "Lamp"), {"status": {"lit": True}}, **MERGE)
    assert sync(looked(ship, name)) == "Synced"
    ship.quiet()
    assert ship.ask(place(namespace, "Lamp"))["status"] == {"lit": True}


# --- aggregated roles -------------------------------------------------------------------------------
@pytest.fixture
def label(ship: Ship) -> Iterator[str]:
    """A label by which ClusterRoles are put together; what is named so goes in the end."""
    label = f"aggregate-{secrets.token_hex(5)}"
    yield label
    for name in (label, f"{label}-part"):
        with contextlib.suppress(urllib.error.HTTPError):
            ship.ask(f"{ROLES}/{name}", method="DELETE")


def role(name: str, rules: list[Any] | None, *selects: str, **labels: str) -> str:
    body: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
    }
    if rules is not None:
        body["rules"] = rules
    if selects:
        body["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {s: "yes"}} for s in selects]}
    return json.dumps(body)


PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        ([], []),
        (None, []),
        ([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}], []),
        ([], ["ServerSideApply=false"]),
        ([], ["Replace=true"]),
    ],
)
def test_the_rules_of_an_aggregated_role_are_the_control_planes(
    ship: Ship, git_repo: Repository, namespace: str, label: str, rules: list[Any] | None, options: list[str]
) -> None:
    """Its controller is the real one: it fills them in, whatever Git says of them."""
    name = named()
    files = {
        "all.yaml": role(label, rules, label, tier="a"),
        "part.yaml": role(f"{label}-part", PODS, **{label: "yes"}),
    }
    commit = git_repo.commit(files)
    ship.create_app(name, git_repo, namespace, policy={"syncOptions": options}, selfHeal=True)
    ship.synced(name, commit)

    def now() -> Any:
        return ship.ask(f"{ROLES}/{label}")

    until("the controller to fill in the rules", lambda: now().get("rules") == PODS)
    ship.quiet()
    version = now()["metadata"]["resourceVersion"]
    for _ in range(2):
        app = looked(ship, name)
        assert sync(app) == "Synced"
        ship.quiet()
    assert now()["metadata"]["resourceVersion"] == version  # nobody has fought for them
    begun = app["status"]["operationState"]["startedAt"]

    # A sync that writes something else of it takes no rights away, not even for a moment.
    with Watch(ship.cluster, ROLES) as watch:
        later = ship.pushed(git_repo, {"all.yaml": role(label, rules, label, tier="b")})
        app = ship.synced(name, later)
        versions = [event.body for event in watch.events(label)]
    assert app["status"]["operationState"]["startedAt"] >= begun
    assert now()["metadata"]["labels"]["tier"] == "b"
    assert versions and all(one.get("rules") == PODS for one in versions)
    assert sync(looked(ship, name)) == "Synced"

    # What it is put together of is drift as anything else.
    theirs = {"clusterRoleSelectors": [{"matchLabels": {"theirs": "yes"}}]}
    ship.ask(f"{ROLES}/{label}", {"aggregationRule": theirs}, **MERGE)
    looked(ship, name)
    ship.quiet()
    assert now()["aggregationRule"]["clusterRoleSelectors"] == [{"matchLabels": {label: "yes"}}]
