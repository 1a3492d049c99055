"""What an application waits for, and what of that is worth waking it."""

from __future__ import annotations

from typing import Any

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.finalizers import RESOURCES
from mooring.names import STATE
from workers.apps.state import State
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.health import BUILT_IN, HOOK_FINALIZER
from workers.hooks.judge import outcome
from workers.hooks.results import FAILED
from workers.observer.awaits import Awaits, Seen, awaits, news, seen
from workers.report import APPLYING

DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)
VERSION = "1795"


def key(name: str, group: str = "apps", kind: str = "Deployment") -> ObjectKey:
    return ObjectKey(group, kind, "shop", name)


def resource(name: str, health: str = "", **more: Any) -> dict[str, Any]:
    found = {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
        "namespace": "shop",
        "name": name,
        **more,
    }
    return {**found, "health": {"status": health}} if health else found


def app(
    *resources: dict[str, Any],
    message: str = "",
    health: str = "Healthy",
    deleted: bool = False,
    finalizer: str = RESOURCES,
    state: State | None = None,
    **sync: Any,
) -> Application:
    """With `message`, an operation that runs and says so."""
    status: dict[str, Any] = {"resources": list(resources), "health": {"status": health}}
    if message:
        result = {"revision": "c" * 40, "resources": sync.get("results", [])}
        status["operationState"] = {
            "operation": {"sync": {}},
            "phase": "Running",
            "startedAt": "2026-01-01T00:00:00Z",
            "message": message,
            "syncResult": result,
        }
    metadata: dict[str, Any] = {"name": "app", "namespace": "mooring", "resourceVersion": VERSION}
    if state is not None:
        metadata["annotations"] = {STATE: state.to_json()}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["finalizers"] = [finalizer]
    spec = {
        "project": "default",
        "source": {"repoURL": "https://example.org/r", "path": "."},
        "destination": {"server": "https://kubernetes.default.svc"},
    }
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": metadata,
            "spec": spec,
            "status": status,
        }
    )


def at(name: str, status: str, generation: int = 1) -> Seen:
    return Seen(key(name), f"uid of {name}", generation, status)


def test_an_operation_that_waits_waits_for_what_is_progressing() -> None:
    found = awaits(
        app(
            resource("a", "Healthy"),
            resource("b", "Progressing"),
            resource("later", "Missing"),
            message="waiting for healthy state of apps/Deployment/b",
        )
    )
    assert found == Awaits(frozenset({key("b")}), frozenset(), frozenset(), hurried=True)
    assert found.version == VERSION, "the application is looked at as it was seen then, or later"


def test_nobody_is_woken_while_a_worker_is_at_work_or_a_retry_waits_for_its_time() -> None:
    assert awaits(app(resource("b", "Progressing"), message=APPLYING)) is None
    assert awaits(app(resource("b", "Progressing"), message="trying again in 5 s (attempt 2): no")) is None
    assert awaits(app(resource("b", "Progressing"), health="Healthy")) is None
    assert awaits(app(message="waiting for something that is no object")) is None


def test_an_application_that_progresses_is_in_no_hurry() -> None:
    found = awaits(app(resource("b", "Progressing"), health="Progressing"))
    assert found is not None
    assert (set(found.healthy), found.hurried) == ({key("b")}, False)


def test_hooks_that_run_and_what_is_to_go_are_waited_for_too() -> None:
    job = {"group": "batch", "version": "v1", "kind": "Job", "namespace": "shop"}
    results = [
        {**job, "name": "migrate", "hookType": "PreSync", "hookPhase": "Running"},
        {**job, "name": "before", "hookType": "PreSync", "hookPhase": "Succeeded"},
    ]
    found = awaits(
        app(
            resource("old", "Healthy", requiresPruning=True),
            message="waiting for completion of hook batch/Job/migrate",
            results=results,
        )
    )
    assert found is not None
    assert found.hooks == {key("migrate", "batch", "Job")}
    assert found.leaving == {key("old")}


def test_an_application_that_is_deleted_waits_for_all_of_what_it_has_written_down_to_go() -> None:
    told = State(leaving=f"{key('a')} {key('b')}")
    found = awaits(app(resource("a"), resource("b"), resource("later"), deleted=True, state=told))
    assert found is not None
    assert found == Awaits(frozenset(), frozenset(), frozenset(), going=frozenset({key("a"), key("b")}))
    assert news(found, {}) == frozenset()
    assert news(found, {key("a"): at("a", "")}) == frozenset()
    assert news(found, {key("a"): at("a", ""), key("b"): at("b", "Progressing")}) == frozenset()
    gone = {key(name): at(name, "") for name in ("a", "b")}
    assert news(found, gone) == set(gone.values())
    assert awaits(app(deleted=True, finalizer="example.org/another", state=told)) is None
    assert awaits(app(resource("a"), deleted=True)) is None


