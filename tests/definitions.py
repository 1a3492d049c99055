"""Kinds that a test brings itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def definition(group: str, kind: str, spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The definition of a kind whose objects are in namespaces and have this schema of `spec`; without one
    they may have anything."""
    name = kind.lower()
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    schema = {
        "openAPIV3Schema": {"type": "object", **({"properties": {"spec": dict(spec)}} if spec else anything)}
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": f"{name}s", "singular": name, "kind": kind, "listKind": f"{kind}List"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
