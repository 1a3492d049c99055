"""What others have set on objects that are ours, on a real API server: told, and taken off where it is
drift."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from mooring.errors import ClusterUnavailable
from mooring.keys import AppKey
from mooring.model.spec import IgnoreDifference
from mooring.settings import Settings
from tests.stories.ship import until
from tests.workers.test_apply import CONFIG_MAP, DEPLOYMENT, App, config_map, deployment, manifest
from workers.apply import Outcome, Result
from workers.applyset.inventory import Inventory
from workers.cluster.api import MERGE_PATCH, Api
from workers.cluster.kinds import Kind
from workers.compare import Compared, compare
from workers.desired import desired
from workers.foreign import Foreign, foreign
from workers.ignore.ignored import ignoring

pytestmark = pytest.mark.cluster

STRATEGIC = "application/strategic-merge-patch+json"
DRIFT = {"mooring.dev/compare-options": "ForeignFields=drift"}


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def strict(body: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """`body`, of which foreign fields are drift."""
    return {**body, "metadata": {**body["metadata"], "annotations": {**DRIFT, **annotations}}}


def meddle(
    app: App,
    kind: Kind,
    name: str,
    patch: Any,
    how: str = MERGE_PATCH,
    *,
    manager: str = "meddler",
    subresource: str = "",
) -> None:
    path = kind.path(app.namespace, name) + (f"/{subresource}" if subresource else "")
    app.api.transport.request(
        "PATCH",
        path,
        query=[("fieldManager", manager)],
        body=patch,
        content_type=how,
        identity=app.api.identity,
    )


def told(app: App, kind: Kind, name: str) -> dict[str, str]:
    """The foreign fields of an object, each with its manager."""
    return {one.field: one.manager for one in foreign(app.has(kind, name))}


def compared(app: App, *bodies: dict[str, Any]) -> Compared:
    """As a worker has it, who looks again later where an object is in the midst of a rollout."""
    for _ in range(60):
        with suppress(ClusterUnavailable):
            return compare(app.plans(*bodies), app.api, app.executor, lambda _: "")
        time.sleep(0.5)
    raise AssertionError("the objects keep changing")


def outcome(app: App, *bodies: dict[str, Any]) -> Outcome:
    return app.syncs(*bodies).outcomes[0]


def test_what_others_set_is_told_with_who_and_when_and_without_values(app: App) -> None:
    app.syncs(config_map("a", ours="1"), deployment("web", env=[{"name": "A", "value": "1"}]))
    assert foreign(app.has(CONFIG_MAP, "a")) == ()
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "hunter2"}, "metadata": {"labels": {"team": "sea"}}})
    found = foreign(app.has(CONFIG_MAP, "a"))
    assert {one.field for one in found} == {"data.theirs", "metadata.labels.team"}
    assert {(one.manager, one.operation) for one in found} == {("meddler", "Update")}
    assert all(one.time.endswith("Z") for one in found)
    assert "hunter2" not in repr(found)
    container = {
        "name": "main",
        "env": [{"name": "B", "value": "2"}],
        "securityContext": {"privileged": True},
    }
    sidecar = {"name": "side", "image": "registry.k8s.io/pause:3.10", "args": ["x"]}
    spec = {"template": {"spec": {"containers": [container, sidecar], "nodeSelector": {"disk": "ssd"}}}}
    meddle(app, DEPLOYMENT, "web", {"spec": spec}, STRATEGIC)
    where = "spec.template.spec"
    assert told(app, DEPLOYMENT, "web") == dict.fromkeys(
        (
            f"{where}.containers[name=main].env[name=B]",
            f"{where}.containers[name=main].securityContext",
            f"{where}.containers[name=side]",
            f"{where}.nodeSelector",
        ),
        "meddler",
    )


def test_what_kubernetes_writes_is_scaled_or_marked_is_nothing_foreign(app: App) -> None:
    body = deployment("web")
    del body["spec"]["replicas"]
    app.syncs(body)
    meddle(app, DEPLOYMENT, "web", {"spec": {"replicas": 2}}, subresource="scale")
    meddle(app, DEPLOYMENT, "web", {"status": {"replicas": 7}}, subresource="status")
    metadata = {
        "finalizers": ["example.com/stay"],
        "annotations": {
            "deployment.kubernetes.io/revision": "7",
            "argocd.argoproj.io/tracking-id": "x",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    }
    meddle(app, DEPLOYMENT, "web", {"metadata": metadata})
    assert told(app, DEPLOYMENT, "web") == {}
    meddle(app, DEPLOYMENT, "web", {"metadata": {"finalizers": None}})


_PODS: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]},
}
_ONCE = {**_PODS, "spec": {**_PODS["spec"], "restartPolicy": "Never"}}
_CHOSEN = {"matchLabels": {"app": "x"}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CONTROLLED: list[dict[str, Any]] = [
    {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"selector": _CHOSEN, "template": _PODS}},
    {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "spec": {"selector": _CHOSEN, "serviceName": "x", "template": _PODS},
    },
    {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": _CHOSEN, "template": _PODS}},
    {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": _ONCE}},
    {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": _ONCE}}},
    },
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": _CLAIM},
    {"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "ServiceAccount"},
    {"apiVersion": "v1", "kind": "Pod", "spec": _PODS["spec"]},
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
        },
    },
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"selector": _CHOSEN, "minAvailable": 1},
    },
]


def test_controllers_of_kubernetes_leave_nothing_foreign(app: App) -> None:
    bodies = [{**body, "metadata": {"name": "x"}} for body in CONTROLLED]
    app.syncs(*bodies)
    deadline = time.monotonic() + 30
    waiting = {"DaemonSet", "Deployment", "Job", "Pod", "StatefulSet"}
    while waiting and time.monotonic() < deadline:  # until each controller has written something
        for item in app.wants(*bodies):
            entries = app.has(item.kind, "x").managed_fields
            if any(entry["manager"] != "mooring" for entry in entries):
                waiting.discard(item.key.kind)
        time.sleep(0.1)
    assert waiting == set()
    found = {item.key.kind: told(app, item.kind, "x") for item in app.wants(*bodies)}
    assert found == {body["kind"]: {} for body in bodies}


def test_foreign_fields_are_no_drift_unless_that_is_asked_for(app: App) -> None:
    body = config_map("a", ours="1")
    app.syncs(body)
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "1"}})
    found = compared(app, body)
    assert (found.differences, found.notices) == ((), ())
    assert outcome(app, body).result is Result.UNCHANGED
    assert app.data("a") == {"ours": "1", "theirs": "1"}


def test_as_drift_they_are_told_shown_and_taken_off(app: App) -> None:
    body = strict(config_map("a", ours="1"))
    app.syncs(body)
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "1"}, "metadata": {"labels": {"team": "sea"}}})

    found = compared(app, body)
    (difference,) = found.differences
    assert found.drifted == {difference.key}
    assert found.proofs == {}
    assert _data(difference.before) == {"ours": "1", "theirs": "1"}
    assert _data(difference.after) == {"ours": "1"}
    (notice,) = found.notices
    assert notice.type == "ForeignFields"
    assert "data.theirs, set by meddler" in notice.message
    assert "metadata.labels.team, set by meddler" in notice.message

    done = outcome(app, body)
    assert done.result is Result.CONFIGURED
    assert "freed of " in done.message
    assert "data.theirs, set by meddler" in done.message
    live = app.has(CONFIG_MAP, "a")
    assert app.data("a") == {"ours": "1"}
    assert "team" not in live.labels
    assert foreign(live) == ()
    found = compared(app, body)
    assert (found.differences, found.notices, len(found.proofs)) == ((), (), 1)


def test_a_change_of_git_and_what_others_set_go_in_one_sync(app: App) -> None:
    app.syncs(strict(config_map("a", ours="1")))
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "1"}})
    newer = strict(config_map("a", ours="2"))
    (difference,) = compared(app, newer).differences
    assert _data(difference.after) == {"ours": "2"}
    assert outcome(app, newer).result is Result.CONFIGURED
    assert app.data("a") == {"ours": "2"}


def test_an_item_of_a_list_goes_as_a_whole_and_the_others_stay(app: App) -> None:
    body = strict(deployment("web", env=[{"name": "A", "value": "1"}]))
    app.syncs(body)
    spec = {
        "revisionHistoryLimit": 3,
        "template": {
            "spec": {
                "containers": [
                    {"name": "side", "image": "registry.k8s.io/pause:3.10"},
                    {"name": "main", "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]},
                ],
                "nodeSelector": {"disk": "ssd"},
            }
        },
    }
    meddle(app, DEPLOYMENT, "web", {"spec": spec}, STRATEGIC)
    (difference,) = compared(app, body).differences
    assert difference.after is not None
    assert difference.after["spec"]["revisionHistoryLimit"] == 10  # what the server itself fills in
    assert "freed of " in outcome(app, body).message
    live = app.has(DEPLOYMENT, "web")
    assert live.body is not None
    pods = live.body["spec"]["template"]["spec"]
    assert [one["name"] for one in pods["containers"]] == ["main"]
    assert pods["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert "nodeSelector" not in pods
    assert live.body["spec"]["revisionHistoryLimit"] == 10
    assert compared(app, body).differences == ()


def test_status_finalizers_marks_and_scale_survive_it(app: App) -> None:
    body = strict(deployment("web"))
    del body["spec"]["replicas"]
    app.syncs(body)
    meddle(app, DEPLOYMENT, "web", {"spec": {"replicas": 2}}, subresource="scale")
    meddle(app, DEPLOYMENT, "web", {"spec": {"paused": True}})
    meddle(app, DEPLOYMENT, "web", {"metadata": {"finalizers": ["example.com/stay"]}})
    before = app.has(DEPLOYMENT, "web")
    # Its controller writes its status meanwhile: then it is tried again, as a worker does.
    until("it to be freed", lambda: "freed of spec.paused, set by meddler" in outcome(app, body).message)
    live = app.has(DEPLOYMENT, "web")
    assert live.body is not None
    assert live.body["spec"]["replicas"] == 2
    assert "paused" not in live.body["spec"]
    assert live.finalizers == before.finalizers == ("example.com/stay",)
    assert live.labels == before.labels
    assert live.annotations["mooring.dev/id"] == before.annotations["mooring.dev/id"]
    meddle(app, DEPLOYMENT, "web", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("option", ["ServerSideApply=false", "Replace=true"])
def test_it_goes_by_whatever_way_the_object_is_written(app: App, option: str) -> None:
    body = strict(config_map("a", ours="1"), **{"argocd.argoproj.io/sync-options": option})
    app.syncs(body)
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "1"}})
    assert len(compared(app, body).differences) == 1
    app.syncs(body)
    assert app.data("a") == {"ours": "1"}
    assert compared(app, body).differences == ()


@pytest.mark.parametrize(
    "rule",
    [{"jsonPointers": ["/data/theirs"]}, {"managedFieldsManagers": ["meddler"]}],
    ids=["path", "manager"],
)
def test_what_is_ignored_is_neither_told_nor_taken_off(
    app: App, rule: Mapping[str, Any], tmp_path: Any
) -> None:
    written = IgnoreDifference.model_validate({"group": "*", "kind": "*", **rule})
    ignore = ignoring([written], Settings.from_env({"MOORING_STATE_DIR": str(tmp_path)}))
    body = strict(config_map("a", ours="1"))
    app.syncs(body)
    meddle(app, CONFIG_MAP, "a", {"data": {"theirs": "1"}})
    find = app.api.discovery.find
    (item,), _ = desired([manifest(body)], find, app.namespace, (), app.stamping, ignore)
    found = app.plans(body)
    (step,) = (step for group in found.writes for step in group)
    ignoring_plan = replace(found, writes=((replace(step, desired=item),),))
    assert compare(ignoring_plan, app.api, app.executor, lambda _: "").differences == ()
    app.applies(ignoring_plan)
    assert app.data("a") == {"ours": "1", "theirs": "1"}


def test_an_object_may_keep_them_where_its_application_does_not(app: App) -> None:
    kept = {"mooring.dev/compare-options": "ForeignFields=keep"}
    bodies = [config_map("a"), strict(config_map("b"), **kept)]
    find = app.api.discovery.find
    items, _ = desired([manifest(b) for b in bodies], find, app.namespace, (), app.stamping, foreign=True)
    assert [item.foreign_is_drift for item in items] == [True, False]


def test_what_managers_are_called_clears_no_screen(app: App) -> None:
    app.syncs(config_map("a"))
    live = app.has(CONFIG_MAP, "a")
    entry = {**live.managed_fields[0], "manager": "x\x1b[2J", "fieldsV1": {"f:data": {"f:a": {}}}}
    forged = Foreign(("data", "a"), "data.a", "x\\x1b[2J", "Apply", entry["time"])
    assert foreign(replace(live, managed_fields=(entry,), body={**(live.body or {}), "data": {"a": ""}})) == (
        forged,
    )


def _data(body: Mapping[str, Any] | None) -> Any:
    assert body is not None
    return body["data"]
