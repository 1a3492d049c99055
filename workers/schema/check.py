"""An object against its schema, as Kubernetes reads both. Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation

Only what the server certainly refuses is a problem: unknown fields, types, enumerations, what is missing. No
library of JSON Schema judges as it does: `null` is nothing there, an integer may be a string by a mark of
Kubernetes' own, quantities are either, and an object is closed unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_PRESERVED: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_EITHER: Final = "x-kubernetes-int-or-string"
_OF_ANY_OBJECT: Final = frozenset(("apiVersion", "kind", "metadata"))
_EMPTY: Final[Mapping[str, Any]] = {}
# Said to be required and not missed by the server, in some version of it: nothing is a value of theirs.
_NOT_MISSED: Final = frozenset(
    (
        ("StatefulSetSpec", "serviceName"),
        ("NetworkPolicySpec", "podSelector"),
        ("Role", "rules"),
        ("ClusterRole", "rules"),
        ("LimitRangeSpec", "limits"),
        ("PodFailurePolicy", "rules"),
        ("PriorityClass", "value"),
        ("EndpointSlice", "endpoints"),
    )
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a path of an object; no value is told. `unknown`: a field that does not exist."""

    path: str
    what: str
    unknown: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of one kind; `named` are those that it refers to."""

    root: Mapping[str, Any]
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def problems(self, body: Mapping[str, Any]) -> tuple[Problem, ...]:
        """All that is wrong with `body`, in the order of the manifest."""
        found: list[Problem] = []
        self._object(found, self.root, body, "", "", open_to=_OF_ANY_OBJECT)
        return tuple(found)

    def _value(self, found: list[Problem], schema: Mapping[str, Any], value: Any, path: str) -> None:
        """Adds what is wrong with `value` to `found`: through generators it takes a quarter longer."""
        if value is None:
            return
        name = ""
        while parts := schema.get("allOf") if "$ref" not in schema else (schema,):
            # A field's schema refers to a type and adds its own default, at most.
            reference = parts[0].get("$ref", "") if len(parts) == 1 else ""
            name = reference.rpartition("/")[2]
            if name not in self.named:
                return
            schema = self.named[name]
        if schema.get(_EITHER) or "oneOf" in schema or "anyOf" in schema:
            kinds = ("integer", "string") if schema.get(_EITHER) else tuple(_alternatives(schema))
            if kinds and not any(_is(value, kind) for kind in kinds):
                found.append(Problem(path, f"must be {_or(kinds)}, not {_called(value)}"))
            if "properties" not in schema:
                return
        kind = schema.get("type", "")
        if kind and not _is(value, kind):
            found.append(Problem(path, f"must be {_or((kind,))}, not {_called(value)}"))
        elif isinstance(value, Mapping):
            self._object(found, schema, value, path, name)
        elif isinstance(value, list):
            items = schema.get("items")
            if isinstance(items, Mapping):
                for number, one in enumerate(value):
                    self._value(found, items, one, f"{path}[{number}]")
        elif (choices := schema.get("enum")) and value != "" and value not in choices:
            found.append(Problem(path, f"must be one of {', '.join(map(str, choices))}"))

    def _object(
        self,
        found: list[Problem],
        schema: Mapping[str, Any],
        value: Mapping[str, Any],
        path: str,
        name: str,
        open_to: frozenset[str] = frozenset(),
    ) -> None:
        properties = schema.get("properties") or _EMPTY
        others = schema.get("additionalProperties")
        closed = bool(properties) and not others and not schema.get(_PRESERVED)
        if schema.get(_EMBEDDED):
            open_to |= _OF_ANY_OBJECT
        for key, one in value.items():
            at = f"{path}.{key}" if path else str(key)
            if key in properties:
                self._value(found, properties[key], one, at)
            elif isinstance(others, Mapping):
                self._value(found, others, one, at)
            elif closed and key not in open_to:
                found.append(Problem(at, "there is no such field", unknown=True))
        short = name.rpartition(".")[2]
        for key in schema.get("required") or ():
            missing = value.get(key) is None and "default" not in properties.get(key, _EMPTY)
            if missing and key not in open_to and (short, key) not in _NOT_MISSED:
                found.append(Problem(f"{path}.{key}" if path else str(key), "is missing"))


def of_definition(definition: Mapping[str, Any], version: str) -> Schema | None:
    """The schema that a CustomResourceDefinition gives its kind in `version`; None where it gives none."""
    spec = definition.get("spec")
    versions = spec.get("versions") if isinstance(spec, Mapping) else None
    for one in versions if isinstance(versions, list) else ():
        if isinstance(one, Mapping) and one.get("name") == version:
            schema = one.get("schema")
            root = schema.get("openAPIV3Schema") if isinstance(schema, Mapping) else None
            # What it says of metadata is about names and such: not of the form of objects.
            return Schema(_without_metadata(root)) if isinstance(root, Mapping) else None
    return None


def _without_metadata(root: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = root.get("properties")
    if not isinstance(properties, Mapping) or "metadata" not in properties:
        return root
    return {**root, "properties": {k: v for k, v in properties.items() if k != "metadata"}}


def _alternatives(schema: Mapping[str, Any]) -> Iterator[str]:
    """The types that are let through; none where what is let through is no matter of types."""
    alternatives = [one for name in ("oneOf", "anyOf") for one in schema.get(name) or ()]
    kinds = [one.get("type") if isinstance(one, Mapping) else None for one in alternatives]
    if all(kinds):
        yield from (str(kind) for kind in kinds)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "number":
        return isinstance(value, int | float)
    if kind == "string":
        return isinstance(value, str)
    if kind == "object":
        return isinstance(value, Mapping)
    if kind == "array":
        return isinstance(value, list)
    return kind != "boolean"


_CALLED: Final = {"integer": "an integer", "array": "a list", "object": "a mapping", "string": "a string"}


def _or(kinds: Sequence[str]) -> str:
    return " or ".join(_CALLED.get(kind, f"a {kind}") for kind in kinds)


def _called(value: Any) -> str:
    for kind in ("boolean", "integer", "number", "string", "array", "object"):
        if _is(value, kind):
            return _or((kind,))
    return "that"