def test_or_for_any_of_its_hooks_to_end_or_to_be_gone() -> None:
    hooks = [key(name, "batch", "Job") for name in ("a", "b", "c")]
    found = awaits(app(deleted=True, state=State(hooks=" ".join(map(str, hooks)))))
    assert found is not None
    seen_ = {
        one: Seen(one, "uid", 1, status)
        for one, status in zip(hooks, ("Degraded", "", "Progressing"), strict=True)
    }
    assert {one.key for one in news(found, seen_)} == set(hooks[:2])


def test_what_is_gone_before_it_is_looked_for_is_gone_but_what_is_to_be_healthy_may_yet_come() -> None:
    job = key("job", "batch", "Job")
    waits = Awaits(frozenset({key("a")}), frozenset({job}), frozenset({key("b")}), frozenset({key("c")}))
    assert waits.unlisted(key("a")) is None
    unlisted = {one: seen_ for one in waits.keys if (seen_ := waits.unlisted(one))}
    assert news(waits, unlisted) == {Seen(one, "", 0, "") for one in (job, key("b"), key("c"))}


def test_what_hooks_have_left_is_not_waited_for_to_be_healthy() -> None:
    left = resource("migrate", "Progressing", hook=True)  # such as one that is being deleted
    found = awaits(app(left, resource("b", "Progressing"), health="Progressing"))
    assert found is not None
    assert found.healthy == {key("b")}


def test_a_hook_that_somebody_deletes_while_it_runs_has_ended() -> None:
    body: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "migrate",
            "namespace": "shop",
            "uid": "uid",
            "generation": 1,
            "finalizers": [HOOK_FINALIZER],
        },
    }
    job = Kind("batch", "v1", "Job", "jobs", namespaced=True)
    assert not seen(Live.read(job, body)).settled
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert seen(Live.read(job, body)).settled
    assert outcome(Live.read(job, body))[0] == FAILED, "as whoever is woken by that has it"
    body["metadata"]["finalizers"] = ["foregroundDeletion"]
    assert not seen(Live.read(job, body)).settled


def test_what_somebody_has_written_there_that_names_nothing_is_passed_over() -> None:
    found = awaits(app(deleted=True, state=State(leaving=f"a/b //// {key('a')}", hooks="?")))
    assert found is not None
    assert found.keys == {key("a")}


def test_secrets_and_configmaps_are_never_looked_for_and_other_kinds_where_they_may_be_gone() -> None:
    secret, config, account, door = (
        ObjectKey("", kind, "shop", "a") for kind in ("Secret", "ConfigMap", "ServiceAccount", "Service")
    )
    every = frozenset({secret, config, account, door})
    for waits in (
        Awaits(frozenset(), every, frozenset()),
        Awaits(frozenset(), frozenset(), every),
        Awaits(frozenset(), frozenset(), frozenset(), every),
    ):
        assert {one for one in every if waits.seeable(one, BUILT_IN)} == {account, door}
    health = Awaits(every, frozenset(), frozenset())
    assert {one for one in every if health.seeable(one, BUILT_IN)} == {door}


def test_a_wave_goes_on_once_all_of_it_is_healthy() -> None:
    waits = Awaits(frozenset({key("a"), key("b")}), frozenset(), frozenset(), hurried=True)
    healthy = {key("a"): at("a", "Healthy")}
    assert news(waits, {}) == frozenset()
    assert news(waits, healthy) == frozenset()
    assert news(waits, healthy | {key("b"): at("b", "Progressing")}) == frozenset()
    assert news(waits, healthy | {key("b"): at("b", "Healthy")}) == {at("a", "Healthy"), at("b", "Healthy")}


def test_a_wave_has_failed_once_one_of_it_has_or_is_gone() -> None:
    waits = Awaits(frozenset({key("a"), key("b")}), frozenset(), frozenset(), hurried=True)
    for ended in ("Degraded", "Suspended", ""):
        assert news(waits, {key("a"): at("a", ended)}) == {at("a", ended)}


def test_the_same_seen_of_another_generation_is_news() -> None:
    waits = Awaits(frozenset({key("a")}), frozenset(), frozenset(), hurried=True)
    assert news(waits, {key("a"): at("a", "Healthy", 1)}) != news(waits, {key("a"): at("a", "Healthy", 2)})


def test_of_an_object_its_health_is_kept_and_a_kind_that_has_none_is_healthy_when_it_is_there() -> None:
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "shop", "uid": "uid of a", "generation": 2},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }
    behind = Live.read(DEPLOYMENT, body)
    assert seen(behind) == at("a", "Progressing", 2)
    body["status"] = {**body["status"], "observedGeneration": 2}
    assert seen(Live.read(DEPLOYMENT, body)) == at("a", "Healthy", 2)
    assert seen(behind, gone=True) == at("a", "", 2)
    config_map = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
    there: dict[str, Any] = {"metadata": {"name": "c", "namespace": "shop"}}
    assert seen(Live.read(config_map, there)).status == "Healthy"
    assert seen(Live.read(config_map, there, metadata_only=True)).status == "Healthy"
    there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert seen(Live.read(config_map, there)).status == "Progressing"
    assert seen(Live.read(config_map, there, metadata_only=True)).status == "Progressing"
