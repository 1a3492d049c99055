"""What is said about an app afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Operation, SyncOperation
from mooring.model.status import ApplicationStatus, HealthStatus, OperationState, RevisionHistory
from tests.workers.objects import desired, key, ours
from workers import report
from workers.apply import Applied, Outcome, Result
from workers.health import BUILT_IN, Health, Judge
from workers.health import HealthStatus as Word
from workers.plan import Extra, Notice, Plan, Step, Verb
from workers.report import Seen

NOW, LATER = "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"
COMMIT = "a" * 40
KINDS = ("Helm",)
WEB, SETTINGS, OLD = key("web", "Deployment", "apps"), key("settings"), key("old")


def app(status: ApplicationStatus | None = None, **spec: Any) -> Application:
    found = Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "shop", "namespace": "mooring"},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "source": {"repoURL": "https://git.example.com/shop", "path": "."},
                **spec,
            },
        }
    )
    return found if status is None else found.model_copy(update={"status": status})


AT = Pinned(app().spec.all_sources, (COMMIT,))


def a_plan(
    writes: Sequence[ObjectKey] = (),
    prunes: Sequence[ObjectKey] = (),
    kept: Sequence[ObjectKey] = (),
    refused: Sequence[ObjectKey] = (),
    extras: tuple[Extra, ...] = (),
) -> Plan:
    def steps(verb: Verb, keys: Sequence[ObjectKey]) -> tuple[Step, ...]:
        return tuple(Step(verb, of, desired(of), ours(of), "somebody else's") for of in keys)

    return Plan(
        writes=tuple((step,) for step in steps(Verb.UPDATE, writes)),
        prunes=tuple((Step(Verb.PRUNE, of, None, ours(of)),) for of in prunes),
        kept=steps(Verb.KEEP, kept),
        refused=steps(Verb.REFUSE, refused),
        extras=extras,
        grow={},
        gone=frozenset(),
        notices=(),
    )


def outcome(of: ObjectKey, result: Result, message: str = "") -> Outcome:
    item = None if result is Result.PRUNED else desired(of)
    return Outcome(of, "v1", result, message, ours(of), item)


def state(phase: str = "Running", started: str = NOW) -> OperationState:
    operation = Operation(sync=SyncOperation(revision=COMMIT))
    return report.running(operation, AT, started).model_copy(update={"phase": phase})


def test_after_an_apply_every_wanted_object_is_told() -> None:
    found = a_plan(writes=[WEB], kept=[SETTINGS], refused=[OLD])
    applied = Applied(
        (outcome(WEB, Result.FAILED), outcome(SETTINGS, Result.UNCHANGED), outcome(OLD, Result.FAILED))
    )
    seen = {item.desired.key: item.synced for item in report.seen_after_apply(found, applied)}
    assert seen == {WEB: False, SETTINGS: True, OLD: False}


def test_an_app_is_synced_when_all_is_and_nothing_is_left_over() -> None:
    seen = [Seen(desired(WEB), ours(WEB), True)]
    ok = report.status(app(), AT, KINDS, seen, (), (), None, NOW)
    assert ok.sync is not None
    assert (ok.sync.status, ok.sync.revision, ok.source_type) == ("Synced", COMMIT, "Helm")
    extra = Extra(OLD, ours(OLD), "left Git")
    left = report.status(app(), AT, KINDS, seen, [extra], (), None, NOW)
    assert left.sync is not None
    assert left.sync.status == "OutOfSync"
    assert [r.requires_pruning for r in left.resources if r.name == "old"] == [True]
    drifted = report.status(app(), AT, KINDS, [Seen(desired(WEB), None, False)], (), (), None, NOW)
    assert drifted.sync is not None
    assert drifted.sync.status == "OutOfSync"
    assert drifted.health.status == "Missing"


def test_a_health_that_stays_keeps_its_time() -> None:
    before = ApplicationStatus(health=HealthStatus(status="Healthy", last_transition_time=NOW))
    after = report.status(
        app(before), AT, KINDS, [Seen(desired(SETTINGS), ours(SETTINGS), True)], (), (), None, LATER
    )
    assert after.health.last_transition_time == NOW
    missing = report.status(app(before), AT, KINDS, [Seen(desired(WEB), None, False)], (), (), None, LATER)
    assert missing.health.last_transition_time == LATER


def test_where_only_a_health_has_moved_all_else_stands() -> None:
    seen = [Seen(desired(WEB), ours(WEB), True), Seen(desired(SETTINGS), ours(SETTINGS), True)]
    before = report.status(app(), AT, KINDS, seen, (), [Notice("SyncWarning", "old")], None, NOW)
    moved = report.with_health(app(before), {WEB: Health(Word.DEGRADED, "no image")}, LATER)
    assert (moved.health.status, moved.health.last_transition_time) == ("Degraded", LATER)
    told = {one.name: one.health.message for one in moved.resources if one.health}
    assert told == {"web": "no image"}
    same = {"health": before.health, "resources": before.resources}
    assert moved.model_copy(update=same) == before


PAUSED = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"paused": True}}
DISK = key("disk", "PersistentVolumeClaim")
LOST = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Lost"}}
CHILD = key("child", "Application", "argoproj.io")


def health(*seen: Seen, extras: Sequence[Extra] = (), judge: Judge = BUILT_IN) -> str:
    """That of an app with these objects, as their parts are told."""
    return report.status(app(), AT, KINDS, seen, extras, (), None, NOW, (), judge).health.status


def there(of: ObjectKey, body: dict[str, Any], **more: Any) -> Seen:
    return Seen(desired(of), ours(of, body=body, **more), True)


def test_an_app_is_as_healthy_as_the_worst_of_its_objects() -> None:
    assert health() == "Healthy"
    assert health(there(WEB, PAUSED)) == "Suspended"
    assert health(there(WEB, PAUSED), there(DISK, LOST)) == "Degraded"
    assert health(there(WEB, PAUSED), Seen(desired(DISK), None, False)) == "Suspended"  # OutOfSync says it
    assert health(Seen(desired(WEB), None, False), Seen(desired(DISK), None, False)) == "Missing"


def test_what_has_left_git_counts_while_it_is_there() -> None:
    left = Extra(DISK, ours(DISK, body=LOST), "left Git")
    assert health(there(WEB, PAUSED), extras=[left]) == "Degraded"
    assert health(Seen(desired(WEB), None, False), extras=[left]) == "Degraded"


@pytest.mark.parametrize("domain", ["argocd.argoproj.io", "mooring.dev"])
def test_an_object_may_say_that_its_health_does_not_count(domain: str) -> None:
    quiet = there(DISK, LOST, annotations={f"{domain}/ignore-healthcheck": "true"})
    assert health(there(WEB, PAUSED), quiet) == "Suspended"
    assert health(quiet) == "Healthy"
    (told,) = report.status(app(), AT, KINDS, [quiet], (), (), None, NOW).resources
    assert told.health is None
    loud = there(DISK, LOST, annotations={f"{domain}/ignore-healthcheck": "false"})
    assert health(loud) == "Degraded"


class Says:
    """An installation in which Applications have this health."""

    problems: Mapping[str, str] = MappingProxyType({})

    def __init__(self, status: Word) -> None:
        self._health = Health(status)

    def judges(self, group: str, kind: str) -> bool:
        return kind == "Application"

    def assess(self, body: dict[str, Any]) -> Health | None:
        return self._health if self.judges("", body["kind"]) else None

    def of(self, cluster: str) -> Says:
        return self


def test_an_application_among_the_objects_counts_where_it_is_known_and_another() -> None:
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"}
    child, itself = there(CHILD, body), there(replace(CHILD, namespace="mooring", name="shop"), body)
    assert health(child, judge=Says(Word.DEGRADED)) == "Degraded"
    assert health(child, judge=Says(Word.UNKNOWN)) == "Healthy"
    assert health(child, judge=Says(Word.MISSING)) == "Healthy"
    assert health(itself, judge=Says(Word.DEGRADED)) == "Healthy"


def test_what_could_not_be_compared_is_unknown_and_nothing_is_forgotten() -> None:
    good = report.status(app(), AT, KINDS, [Seen(desired(WEB), ours(WEB), True)], (), (), None, NOW)
    bad = report.failed_status(app(good), [Notice("ComparisonError", "broken")], None, LATER)
    assert bad.sync is not None
    assert (bad.sync.status, bad.sync.revision) == ("Unknown", COMMIT)
    assert bad.resources == good.resources
    assert [condition.message for condition in bad.conditions] == ["broken"]


def test_of_a_status_all_is_told_that_there_is_something_to_tell_of() -> None:
    seen = [Seen(desired(WEB), ours(WEB), True)]
    told = report.status(app(), AT, KINDS, seen, (), [Notice("SyncError", "no")], state("Succeeded"), NOW)
    marked = ours(SETTINGS, annotations={"link.argocd.argoproj.io/docs": "https://docs.example.com"})
    linked = report.status(app(), AT, KINDS, [Seen(desired(SETTINGS), marked, True)], (), (), None, NOW)
    assert {field.alias for field in ApplicationStatus.model_fields.values()} - {
        *told.to_dict(),
        *linked.to_dict(),
    } == {"sourceTypes", "observedAt", "resourceHealthSource", "controllerNamespace", "sourceHydrator"}


def test_a_finished_operation_has_an_outcome_for_every_object() -> None:
    kept = Extra(OLD, ours(OLD), "its sync option Prune=false keeps it")
    applied = Applied((outcome(WEB, Result.CONFIGURED), outcome(SETTINGS, Result.PRUNED)))
    found = a_plan(writes=[WEB], prunes=[SETTINGS], extras=(kept,))
    done = report.finished(state(), AT, found, applied, LATER)
    assert (done.phase, done.finished_at) == ("Succeeded", LATER)
    assert done.sync_result is not None
    assert {r.name: r.status for r in done.sync_result.resources} == {
        "web": "Synced",
        "settings": "Pruned",
        "old": "PruneSkipped",
    }


def test_a_failed_operation_names_what_failed() -> None:
    failed = [outcome(key(f"c{n}"), Result.FAILED, "no such field") for n in range(5)]
    done = report.finished(state(), AT, a_plan(), Applied(tuple(failed)), LATER)
    assert done.phase == "Failed"
    assert "ConfigMap shop/c0: no such field" in done.message
    assert done.message.endswith("and 2 more")


def test_what_a_failure_kept_from_pruning_is_left_over() -> None:
    extra = Extra(SETTINGS, ours(SETTINGS), "left Git")
    found = a_plan(writes=[WEB], prunes=[OLD], extras=(extra,))
    left = report.left_over(found, Applied((outcome(WEB, Result.FAILED),)))
    assert {one.key for one in left} == {SETTINGS, OLD}
    skipped = Outcome(OLD, "v1", Result.SKIPPED, "changed meanwhile", ours(OLD))
    assert {one.key: one.reason for one in report.left_over(found, Applied((skipped,)))} == {
        SETTINGS: "left Git",
        OLD: "changed meanwhile",
    }
    assert {one.key for one in report.left_over(found, Applied((outcome(OLD, Result.PRUNED),)))} == {SETTINGS}


def test_history_tells_each_success_once_and_no_more_than_asked_for() -> None:
    done = state("Succeeded")
    first = report.status(app(), AT, KINDS, (), (), (), done, NOW)
    assert [(item.id, item.revision) for item in first.history] == [(0, COMMIT)]
    again = report.status(app(first), AT, KINDS, (), (), (), done, LATER)
    assert again.history == first.history
    running = report.status(app(first), AT, KINDS, (), (), (), state("Running", LATER), LATER)
    assert running.history == first.history
    many = ApplicationStatus(
        history=tuple(RevisionHistory(id=n, deployed_at=NOW, revision=str(n)) for n in range(5, 15))
    )
    assert [item.id for item in report.status(app(many), AT, KINDS, (), (), (), done, NOW).history] == list(
        range(6, 16)
    )
    short = report.status(app(many, revisionHistoryLimit=2), AT, KINDS, (), (), (), done, NOW)
    assert [item.id for item in short.history] == [14, 15]
    none = report.status(app(many, revisionHistoryLimit=0), AT, KINDS, (), (), (), done, NOW)
    assert none.history == ()


def test_links_are_shown_as_they_are_and_gone_with_their_object() -> None:
    marked = ours(SETTINGS, annotations={"link.argocd.argoproj.io/docs": "https://docs.example.com"})
    told = report.status(app(), AT, KINDS, [Seen(desired(SETTINGS), marked, True)], (), (), None, NOW)
    assert told.summary.external_urls == ("https://docs.example.com",)
    missing = report.status(app(), AT, KINDS, [Seen(desired(SETTINGS), None, False)], (), (), None, NOW)
    assert missing.summary.external_urls == ()


def test_images_of_pods_and_of_what_makes_pods_are_shown() -> None:
    pod = {"containers": [{"image": "a"}], "initContainers": [{"image": "b"}]}
    bodies = [
        {"kind": "Pod", "spec": pod},
        {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "c"}]}}}},
        {
            "kind": "CronJob",
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "d"}]}}}}},
        },
    ]
    assert report._images(bodies) == {"a", "b", "c", "d"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "template", "jobTemplate", "containers", "initContainers", "image"]),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.just("spec"), anything), st.sampled_from(["CronJob", "Widget"]))
def test_no_custom_resource_makes_reporting_fail(body: dict[str, Any], kind: str) -> None:
    item = replace(desired(WEB), body={**body, "kind": kind})
    found = report.status(app(), AT, KINDS, [Seen(item, None, False)], (), (), None, NOW)
    assert found.sync is not None
