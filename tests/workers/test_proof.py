"""What proves that an object has not drifted, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.names import APPLYSET_PART_OF, REFRESH, STATE
from mooring.store.proofs import Proof
from tests.workers.objects import key, managed, ours
from workers.cluster.live import Live
from workers.proof import counted, due_again, mark, proves, record, told_by_metadata

WEB = key("web", "Deployment", "apps")
LIVE = ours(WEB)
WEB_KIND = LIVE.kind
PROOF = record("body", "v1.37.2", LIVE)
LATER = replace(LIVE, resource_version="43")  # status has moved


def holds(live: Live, proof: Proof | None = PROOF, body: str = "body", schema: str = "v1.37.2") -> bool:
    return proves(proof, body, schema, live)


def test_the_very_version_that_was_recorded_is_proof() -> None:
    assert holds(LIVE)
    without_generation = replace(LIVE, generation=None)
    assert holds(without_generation, record("body", "v1.37.2", without_generation))


def test_a_status_that_moved_is_no_drift() -> None:
    assert holds(LATER)
    noted = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}
    assert holds(replace(LATER, managed_fields=(*LIVE.managed_fields, noted)))


def test_the_status_of_an_application_is_told_from_an_edit_and_yet_proves_nothing() -> None:
    child = replace(ours(key("child", "Application", "argoproj.io")), generation=1)
    proof = record("body", "v1.37.2", child)
    status = managed(STATE, operation="Update")
    fields = (*child.managed_fields, status)
    annotations = {**child.annotations, STATE: "{}", REFRESH: "hard"}
    moved = replace(
        child, resource_version="43", generation=2, annotations=annotations, managed_fields=fields
    )

    def as_left(live: Live) -> bool:
        assert told_by_metadata(live) and not counted(live)
        return mark(record("", "", live), counted=True) == mark(proof, counted=True)

    assert as_left(moved) and not holds(moved, proof)
    assert not as_left(replace(moved, labels={**moved.labels, "more": "x"}))
    assert not as_left(replace(moved, annotations={**annotations, "more": "x"}))
    assert not as_left(replace(moved, managed_fields=(managed(), status))), "a field of ours is another's"


def test_the_time_of_our_entry_is_no_drift() -> None:
    touched = managed(APPLYSET_PART_OF) | {"time": "2027-01-01T00:00:00Z"}
    assert holds(replace(LATER, managed_fields=(touched,)))


def test_a_rollout_that_its_controller_counts_is_no_drift_unless_git_sets_the_count() -> None:
    counted = {**LIVE.annotations, "deployment.kubernetes.io/revision": "1"}
    assert holds(replace(LATER, annotations=counted))
    assert not holds(replace(LATER, annotations={**counted, "more": "x"}))

    fields: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}
    entry = managed(APPLYSET_PART_OF) | {"fieldsV1": fields}
    from_git = replace(LIVE, annotations=counted, managed_fields=(entry,))
    proof = record("body", "v1.37.2", from_git)
    moved = {**counted, "deployment.kubernetes.io/revision": "2"}
    assert holds(replace(from_git, resource_version="43"), proof)
    assert not holds(replace(from_git, resource_version="43", annotations=moved), proof)


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 4},
        {"generation": None},
        {"generation": 0},
        {"labels": {}},
        {"labels": {**LIVE.labels, "more": "x"}},
        {"annotations": {}},
        {"finalizers": ("x/y",)},
        {"owner_references": ({"kind": "ConfigMap", "name": "owner", "uid": "1"},)},
        {"managed_fields": ()},
        {"managed_fields": (managed(APPLYSET_PART_OF, "more"),)},
        {"managed_fields": (*LIVE.managed_fields, managed("more", operation="Update"))},
    ],
)
def test_anything_else_that_moved_is_looked_at(change: dict[str, Any]) -> None:
    assert not holds(replace(LATER, **change))


def test_a_kind_without_generation_is_proved_by_its_version_alone() -> None:
    config = replace(ours(key("settings")), generation=None)
    proof = record("body", "v1.37.2", config)
    assert holds(config, proof)
    assert not holds(replace(config, resource_version="43"), proof)


def test_a_kind_whose_status_is_not_written_by_itself_is_proved_by_its_version_alone() -> None:
    """Its generation may stand still whatever is written, as that of a PriorityClass does."""
    kind = replace(WEB_KIND, subresources=frozenset())
    assert holds(replace(LIVE, kind=kind))
    assert not holds(replace(LATER, kind=kind))


@pytest.mark.parametrize("live", [LIVE, LATER])
def test_another_body_schema_or_object_is_never_proved(live: Live) -> None:
    assert not holds(live, body="another")
    assert not holds(live, schema="v1.38.0")
    assert not holds(replace(live, uid="made anew"))
    assert not holds(live, proof=None)


@given(
    st.builds(Proof, *[st.text(max_size=3)] * 4, st.integers(0, 4), st.text(max_size=3), st.text(max_size=3))
)
def test_no_made_up_record_proves_anything(proof: Proof) -> None:
    assert not holds(LIVE, proof)


def test_the_order_of_labels_is_no_change() -> None:
    labels = {"a": "1", "b": "2", **LIVE.labels}
    one, other = replace(LIVE, labels=labels), replace(LATER, labels=dict(reversed(labels.items())))
    assert holds(other, record("body", "v1.37.2", one))


KEYS = [key(f"config-{number}") for number in range(2000)]


@pytest.mark.parametrize("every", [60.0, 180.0, 300.0, 3600.0, 43_200.0, 86_400.0, 1e6])
@given(start=st.floats(0, 4e9))
def test_whatever_is_proved_each_object_is_asked_about_once_a_day(every: float, start: float) -> None:
    looks = max(1, round(86_400 / every))
    start = start // every * every + every / 2  # reconciliations that come when they shall
    for one in KEYS[:5]:
        assert sum(due_again(one, start + look * every, every) for look in range(looks)) == 1


def test_each_reconciliation_has_its_share_of_all_objects() -> None:
    shares = [sum(due_again(one, look * 180.0 + 90.0, 180.0) for one in KEYS) for look in range(480)]
    assert sum(shares) == len(KEYS)
    assert max(shares) < 30


def test_a_mark_stands_for_what_is_proved() -> None:
    plain = replace(WEB_KIND, subresources=frozenset())
    for was in (LIVE, replace(LIVE, generation=None), replace(LIVE, kind=plain)):
        for now in (
            was,
            replace(was, resource_version="43"),
            replace(was, resource_version="43", uid="another"),
            replace(was, resource_version="43", generation=9),
            replace(was, resource_version="43", labels={}),
            replace(was, resource_version="43", managed_fields=()),
        ):
            marks = {mark(record("", "", live), counted=counted(was)) for live in (was, now)}
            assert holds(now, record("body", "v1.37.2", was)) == (len(marks) == 1)
