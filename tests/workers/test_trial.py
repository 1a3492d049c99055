"""What a sync would write, tried on a real API server before any of it is written."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from mooring.errors import ClusterRefused
from mooring.keys import AppKey
from mooring.model.status import OperationState
from tests.definitions import definition
from tests.workers.test_apply import CONFIG_MAP, App, config_map, deployment, replace_key
from tests.workers.test_write import OPTIONS, claim, job
from workers.apply import Applied
from workers.applyset.inventory import Inventory
from workers.cluster.api import Api
from workers.cluster.connect import Cluster
from workers.cluster.identity import Identity
from workers.cluster.kinds import Kind
from workers.desired import Desired
from workers.schema.openapi import Schemas
from workers.trial import begun, needed, spared, trial

pytestmark = pytest.mark.cluster

BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", namespaced=True)
WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def refusals(app: App, *bodies: dict[str, Any], missing: tuple[str, ...] = ()) -> dict[str, str]:
    """What speaks against a sync of these objects, by their names."""
    found = trial(app.plans(*bodies), app.api, app.executor, app.view, Schemas(), missing)
    return {one.failure.key.name: one.failure.message for one in found if one.failure}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "example.org/main", **spec.pop("container", {})}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def simple(kind: str, name: str, api_version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}


def test_all_bad_objects_are_told_and_nothing_is_written(app: App) -> None:
    app.syncs(config_map("a", n="1"), claim("disk", "1Gi"))
    bad = config_map("bad") | {"data": {"not/a/key": "x"}}
    unknown = deployment("web")
    unknown["spec"]["colour"] = "red"
    bodies = (config_map("a", n="2"), bad, unknown, claim("disk", "1Gi", "ReadWriteMany"))
    found = refusals(app, *bodies)
    assert set(found) == {"bad", "disk"}, "what the schema refuses is merged, as its write would be"
    assert "not/a/key" in found["bad"]
    assert "cannot be changed" in found["disk"]
    assert app.data("a") == {"n": "1"}
    assert app.reads(CONFIG_MAP, "bad") is None


def test_a_trial_that_speaks_against_some_says_of_the_others_that_they_are_spared(app: App) -> None:
    app.syncs(config_map("kept"))
    plan = app.plans(config_map("a"), config_map("bad") | {"data": {"not/a/key": "x"}})
    tried = trial(plan, app.api, app.executor, app.view, Schemas(), ())
    applied = spared(plan, tried)
    assert applied is not None
    assert {one.key.name: (one.result, one.message[:11]) for one in applied.outcomes} == {
        "a": ("skipped", "not written"),
        "bad": ("failed", "app.yaml:1:"),
    }
    good = app.plans(config_map("a"), config_map("b"))
    assert spared(good, trial(good, app.api, app.executor, app.view, Schemas(), ())) is None


def test_what_is_in_a_namespace_or_of_a_kind_that_the_sync_brings_is_not_refused(app: App) -> None:
    group = f"x{secrets.token_hex(5)}.example.com"
    crd = definition(group, "Anchor", {"type": "object", "properties": {}})
    anchor = simple("Anchor", "bow", f"{group}/v1", spec={})
    more = f"{app.namespace}-more"
    inside = config_map("inside")
    inside["metadata"]["namespace"] = more
    definitions = Kind(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
    )
    assert refusals(app, crd, anchor, simple("Namespace", more), inside) == {}
    assert "does not exist" in refusals(app, inside)["inside"]
    assert refusals(app, inside, missing=(more,)) == {}
    # What their schemas certainly refuse is refused all the same.
    wrong = simple("Deployment", "wrong", "apps/v1", spec={"replicas": "3", "template": {}})
    wrong["metadata"]["namespace"] = more
    assert refusals(app, simple("Namespace", more), wrong) == {
        "wrong": "app.yaml:1: spec.replicas: must be an integer, not a string; spec.selector: is missing"
    }
    assert refusals(app, crd, anchor | {"spec": "deep"}) == {
        "bow": "app.yaml:1: spec: must be a mapping, not a string"
    }
    try:
        app.syncs(crd, anchor)
        # The definition learns a field, and its object has it: the server does not know it yet.
        grown = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        grown["properties"] = {"depth": {"type": "integer"}}
        anchor["spec"] = {"depth": 3}
        assert refusals(app, crd, anchor) == {}
        anchor["spec"] = {"depth": "deep"}
        assert "spec.depth: must be an integer" in refusals(app, crd, anchor)["bow"]
    finally:
        left = app.has(definitions, f"anchors.{group}")
        app.api.delete(definitions, left, "background", any_version=True)


def test_a_field_that_does_not_exist_is_a_problem_only_where_it_would_not_be_dropped(app: App) -> None:
    more = f"{app.namespace}-more"
    for options, bad in (
        ("", False),
        ("ServerSideApply=true", True),
        ("ServerSideApply=false", True),
        ("Replace=true", True),
        ("Replace=true,Validate=false", False),
    ):
        body = config_map("a") | {"colour": "red"}
        body["metadata"] |= {"namespace": more, "annotations": {OPTIONS: options}}
        found = refusals(app, body, missing=(more,))
        assert found == ({"a": "app.yaml:1: colour: there is no such field"} if bad else {}), options


def test_what_needs_another_object_of_its_sync_is_judged_when_it_is_written(app: App) -> None:
    runs = pod("web", serviceAccountName="runner")
    assert 'serviceaccount "runner" not found' in refusals(app, runs)["web"]
    assert refusals(app, runs, simple("ServiceAccount", "runner")) == {}

    name = f"high-{secrets.token_hex(4)}"
    high = pod("high", priorityClassName=name)
    assert "PriorityClass" in refusals(app, high)["high"]
    assert refusals(app, high, simple("PriorityClass", name, "scheduling.k8s.io/v1", value=1)) == {}

    def limit(most: str) -> dict[str, Any]:
        return simple("LimitRange", "limit", spec={"limits": [{"type": "Container", "max": {"cpu": most}}]})

    app.syncs(limit("1"))
    big = pod("big", container={"resources": {"limits": {"cpu": "2"}}})
    assert "maximum cpu usage" in refusals(app, big)["big"]
    assert refusals(app, big, limit("3")) == {}


def test_a_role_of_the_same_sync_may_be_bound_by_who_holds_no_more_than_that(
    app: App, connection: Cluster
) -> None:
    who = f"sailor-{secrets.token_hex(4)}"
    admin = {
        "metadata": {"name": "admin", "namespace": app.namespace},
        "roleRef": {"apiGroup": BINDING.group, "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "apiGroup": BINDING.group, "name": who}],
    }
    app.api.create(BINDING, admin)
    role = simple("Role", "reader", f"{BINDING.group}/v1")
    role["rules"] = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    binding = simple("RoleBinding", "readers", f"{BINDING.group}/v1")
    binding |= {
        "roleRef": {"apiGroup": BINDING.group, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": BINDING.group, "name": "anybody"}],
    }
    theirs = replace(app, api=replace(app.api, identity=Identity(user=who)))
    _until_known(theirs)
    assert '"reader" not found' in refusals(theirs, binding)["readers"]
    assert refusals(theirs, binding, role) == {}


def _until_known(app: App) -> None:
    """The API server takes a moment to know of a new binding."""
    for _ in range(200):
        try:
            app.plans(config_map("a"))
            return
        except ClusterRefused:
            time.sleep(0.05)
    raise AssertionError("the binding never came into force")


def test_what_a_webhook_that_does_not_answer_judges_is_judged_when_it_is_written(app: App) -> None:
    name = f"away-{secrets.token_hex(4)}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    webhook = {
        "name": "away.example.org",
        "clientConfig": {"service": {"namespace": app.namespace, "name": "away", "path": "/"}},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": app.namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    made = app.api.create(WEBHOOKS, {"metadata": {"name": name}, "webhooks": [webhook]})
    try:
        assert (
            refusals(app, config_map("a"), simple("Service", "away", spec={"ports": [{"port": 443}]})) == {}
        )
    finally:
        app.api.delete(WEBHOOKS, made, "background", any_version=True)


def test_hooks_are_tried_as_new_objects_and_their_failure_spares_the_rest(app: App) -> None:
    app.syncs(job("prepare", "example.org/a:1"))
    plan = app.plans(config_map("a"))
    good, bad = app.wants(job("prepare", "example.org/a:2"), job("spoilt", ""))

    def tried(*hooks: Desired) -> Applied | None:
        return spared(plan, trial(plan, app.api, app.executor, app.view, Schemas(), (), hooks))

    assert tried(good) is None, "it is deleted before it runs again"
    applied = tried(good, bad)
    assert applied is not None
    assert {one.key.name: one.result for one in applied.outcomes} == {"a": "skipped", "spoilt": "failed"}
    assert "image: Required value" in applied.failures[0].message


def test_what_hooks_may_bring_is_not_refused_for_want_of_it(app: App) -> None:
    plan = app.plans(pod("web", serviceAccountName="runner"))
    hooks = app.wants(job("prepare", "example.org/a:1"))
    for given, refused in (((), True), (hooks, False)):
        tried = trial(plan, app.api, app.executor, app.view, Schemas(), (), given)
        assert (spared(plan, tried) is not None) is refused


def test_the_only_write_of_a_sync_is_its_own_trial(app: App) -> None:
    app.syncs(config_map("a"), config_map("old"))
    one = app.plans(config_map("b"), config_map("old"))
    assert needed(one, alone=True), "another object is pruned, which must not come to nothing"
    fresh = replace_key(app)
    assert not needed(fresh.plans(), alone=False)
    one = fresh.plans(config_map("c"))
    assert not needed(one, alone=True)
    assert needed(one, alone=False), "a namespace is created before it"
    assert needed(fresh.plans(config_map("c"), config_map("d")), alone=True)


def test_an_operation_that_has_written_something_is_not_tried_again() -> None:
    def state(*statuses: str, hook: str = "", message: str = "") -> OperationState:
        one = {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "a"}
        more = {"hookType": hook, "message": message}
        resources = [{**one, "status": status, **more} for status in statuses]
        result = {"revision": "a", "resources": resources}
        raw = {
            "operation": {},
            "phase": "Running",
            "startedAt": "2026-01-01T00:00:00Z",
            "syncResult": result,
        }
        return OperationState.model_validate(raw)

    assert not begun(None)
    assert not begun(state())
    assert not begun(state("SyncFailed"))
    assert begun(state("SyncFailed", "Synced"))
    assert not begun(state("Synced", message="unchanged")), "it was in order before"
    assert begun(state("", hook="PreSync")), "what is written comes after its hooks"


def test_what_has_changed_since_it_was_planned_is_tried_as_it_is_now(app: App) -> None:
    app.syncs(config_map("a"))
    found = app.plans(config_map("a") | {"data": {"no/key": "1"}})
    app.api.patch(CONFIG_MAP, app.namespace, "a", {"metadata": {"labels": {"somebody": "was-here"}}})
    (one,) = trial(found, app.api, app.executor, app.view, Schemas(), ())
    assert one.failure is not None
    assert "no/key" in one.failure.message


def test_what_force_would_create_anew_is_tried_under_another_name(app: App) -> None:
    app.syncs(job("work", "example.org/a:1"))
    forced = job("work", "example.org/a:2", **{"argocd.argoproj.io/sync-options": "Force=true"})
    assert refusals(app, forced) == {}
    bad = job("work", "", **{"argocd.argoproj.io/sync-options": "Force=true,Replace=true"})
    assert "image: Required value" in refusals(app, bad)["work"]
