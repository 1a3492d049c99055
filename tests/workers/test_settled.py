"""Objects of which it can be told without asking that an apply would change nothing: what the real API server
says of each is the truth."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mooring.errors import Conflict
from mooring.keys import AppKey
from tests.workers.test_apply import App, config_map, deployment
from tests.workers.test_write import service
from workers.applyset.inventory import Inventory
from workers.cluster.api import APPLY_PATCH, MERGE_PATCH, Api
from workers.cluster.live import Live, comparable
from workers.desired import Desired
from workers.settled import settled, without_settled
from workers.write import tried

pytestmark = pytest.mark.cluster

Body = dict[str, Any]


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def _deployed(app: App, body: Body) -> Desired:
    app.syncs(body)
    return app.wants(body)[0]


def _told(app: App, item: Desired) -> tuple[bool, bool]:
    """Whether it is told to be settled, and whether the API server says that an apply changes something."""
    while True:
        live = app.has(item.kind, item.key.name)
        try:
            after = tried(item, live, app.api)
        except Conflict:  # its controller has just written its status
            continue
        assert after is not None
        assert after.body is not None
        assert live.body is not None
        return settled(item, live), comparable(after.body) != comparable(live.body)


TRIED, CHANGES, UNCHANGED = False, True, False
SETTLED = (True, UNCHANGED)


PORTS = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
PARTS: list[Body] = [
    config_map("config", a="1", empty=""),
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "data": {"password": "cGFzcw=="}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "account", "labels": {"a": "b"}}},
    service("server", ports=PORTS, sessionAffinity="ClientIP"),
    deployment(
        "web",
        env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        ports=[{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
        command=["sleep", "1d"],
        resources={"limits": {"cpu": "1", "memory": "16Mi"}},
    ),
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "role"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    },
]


@pytest.mark.parametrize("body", PARTS, ids=lambda body: str(body["metadata"]["name"]))
def test_what_was_just_applied_is_not_tried(app: App, body: Body) -> None:
    assert _told(app, _deployed(app, body)) == SETTLED


@pytest.mark.parametrize("body", PARTS, ids=lambda body: str(body["metadata"]["name"]))
def test_what_others_add_to_it_changes_nothing_of_that(app: App, body: Body) -> None:
    item = _deployed(app, body)
    patch = {"metadata": {"annotations": {"example.com/theirs": "1"}, "labels": {"theirs": "1"}}}
    app.api.patch(item.kind, app.namespace, item.key.name, patch, MERGE_PATCH)
    assert _told(app, item) == SETTLED


def _at(*path: str | int, to: Any) -> Callable[[Body], None]:
    """What puts `to` at a place; None takes away what is there."""

    def change(body: Body) -> None:
        inner: Any = body
        for step in path[:-1]:
            inner = inner[step]
        if to is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to

    return change


CONTAINER = ("spec", "template", "spec", "containers", 0)
GIT = {  # another value, one more, one less, another order, one whose form is not the server's
    "value": ("config", _at("data", "a", to="2"), CHANGES),
    "more": ("config", _at("data", "b", to="2"), CHANGES),
    "less": ("config", _at("data", "a", to=None), CHANGES),
    "whole": ("config", _at("data", to=None), CHANGES),
    "label": ("account", _at("metadata", "labels", "a", to=None), CHANGES),
    "finalizer": ("config", _at("metadata", "finalizers", to=["example.com/stay"]), CHANGES),
    "string data": ("secret", _at("stringData", to={"password": "pass"}), UNCHANGED),
    "null": ("config", _at("data", "c", to=""), CHANGES),
    "replicas": ("web", _at("spec", "replicas", to=None), UNCHANGED),
    "an item less": ("web", _at(*CONTAINER, "env", 0, to=None), CHANGES),
    "items in another order": (
        "web",
        _at(*CONTAINER, "env", to=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
        CHANGES,
    ),
    "an atomic list": ("web", _at(*CONTAINER, "command", to=["sleep", "2d"]), CHANGES),
    "another form": ("web", _at(*CONTAINER, "resources", "limits", "cpu", to="1000m"), UNCHANGED),
    "a default said": ("server", _at("spec", "ports", 0, "protocol", to="TCP"), UNCHANGED),
    "a rule": ("role", _at("rules", 0, "verbs", to=["get"]), CHANGES),
}


@pytest.mark.parametrize("name", GIT)
def test_what_git_has_otherwise_is_tried(app: App, name: str) -> None:
    which, change, changes = GIT[name]
    body = next(body for body in PARTS if body["metadata"]["name"] == which)
    _deployed(app, body)
    newer = copy.deepcopy(body)
    change(newer)
    assert _told(app, app.wants(newer)[0]) == (TRIED, changes)


DRIFT: dict[str, tuple[str, Body]] = {
    "value": ("config", {"data": {"a": "2"}}),
    "gone": ("config", {"data": {"a": None}}),
    "all gone": ("config", {"data": None}),
    "mark": ("config", {"metadata": {"annotations": {"mooring.dev/id": "x"}}}),
    "password": ("secret", {"data": {"password": "b3RoZXI="}}),
    "replicas": ("web", {"spec": {"replicas": 3}}),
    "affinity": ("server", {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}}),
    "rule": ("role", {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
}


@pytest.mark.parametrize("name", DRIFT)
def test_what_drifted_is_tried(app: App, name: str) -> None:
    which, patch = DRIFT[name]
    item = _deployed(app, next(body for body in PARTS if body["metadata"]["name"] == which))
    app.api.patch(item.kind, app.namespace, which, patch, MERGE_PATCH)
    assert _told(app, item) == (TRIED, CHANGES)


def test_entries_that_say_less_or_more_than_git_prove_nothing(app: App) -> None:
    """Whoever may write the object may write what its managedFields say, too."""
    item = _deployed(app, config_map("config", a="1"))
    live = app.has(item.kind, "config")
    forged = [{**entry, "fieldsV1": {"f:data": {"f:a": {}}}} for entry in live.managed_fields]
    app.api.patch(item.kind, app.namespace, "config", {"metadata": {"managedFields": forged}})
    assert _told(app, item) == (TRIED, UNCHANGED)
    # All that Git says, and one field that it does not: an apply would remove that.
    app.syncs(config_map("config", a="1", b="2"))
    assert _told(app, item) == (TRIED, CHANGES)


def test_an_item_that_is_there_twice_is_not_hidden_by_what_is_said_of_it(app: App) -> None:
    """Of two variables of one name the last one counts, and an apply leaves that of Git."""
    item = _deployed(app, next(body for body in PARTS if body["metadata"]["name"] == "web"))
    live = app.has(item.kind, "web")
    assert live.body is not None
    containers = copy.deepcopy(live.body["spec"]["template"]["spec"]["containers"])
    containers[0]["env"].append({"name": "A", "value": "theirs"})
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    app.api.patch(item.kind, app.namespace, "web", patch, MERGE_PATCH)
    forged = [*live.managed_fields]
    app.api.patch(item.kind, app.namespace, "web", {"metadata": {"managedFields": forged}}, MERGE_PATCH)
    assert _told(app, item) == (TRIED, CHANGES)


def test_what_is_not_applied_or_not_ours_is_tried(app: App) -> None:
    item = _deployed(app, config_map("config", a="1"))
    live = app.has(item.kind, "config")
    merged = app.wants(config_map("config", a="1"), options=["ServerSideApply=false"])[0]
    replaced = app.wants(config_map("config", a="1"), options=["Replace=true"])[0]
    assert not settled(merged, live)
    assert not settled(replaced, live)
    other = app.api.transport.request(
        "PATCH",
        live.kind.path(app.namespace, "theirs"),
        query=[("fieldManager", "kubectl")],
        body={**item.body, "metadata": {**item.body["metadata"], "name": "theirs"}},
        content_type=APPLY_PATCH,
        identity=app.api.identity,
    )
    assert not settled(item, Live.read(live.kind, other.json()))


def test_of_a_plan_only_what_may_differ_is_left_to_be_tried(app: App) -> None:
    app.syncs(*PARTS)
    found = app.plans(*PARTS, config_map("new"))
    whole = [step for group in found.writes for step in group]
    assert len(whole) == len(PARTS) + 1
    observed = without_settled(found)  # of most kinds only the metadata were listed
    assert {step.key.kind for step in observed.kept} == {"Deployment", "Service"}
