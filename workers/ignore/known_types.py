"""Fields of custom resources that have one of Kubernetes' own types, and what means the same in them.

To a server, `cpu: 1000m` in a custom resource is a text as any other. A controller that reads such an object
into its own types writes `cpu: "1"` back, and drops maps and lists that are empty. Which fields are
quantities is what the server publishes of its own types.
https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/ (known Kubernetes types in CRDs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from workers.cluster.api import Api
from workers.durations import seconds
from workers.ignore.comparing import KnownField
from workers.ignore.quantities import amount
from workers.schema.openapi import REFERENCE, Schemas

_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_DURATION: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration"
_CORE: Final = "core/v1/"
# What has no definition of its own.
_OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "core/Quantity": {"$ref": REFERENCE + _QUANTITY},
    "meta/v1/Duration": {"$ref": REFERENCE + _DURATION},
    "core/v1/ResourceList": {"type": "object", "additionalProperties": {"$ref": REFERENCE + _QUANTITY}},
}

Named = Mapping[str, Mapping[str, Any]]  # the server's types, by name


class Types:
    """The types of one cluster, asked for when they are needed."""

    def __init__(self, schemas: Schemas, api: Api) -> None:
        self._schemas = schemas
        self._api = api

    def of(self, fields: Sequence[KnownField]) -> Named:
        """The types of `fields`, and those that they refer to. Raises ClusterUnavailable, ClusterRefused."""
        names = [_name(field.type) for field in fields if field.type not in _OWN]
        return self._schemas.types(names, self._api) if names else {}


def alike(after: Any, before: Any, fields: Sequence[KnownField], types: Named) -> Any:
    """`after` with what means the same in `before`, at these fields, written as it is there. Pure."""
    for field in fields:
        schema = _OWN.get(field.type) or {"$ref": REFERENCE + _name(field.type)}
        after = _below(after, before, field.path, schema, types)
    return after


def _below(after: Any, before: Any, path: Sequence[str], schema: Mapping[str, Any], types: Named) -> Any:
    if isinstance(after, list) and isinstance(before, list):  # a path goes into each item
        return _each(after, before, lambda one, other: _below(one, other, path, schema, types))
    if not path:
        return _as_in(after, before, schema, types)
    name, *rest = path
    if not (isinstance(after, Mapping) and isinstance(before, Mapping) and name in after and name in before):
        return after
    return {**after, name: _below(after[name], before[name], rest, schema, types)}


def _as_in(after: Any, before: Any, schema: Mapping[str, Any], types: Named) -> Any:
    name, schema = _resolved(schema, types)
    if name == _QUANTITY:
        same = amount(after) is not None and amount(after) == amount(before)
        return before if same else after
    if name == _DURATION:
        same = isinstance(after, str) and isinstance(before, str) and _same_time(after, before)
        return before if same else after
    if isinstance(after, list) and isinstance(before, list):
        items = schema.get("items") or {}
        return _each(after, before, lambda one, other: _as_in(one, other, items, types))
    if not (isinstance(after, Mapping) and isinstance(before, Mapping)):
        return after

    def of(key: str) -> Mapping[str, Any]:
        return (schema.get("properties") or {}).get(key) or schema.get("additionalProperties") or {}

    def nothing(key: str, value: Any) -> bool:
        """Whether to say so is to say nothing: a map or list that is empty, but no structure."""
        kind = _resolved(of(key), types)[1]
        return value is None or (not value and ("items" in kind or "additionalProperties" in kind))

    result = {
        key: _as_in(value, before[key], of(key), types) if key in before else value
        for key, value in after.items()
        if key in before or not nothing(key, value)
    }
    return result | {key: value for key, value in before.items() if key not in after and nothing(key, value)}


def _each(after: list[Any], before: list[Any], alike: Callable[[Any, Any], Any]) -> list[Any]:
    pairs = zip(after, before, strict=False)
    return [*(alike(one, other) for one, other in pairs), *after[len(before) :]]


def _same_time(one: str, other: str) -> bool:
    return seconds(one) is not None and seconds(one) == seconds(other)


def _resolved(schema: Mapping[str, Any], types: Named) -> tuple[str, Mapping[str, Any]]:
    """The name of the type that a field's schema refers to, and that type; "" and itself where there is
    none."""
    name = ""
    while True:
        parts = schema.get("allOf") or (schema,)
        if len(parts) != 1 or "$ref" not in parts[0]:
            return name, schema
        name = parts[0]["$ref"].removeprefix(REFERENCE)
        schema = types.get(name) or {}


def _name(type_: str) -> str:
    return f"io.k8s.api.core.v1.{type_.removeprefix(_CORE)}"
