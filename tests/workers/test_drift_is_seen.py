"""Drift is seen by a full reconciliation whatever hides it, and what is none is not found again and again.

One fleet for all stories, with an app for each: looked at, and as Git has it. Each changes the object of its
app in the cluster, past Git, as administrator; what becomes of that is told by the real API server.
"""

from __future__ import annotations

import base64
import json
import secrets
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer
from devcluster.redis import RedisServer
from mooring.keys import AppKey
from mooring.names import APPLYSET_PART_OF, FIELD_MANAGER, ID
from mooring.settings import Settings
from tests.definitions import definition
from tests.stories.ship import until
from tests.stories.test_made_of_it_by_the_server import Mutator
from tests.workers.skiff import Skiff
from workers import pipeline
from workers.cluster.kinds import Kind
from workers.cluster.live import comparable
from workers.proof import ROLLOUT

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

Body = dict[str, Any]
SALT: Final = secrets.token_hex(4)
GROUP: Final = f"drift{SALT}.mooring.dev"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
LIST: Final = {"type": "array", "items": {"type": "string"}}
BOAT: Final[Body] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "crew": {**LIST, "x-kubernetes-list-type": "set"},
        "course": {**LIST, "x-kubernetes-list-type": "atomic"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "open": {"type": "boolean", "default": True},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Story:
    """What Git has, by kind, and what is done to it in the cluster."""

    git: Body
    change: Callable[[Hand], None]


class Hand:
    """Somebody's, on the object of one app."""

    def __init__(self, fleet: Fleet, app: str, git: Body) -> None:
        self.fleet, self.app, self.git = fleet, app, git
        kind = fleet.skiff.engine.api.discovery.find(git["apiVersion"], git["kind"])
        assert kind is not None
        self.kind: Kind = kind
        self.namespace = fleet.namespace if kind.namespaced else ""
        self.path = kind.path(self.namespace, git["metadata"]["name"])

    def ask(self, body: Body | None = None, *, path: str = "", **how: Any) -> Body:
        found: Body = devcluster.ask(self.fleet.cluster, path or self.path, body, **how)
        return found

    def now(self) -> Body:
        return self.ask()

    def patch(self, patch: Body, manager: str = "kubectl-edit", sub: str = "") -> None:
        path = f"{self.path}{sub}?fieldManager={manager}"
        self.ask(patch, path=path, method="PATCH", content_type=MERGE)

    def put(self, edit: Callable[[Body], None], manager: str = "kubectl-replace") -> None:
        """kubectl replace of an edited copy of what is live, managedFields and all."""
        while True:
            body = self.now()
            edit(body)
            try:
                self.ask(body, path=f"{self.path}?fieldManager={manager}", method="PUT")
                return
            except urllib.error.HTTPError as error:
                if error.code != 409:  # its controller has just written its status
                    raise

    def apply(self, edit: Callable[[Body], None], manager: str) -> None:
        """An apply by force, as kubectl has it with --field-manager, of an edited copy of what we apply."""
        there = self.now()["metadata"]
        marks = {name: there[name] for name in ("name", "labels", "annotations")}
        marks["annotations"].pop(ROLLOUT, None)
        copy = json.loads(json.dumps(self.git))
        copy["metadata"] = {**copy["metadata"], **marks}
        edit(copy)
        path = f"{self.path}?fieldManager={manager}&force=true"
        self.ask(copy, path=path, method="PATCH", content_type=APPLY)

    def owned(self) -> Any:
        """What the manager `mooring` has applied of it, as its managedFields say."""
        entries = self.now()["metadata"].get("managedFields", ())
        ours = [one for one in entries if (one["manager"], one["operation"]) == (FIELD_MANAGER, "Apply")]
        return ours and ours[0]["fieldsV1"]

    def told(self) -> None:
        """Wait until the cache of the API server has what was done last."""
        api, key = self.fleet.skiff.engine.api, self.git["metadata"]["name"]

        def there() -> bool:
            version = self.now()["metadata"]["resourceVersion"]
            found = api.list(self.kind, self.namespace, metadata_only=True, cached=True)
            return any((live.key.name, live.resource_version) == (key, version) for live in found)

        until("the cache to have it", there)


class Fleet:
    """An app of one object for each story."""

    def __init__(self, skiff: Skiff, cluster: Cluster, git: GitServer, home: str, namespace: str) -> None:
        self.skiff, self.cluster, self.home, self.namespace = skiff, cluster, home, namespace
        self.repo = git.create(f"fleet-{secrets.token_hex(5)}")
        owner = {"metadata": {"name": "owner"}}
        uid = devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/configmaps", owner)["metadata"]["uid"]
        self.hands: dict[str, Hand] = {}
        files: dict[str, str | None] = {}
        for name, story in STORIES.items():
            metadata = {**story.git.get("metadata", {}), "name": f"{name}-{SALT}"}
            text = json.dumps({**story.git, "metadata": metadata}).replace("$OWNER", uid)
            files[f"{name}/it.json"] = text
            self.hands[name] = Hand(self, name, json.loads(text))
        self.repo.commit(files)
        for name in STORIES:
            skiff.create_healing_app(name, self.repo.url, namespace)
        skiff.settle()
        self.quiet()

    def reconcile(self) -> None:
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.work()

    def quiet(self) -> None:
        """Reconcile until all is proved, and healthy: controllers write, too, and are done then."""

        def proved() -> bool:
            self.reconcile()
            apps = self.skiff.engine.applications.list().apps
            return not self.skiff.unproved() and all(app.status.health.status == "Healthy" for app in apps)

        until("all of it to be proved", proved)

    def operation(self, name: str) -> Any:
        return self.skiff.app(name).status.operation_state

    def lose_proof(self, name: str) -> None:
        redis = self.skiff.engine.redis
        (key,) = redis.keys(f"mooring:proofs:*:{AppKey(self.home, name)}")
        redis.delete(key)


@pytest.fixture(scope="module")
def fleet(
    cluster: Cluster, git_server: GitServer, argo_kinds: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    home, namespace = f"home-{secrets.token_hex(4)}", f"test-{secrets.token_hex(4)}"
    for name in (home, namespace):
        devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    for body in (_boat(), definition(GROUP, "Sail", BOAT)):
        devcluster.ask(cluster, DEFINITIONS, body)
    directory: Path = tmp_path_factory.mktemp("skiff")
    with RedisServer() as redis:
        skiff = Skiff(
            Settings(
                redis_url=redis.url,
                kubeconfig=str(cluster.kubeconfig),
                context=cluster.context,
                namespace=home,
                state_dir=str(directory),
                reconcile_s=0.01,  # each object's turn for a dry-run is hardly ever
            )
        )
        for kind in ("Boat", "Sail"):
            skiff.engine.api.discovery.await_kind(f"{GROUP}/v1", kind)
        found = Fleet(skiff, cluster, git_server, home, namespace)
        yield found
    for hand in found.hands.values():
        if not hand.namespace:
            hand.ask(method="DELETE")
    for name in (home, namespace):
        devcluster.ask(cluster, f"/api/v1/namespaces/{name}", method="DELETE")
    for plural in ("boats", "sails"):
        devcluster.ask(cluster, f"{DEFINITIONS}/{plural}.{GROUP}", method="DELETE")


def _boat() -> Body:
    """Of two versions: Git speaks the one, the server keeps the other. Its status is a subresource."""
    body = definition(GROUP, "Boat", BOAT)
    (first,) = body["spec"]["versions"]
    schema = first["schema"]["openAPIV3Schema"]
    schema["properties"]["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    first["subresources"] = {"status": {}}
    body["spec"]["versions"] = [{**first, "storage": False}, {**first, "name": "v2"}]
    return body


# --- what Git has -------------------------------------------------------------------------------------
def config(**more: Any) -> Body:
    labels = {"labels": {"tier": "front"}, "annotations": {"team": "ours"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": labels, "data": {"v": "1"}, **more}


def web(**metadata: Any) -> Body:
    container = {"name": "web", "image": "web:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"labels": {"tier": "front"}, "annotations": {"team": "ours"}, **metadata},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    }


def boat(kind: str = "Boat", **spec: Any) -> Body:
    said = {"name": "a", "crew": ["ann", "bob"], "course": ["n", "w"], "ports": [{"port": 1}, {"port": 2}]}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "spec": {**said, **spec}}


SECRET: Final[Body] = {"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "pass"}}
CLASS: Final[Body] = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "value": 7,
    "description": "Git's",
}
OWNED: Final[Body] = {
    "ownerReferences": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": "$OWNER",
            "blockOwnerDeletion": False,
        }
    ]
}


# --- what is done to it -------------------------------------------------------------------------------
def patched(patch: Body, manager: str = "kubectl-edit", sub: str = "") -> Callable[[Hand], None]:
    return lambda hand: hand.patch(patch, manager, sub)


def applied(edit: Callable[[Body], None], manager: str = FIELD_MANAGER) -> Callable[[Hand], None]:
    return lambda hand: hand.apply(edit, manager)


def put(edit: Callable[[Body], None], manager: str = "kubectl-replace") -> Callable[[Hand], None]:
    return lambda hand: hand.put(edit, manager)


def at(*path: str | int, to: Any) -> Callable[[Body], None]:
    """What puts `to` at a place; None takes away what is there."""

    def edit(body: Body) -> None:
        inner: Any = body
        for step in path[:-1]:
            inner = inner[step]
        if to is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to

    return edit


IMAGE: Final = ("spec", "template", "spec", "containers", 0, "image")
OWNER: Final = ("metadata", "ownerReferences", 0)
DRIFT: Final = {"data": {"v": "drift"}}


def stale_put(hand: Hand) -> None:
    """With the managedFields of an older version, from before somebody else took a field."""
    old = hand.now()["metadata"]["managedFields"]
    hand.patch({"spec": {"replicas": 1}})

    def edit(body: Body) -> None:
        body["spec"]["replicas"] = 3
        body["metadata"]["managedFields"] = old

    hand.put(edit, FIELD_MANAGER)


def stripped(hand: Hand) -> None:
    hand.patch({"metadata": {"managedFields": [{}]}, **DRIFT})
    assert not hand.owned()


def recreated(marked: bool) -> Callable[[Hand], None]:
    """Deleted, and created anew with other data, with or without our marks, in our name."""

    def change(hand: Hand) -> None:
        old = hand.now()
        hand.ask(method="DELETE")
        metadata = {key: old["metadata"][key] for key in ("name", "labels", "annotations")}
        body = {**old, **DRIFT, "metadata": metadata if marked else {"name": metadata["name"]}}
        collection = f"{hand.path.rpartition('/')[0]}?fieldManager={FIELD_MANAGER}"
        hand.ask(body, path=collection)

    return change


def in_anothers_update(hand: Hand) -> None:
    """A webhook that changes what is ours while somebody else writes what is theirs."""
    on = True

    def mutate(body: Body) -> None:
        if on and body["metadata"]["name"] == hand.git["metadata"]["name"]:
            body["data"] = {"v": "drift"}

    with Mutator(hand.fleet.cluster, hand.fleet.namespace, mutate):
        hand.patch({"metadata": {"annotations": {"theirs": "1"}}})
        on = False


def in_the_other_version(hand: Hand) -> None:
    path = hand.path.replace("/v1/", "/v2/")
    edit = {"spec": {"name": "drift"}}
    hand.ask(edit, path=f"{path}?fieldManager=kubectl-edit", method="PATCH", content_type=MERGE)


SEEN: Final[dict[str, Story]] = {
    "edit": Story(config(), patched(DRIFT)),
    "removed-label": Story(config(), patched({"metadata": {"labels": {"tier": None}}})),
    "removed-label-of-a-counted-kind": Story(web(), patched({"metadata": {"labels": {"tier": None}}})),
    "removed-annotation": Story(web(), patched({"metadata": {"annotations": {"team": None}}})),
    "removed-applyset": Story(config(), patched({"metadata": {"labels": {APPLYSET_PART_OF: None}}})),
    "forged-applyset": Story(web(), patched({"metadata": {"labels": {APPLYSET_PART_OF: "applyset-x-v1"}}})),
    "removed-id": Story(web(), patched({"metadata": {"annotations": {ID: None}}})),
    "forged-label": Story(web(), put(at("metadata", "labels", "tier", to="back"), FIELD_MANAGER)),
    "scale": Story(web(), patched({"spec": {"replicas": 1}}, "kubectl-scale", "/scale")),
    "image": Story(web(), put(at(*IMAGE, to="web:2"))),
    "webhook": Story(config(), in_anothers_update),
    "forged-put": Story(config(), put(at("data", "v", to="drift"), FIELD_MANAGER)),
    "forged-put-of-a-counted-kind": Story(web(), put(at("spec", "replicas", to=3), FIELD_MANAGER)),
    "stale-put": Story(web(), stale_put),
    "applied-as-us": Story(config(), applied(at("data", "v", to="drift"))),
    "applied-as-us-of-a-counted-kind": Story(web(), applied(at(*IMAGE, to="web:2"))),
    "applied-label-as-us": Story(web(), applied(at("metadata", "labels", "tier", to="back"))),
    "applied-as-us-without-a-field": Story(config(), applied(at("data", to=None))),
    "applied-as-us-where-nothing-counts": Story(CLASS, applied(at("description", to="theirs"))),
    "applied-owner-as-us": Story(web(**OWNED), applied(at(*OWNER, "blockOwnerDeletion", to=True))),
    "string-data": Story(SECRET, patched({"data": {"password": base64.b64encode(b"drift").decode()}})),
    "string-data-taken-away": Story(SECRET, patched({"data": {"password": None}})),
    "managed-fields-stripped": Story(config(), stripped),
    "recreated": Story(config(), recreated(marked=False)),
    "recreated-with-our-marks": Story(config(), recreated(marked=True)),
    "two-managers": Story(config(), applied(at("data", "v", to="drift"), "another")),
    "the-other-version": Story(boat(), in_the_other_version),
    "an-atomic-list": Story(boat(), patched({"spec": {"course": ["w", "n"]}})),
    "a-set": Story(boat(), patched({"spec": {"crew": ["ann"]}})),
    "an-item-of-a-list": Story(boat(), put(at("spec", "ports", 0, to=None), "another")),
}


def changed_and_back(hand: Hand) -> None:
    for value in ("drift", "1"):
        hand.patch({"data": {"v": value}})


def scaled_and_back(hand: Hand) -> None:
    for replicas in (1, 0):
        hand.patch({"spec": {"replicas": replicas}}, "kubectl-scale", "/scale")


def course_and_back(hand: Hand) -> None:
    for course in (["w", "n"], ["n", "w"]):
        hand.patch({"spec": {"course": course}})


def noted_in_the_other_version(hand: Hand) -> None:
    path = hand.path.replace("/v1/", "/v2/")
    note = {"metadata": {"annotations": {"theirs": "1"}}}
    hand.ask(note, path=f"{path}?fieldManager=kubectl-edit", method="PATCH", content_type=MERGE)


def aggregated() -> tuple[Body, Callable[[Hand], None]]:
    """A role whose rules the control plane gathers; somebody brings another part."""
    label = f"gathered-{SALT}"
    selectors = [{"matchLabels": {label: "yes"}}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}

    def change(hand: Hand) -> None:
        part = {
            **role,
            "metadata": {"name": f"part-{SALT}", "labels": {label: "yes"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        }
        roles = hand.path.rpartition("/")[0]
        hand.ask(part, path=roles)
        try:
            until("the controller to gather the rules", lambda: bool(hand.now().get("rules")))
        finally:
            hand.ask(path=f"{roles}/part-{SALT}", method="DELETE")

    return {**role, "aggregationRule": {"clusterRoleSelectors": selectors}}, change


MANY: Final = {f"key-{number:05}": "x" * 20 for number in range(6_000)}
NOTE: Final = {"metadata": {"annotations": {"theirs": "1"}}}
NONE: Final[dict[str, Story]] = {
    "changed-and-back": Story(config(), changed_and_back),
    "scaled-and-back": Story(web(), scaled_and_back),
    "an-atomic-list-and-back": Story(boat(), course_and_back),
    "the-same-again": Story(config(), patched({"data": {"v": "1"}})),
    "the-same-applied": Story(config(), applied(lambda body: None, "another")),
    "defaults-said": Story(
        boat(), patched({"spec": {"ports": [{"port": n, "protocol": "TCP", "open": True} for n in (1, 2)]}})
    ),
    "an-annotation-of-theirs": Story(web(), patched(NOTE)),
    "an-annotation-in-the-other-version": Story(boat(), noted_in_the_other_version),
    "one-more-in-a-set": Story(boat(), patched({"spec": {"crew": ["eve", "ann", "bob"]}})),
    "string-data-as-it-is": Story(SECRET, patched(NOTE)),
    "an-oversized-object": Story(config(data=MANY), patched(NOTE)),
    "an-aggregated-role": Story(*aggregated()),
}
# Whose change takes fields from the manager `mooring`, and whose does not.
TAKEN: Final = ("edit", "scale", "removed-label", "removed-label-of-a-counted-kind", "image", "two-managers")
NOT_TAKEN: Final = ("the-same-again", "the-same-applied", "defaults-said", "an-annotation-of-theirs")
OTHERS: Final = {
    "another-schema": Story(boat("Sail"), lambda _: None),
    "taken": Story(config(data={"v": "1", "w": "1"}), changed_and_back),
}
STORIES: Final = {**SEEN, **NONE, **OTHERS}


def said(body: Body) -> Body:
    """What is compared of an object, but for what its controller counts."""
    found = comparable(body)
    annotations = {k: v for k, v in found["metadata"].get("annotations", {}).items() if k != ROLLOUT}
    return found | {"metadata": {**found["metadata"], "annotations": annotations}}


def holds(now: Any, before: Any) -> bool:
    """Whether all of `before` is in `now`."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(k in now and holds(now[k], v) for k, v in before.items())
    return bool(now == before)


def stays(fleet: Fleet, name: str) -> None:
    """However it is looked at from now on, it is Synced, and nothing is written."""
    fleet.quiet()
    hand, begun = fleet.hands[name], fleet.operation(name)
    before, owned = hand.now(), hand.owned()
    fleet.lose_proof(name)
    assert fleet.skiff.unproved() == {name}
    fleet.reconcile()
    fleet.quiet()
    assert fleet.skiff.sync(name).status == "Synced"
    assert fleet.operation(name) == begun
    now = hand.now()
    assert (said(now), hand.owned()) == (said(before), owned)
    if hand.kind.kind != "Deployment":  # its controller may note how it is
        assert now["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("name", SEEN)
def test_drift_is_seen_in_spite_of_what_hides_it_and_is_put_back_once(fleet: Fleet, name: str) -> None:
    fleet.quiet()
    hand = fleet.hands[name]
    before, owned = said(hand.now()), hand.owned()
    SEEN[name].change(hand)
    hand.told()
    if name in TAKEN:  # which explains the drift, but is no proof of its absence
        assert owned and hand.owned() != owned
    assert not holds(said(hand.now()), before)
    assert fleet.skiff.unproved() == {name}
    fleet.reconcile()
    fleet.quiet()
    assert holds(said(hand.now()), before)
    stays(fleet, name)


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_drift_is_not_found_again_and_again(fleet: Fleet, name: str) -> None:
    fleet.quiet()
    hand = fleet.hands[name]
    before, owned = said(hand.now()), hand.owned()
    NONE[name].change(hand)
    hand.told()
    if name in NOT_TAKEN:
        assert owned and hand.owned() == owned
    fleet.quiet()
    assert said(hand.now())["metadata"]["name"] == before["metadata"]["name"]
    stays(fleet, name)


def test_under_another_schema_an_object_is_looked_at_once_and_is_as_it_was(fleet: Fleet) -> None:
    name = "another-schema"
    fleet.quiet()
    begun = fleet.operation(name)
    path = f"{DEFINITIONS}/sails.{GROUP}"
    (version,) = devcluster.ask(fleet.cluster, path)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["sheets"] = {"type": "integer", "default": 2}
    patch = {"spec": {"versions": [version]}}
    devcluster.ask(fleet.cluster, path, patch, method="PATCH", content_type=MERGE)
    until("the schema to be another", lambda: fleet.skiff.unproved() == {name})
    until("the default", lambda: fleet.hands[name].now()["spec"].get("sheets") == 2)
    fleet.quiet()
    assert fleet.operation(name) == begun
    stays(fleet, name)


def test_what_others_took_and_gave_back_is_ours_again_and_is_told_of_when_it_leaves_git(fleet: Fleet) -> None:
    """Whoever sets a field owns it, though it is as it was: without self-heal's apply, nobody would know that
    it ever was ours."""
    name = "taken"
    fleet.quiet()
    hand = fleet.hands[name]
    owned = hand.owned()
    changed_and_back(hand)
    hand.told()
    assert owned and hand.owned() != owned
    assert fleet.skiff.unproved() == {name}
    fleet.reconcile()
    assert hand.owned() == owned
    assert fleet.skiff.sync(name).status == "Synced"
    stays(fleet, name)

    fleet.repo.commit({f"{name}/it.json": json.dumps({**hand.git, "data": {"w": "1"}})})
    pipeline.push(fleet.skiff.engine, fleet.repo.url, "main")
    fleet.skiff.settle()
    told = [one.message for one in fleet.skiff.app(name).status.conditions]
    assert any("data.v left Git and is kept by kubectl-edit" in message for message in told), told
