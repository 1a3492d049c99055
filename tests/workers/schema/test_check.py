"""Objects against their schemas: what the server certainly refuses, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from workers.schema.check import Schema, of_definition

PRESERVED = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {"x-kubernetes-embedded-resource": True}
EITHER = {"x-kubernetes-int-or-string": True}
NAMED: dict[str, dict[str, Any]] = {
    "example.Spec": {
        "type": "object",
        "required": ["image", "template"],
        "properties": {
            "image": {"type": "string"},
            "replicas": {"type": "integer", "format": "int32"},
            "paused": {"type": "boolean"},
            "weight": {"type": "number"},
            "port": {"allOf": [{"$ref": "#/components/schemas/example.IntOrString"}]},
            "limits": {
                "type": "object",
                "additionalProperties": {"$ref": "#/components/schemas/example.Quantity"},
            },
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/example.Item"}},
            "policy": {"type": "string", "enum": ["Always", "Never"]},
            "template": {"default": {}, "allOf": [{"$ref": "#/components/schemas/example.Item"}]},
            "anything": {"type": "object"},
            "free": {"type": "object", "properties": {"a": {"type": "string"}}, **PRESERVED},
            "pod": {"type": "object", "properties": {"spec": {"type": "object"}}, **EMBEDDED},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}], **EITHER},
            "elsewhere": {"$ref": "#/components/schemas/example.NotThere"},
        },
    },
    "example.IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    "example.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "example.Item": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}},
    },
}
SCHEMA = Schema(
    {
        "type": "object",
        "properties": {"spec": {"default": {}, "allOf": [{"$ref": "#/components/schemas/example.Spec"}]}},
    },
    NAMED,
)


def told(**spec: Any) -> list[str]:
    body = {
        "apiVersion": "example.org/v1",
        "kind": "Boat",
        "metadata": {"name": "a", "labels": {}},
        "spec": {"image": "a", **spec},
    }
    return [str(problem) for problem in SCHEMA.problems(body)]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"replicas": 1, "paused": False, "weight": 1, "policy": "Never"},
        {"weight": 0.5},
        {"replicas": 2.0},
        {"port": 80},
        {"port": "http"},
        {"either": 1},
        {"either": "1"},
        {"limits": {"cpu": 1, "memory": "1Gi", "more": 0.5}},
        {"anything": {"at": ["all"]}},
        {"free": {"a": "b", "more": 1}},
        {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}},
        # What is null is not there, as in many a chart's output.
        {"replicas": None, "items": None, "limits": {"cpu": None}},
        {"policy": ""},
        {"elsewhere": {"not": "known"}},
    ],
)
def test_what_the_server_takes_is_no_problem(spec: dict[str, Any]) -> None:
    assert told(**spec) == []


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ({"replicas": "3"}, ["spec.replicas: must be an integer, not a string"]),
        ({"replicas": True}, ["spec.replicas: must be an integer, not a boolean"]),
        ({"replicas": 1.5}, ["spec.replicas: must be an integer, not a number"]),
        ({"paused": "yes"}, ["spec.paused: must be a boolean, not a string"]),
        ({"image": 1}, ["spec.image: must be a string, not an integer"]),
        ({"image": None}, ["spec.image: is missing"]),
        ({"port": []}, ["spec.port: must be an integer or a string, not a list"]),
        ({"either": True}, ["spec.either: must be an integer or a string, not a boolean"]),
        ({"limits": {"cpu": {}}}, ["spec.limits.cpu: must be a string or a number, not a mapping"]),
        ({"items": {}}, ["spec.items: must be a list, not a mapping"]),
        (
            {"items": [{"name": "a"}, {"colour": 1}]},
            ["spec.items[1].colour: there is no such field", "spec.items[1].name: is missing"],
        ),
        ({"policy": "Sometimes"}, ["spec.policy: must be one of Always, Never"]),
        ({"imagee": "a"}, ["spec.imagee: there is no such field"]),
        ({"free": {"a": 1}}, ["spec.free.a: must be a string, not an integer"]),
    ],
)
def test_what_the_server_refuses_is_told_with_its_path_and_without_its_value(
    spec: dict[str, Any], problems: list[str]
) -> None:
    assert told(**spec) == problems


def test_a_definition_has_a_schema_for_each_of_its_versions() -> None:
    def version(name: str, kind: str) -> dict[str, Any]:
        properties = {
            "spec": {"type": kind},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        }
        root = {"type": "object", "properties": properties, "required": ["spec"]}
        return {"name": name, "schema": {"openAPIV3Schema": root}}

    definition = {"spec": {"versions": [version("v1", "object"), version("v2", "string"), {"name": "v3"}]}}
    boat = {"apiVersion": "example.org/v1", "kind": "Boat", "metadata": {"name": "a", "labels": {"a": "b"}}}
    first, second = of_definition(definition, "v1"), of_definition(definition, "v2")
    assert first is not None
    assert second is not None
    assert [str(one) for one in first.problems(boat)] == ["spec: is missing"]
    assert first.problems(boat | {"spec": {}}) == ()
    (problem,) = second.problems(boat | {"spec": {}})
    assert str(problem) == "spec: must be a string, not a mapping"
    assert of_definition(definition, "v3") is None
    assert of_definition({"spec": "nonsense"}, "v1") is None
