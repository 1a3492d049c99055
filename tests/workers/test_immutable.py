"""What people are told of fields that cannot be changed."""

from __future__ import annotations

from typing import Any

import pytest

from workers.immutable import told


def _pod(image: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": image, **more}]}}}}


@pytest.mark.parametrize(
    ("causes", "wanted", "live", "text"),
    [
        (
            [("spec.template", "field is immutable")],
            _pod("a:2"),
            _pod("a:1"),
            'spec.template (spec.containers[0].image is "a:1", Git has "a:2")',
        ),
        # Added by the server, or by others: no difference that Git has made.
        ([("spec.template", "")], _pod("a:1"), _pod("a:1", imagePullPolicy="Always"), "spec.template"),
        ([("spec.template", "")], _pod("a:2"), None, "spec.template"),
        (
            [
                (
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'template' are forbidden",
                )
            ],
            {"spec": {"replicas": 3, "serviceName": "b"}},
            {"spec": {"replicas": 1, "serviceName": "a"}},
            'spec (serviceName is "a", Git has "b")',
        ),
        (
            [("spec.clusterIPs[0]", "may not change once set")],
            {"spec": {"clusterIPs": ["None"]}},
            {"spec": {"clusterIPs": ["10.0.0.1"]}},
            'spec.clusterIPs[0] (is "10.0.0.1", Git has "None")',
        ),
        (
            [("spec", ""), ("spec", "")],
            {"spec": {"a": 1, "b": 2, "c": 3, "d": 4, "e": None}},
            {"spec": {}},
            "spec (a has none, Git has 1, b has none, Git has 2, c has none, Git has 3, and 1 more)",
        ),
        # What may be a credential, or too long, is merely named.
        ([("data", "")], {"data": {"a": "new"}}, {"data": {"a": "old"}}, "data (a differs)"),
        (
            [("spec.template", "")],
            _pod("a", env=[{"name": "TOKEN", "value": "new"}]),
            _pod("a", env=[{"name": "TOKEN", "value": "old"}]),
            "spec.template (spec.containers[0].env[0].value differs)",
        ),
        (
            [("spec.template", "")],
            _pod("a", ports=[{"containerPort": 1}, {"containerPort": 2}]),
            _pod("a", ports=[{"containerPort": 1}]),
            "spec.template (spec.containers[0].ports differs)",
        ),
        ([], {}, {}, ""),
    ],
)
def test_a_field_is_named_with_what_of_it_is_not_as_git_has_it(
    causes: list[tuple[str, str]], wanted: dict[str, Any], live: dict[str, Any] | None, text: str
) -> None:
    assert told(causes, wanted, live) == text


def test_no_value_of_a_secret_is_told() -> None:
    found = told([("type", "")], {"type": "new"}, {"type": "old"}, secret=True)
    assert found == "type (differs)"
