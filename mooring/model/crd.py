"""The CRDs of Application and AppProject, made from the models that parse them.

The API server takes structural schemas only: no references, no alternatives, every node typed.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.model.application import Application
from mooring.model.part import Part
from mooring.model.project import AppProject
from mooring.names import ARGO_GROUP, ARGO_VERSION

PART_OF = "app.kubernetes.io/part-of"
_KEPT = ("type", "format", "description", "enum", "required", "anyOf")


def crds() -> tuple[dict[str, Any], ...]:
    """Both CustomResourceDefinitions, ready to be applied. Names are those of Argo CD's own."""
    columns: list[dict[str, Any]] = [
        {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
        {"name": "Health Status", "type": "string", "jsonPath": ".status.health.status"},
        {"name": "Revision", "type": "string", "jsonPath": ".status.sync.revision", "priority": 10},
        {"name": "Project", "type": "string", "jsonPath": ".spec.project", "priority": 10},
    ]
    return (
        _crd(Application, "applications", ["app", "apps"], columns),
        _crd(AppProject, "appprojects", ["appproj", "appprojs"], []),
    )


def is_ours(crd: Mapping[str, Any]) -> bool:
    """Whether a CRD found in a cluster was made here, and not by Argo CD."""
    labels = crd.get("metadata", {}).get("labels") or {}
    return bool(labels.get(PART_OF) == "mooring")


def structural(model: type[Part]) -> dict[str, Any]:
    """The OpenAPI v3 schema of a model as a structural schema."""
    schema = model.model_json_schema(by_alias=True)
    return _flat(schema, schema.get("$defs", {}))


def _flat(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _flat(definitions[node["$ref"].rpartition("/")[2]], definitions)
    # `X | None`: null is absent in a manifest, the API server drops it.
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _flat(choices[0], definitions)
    flat = {key: value for key, value in node.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if "const" in node:
        return {"type": "string"}
    if "properties" in node:
        flat["properties"] = {name: _flat(child, definitions) for name, child in node["properties"].items()}
    elif isinstance(node.get("additionalProperties"), dict):
        flat["additionalProperties"] = _flat(node["additionalProperties"], definitions)
    if "items" in node:
        flat["items"] = _flat(node["items"], definitions)
    return flat


def _told(status: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of what we alone write: an object, and nobody judges again what is in it.

    For each field that a schema names the API server makes and asks several validators with each write of the
    object, and with each reading of it from its store: with a whole schema of a status a write of a few words
    costs it twice as much, with the names of its fields a quarter more.
    https://kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources-and-server-side-apply
    """
    return {
        "type": "object",
        "description": f"What was told of it last: {', '.join(status['properties'])}.",
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": True,
    }


def _crd(
    model: type[Part], plural: str, short_names: list[str], columns: list[dict[str, Any]]
) -> dict[str, Any]:
    kind, name = model.__name__, f"{plural}.{ARGO_GROUP}"
    schema = structural(model)
    schema["properties"]["metadata"] = {"type": "object"}  # the API server's own
    schema["required"] = ["metadata", "spec"]
    if "status" in schema["properties"]:
        schema["properties"]["status"] = _told(schema["properties"]["status"])
    version: dict[str, Any] = {
        "name": ARGO_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {},
    }
    if columns:
        version["additionalPrinterColumns"] = columns
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name, PART_OF: "mooring"}},
        "spec": {
            "group": ARGO_GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short_names,
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }
