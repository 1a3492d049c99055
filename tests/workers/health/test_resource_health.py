"""The table of cases, and what holds for every object."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workers.health import KINDS_WITH_HEALTH, Health, HealthStatus, assess, worst

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_health_is_as_the_table_says(case: dict[str, Any]) -> None:
    expected = (
        None if case["status"] is None else Health(HealthStatus(case["status"]), case.get("message", ""))
    )
    assert assess(case["object"]) == expected


def test_the_table_names_every_case_once_and_covers_every_kind() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    judged = {
        (version.rpartition("/")[0], case["object"]["kind"])
        for case in CASES
        if case["status"] is not None and (version := case["object"].get("apiVersion", ""))
    }
    assert judged >= KINDS_WITH_HEALTH


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["True", "False", "Running", "Failed", "Always", "RollingUpdate", "OnDelete", "[1]", "{"]
    )
)
# Names that the rules read, so that wrong types land where they hurt.
# fmt: off
_NAMES = st.text(max_size=3) | st.sampled_from([
    "metadata", "spec", "status", "conditions", "type", "reason", "message", "phase", "generation",
    "observedGeneration", "replicas", "updatedReplicas", "availableReplicas", "readyReplicas",
    "updateStrategy", "rollingUpdate", "partition", "loadBalancer", "ingress", "containerStatuses",
    "initContainerStatuses", "state", "lastState", "waiting", "terminated", "exitCode", "restartPolicy",
    "suspend", "active", "lastScheduleTime", "lastSuccessfulTime", "annotations", "finalizers",
    "deletionTimestamp", "name", "paused", "argocd.argoproj.io/hook",
    "autoscaling.alpha.kubernetes.io/conditions",
])
# fmt: on
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(
    kind=st.sampled_from(sorted(KINDS_WITH_HEALTH)) | st.just(("", "ConfigMap")),
    version=st.sampled_from(["v1", "v2", "", "v1/v2"]),
    fields=st.dictionaries(_NAMES, _JSON, max_size=6),
    status=_JSON,
    spec=_JSON,
)
def test_no_object_is_too_odd_to_be_judged(
    kind: tuple[str, str], version: str, fields: dict[str, Any], status: Any, spec: Any
) -> None:
    group, name = kind
    body = {
        "status": status,
        "spec": spec,
        **fields,
        "apiVersion": f"{group}/{version}" if group else version,
        "kind": name,
    }
    health = assess(body)
    assert health is None or isinstance(health.message, str)


@given(st.dictionaries(_NAMES | st.sampled_from(["apiVersion", "kind"]), _JSON))
def test_no_json_object_raises(body: dict[str, Any]) -> None:
    assess(body)


@given(st.sampled_from(CASES), st.data())
def test_a_known_object_with_any_field_broken_is_still_judged(case: dict[str, Any], data: Any) -> None:
    assess(_with_one_field_replaced(case["object"], data))


def _with_one_field_replaced(value: Any, data: Any) -> Any:
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: _with_one_field_replaced(value[name], data)}
    if isinstance(value, list) and value:
        return [_with_one_field_replaced(value[0], data), *value[1:]]
    return data.draw(_JSON)


ORDER = [
    Health(HealthStatus(status))
    for status in ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")
]


def test_the_worst_health_wins_whatever_the_order() -> None:
    for better, worse in pairwise(ORDER):
        for pair in permutations((better, worse)):
            assert worst(pair) == worse


def test_an_app_with_nothing_to_judge_is_healthy() -> None:
    assert worst([]) == Health(HealthStatus.HEALTHY)


def test_among_equals_the_first_speaks() -> None:
    first, second = Health(HealthStatus.DEGRADED, "first"), Health(HealthStatus.DEGRADED, "second")
    assert worst(iter([Health(HealthStatus.HEALTHY), first, second])) == first
