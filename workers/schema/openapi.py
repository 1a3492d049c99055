"""The schemas that an API server publishes, kind by kind as they are needed.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3

A document of an API version is up to two megabytes and names its content's hash in its address. What is kept
of it is what the kinds that were asked for refer to, without the descriptions: some ten kilobytes each.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from threading import Lock
from typing import Any, Final

from mooring.errors import MooringError
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.schema.check import Schema

_INDEX_S: Final = 60.0  # how long the list of documents counts as new
REFERENCE: Final = "#/components/schemas/"
_GVK: Final = "x-kubernetes-group-version-kind"
_LEFT_OUT: Final = frozenset(("description", "x-kubernetes-list-map-keys", "x-kubernetes-patch-merge-key"))


class Schemas:
    """The schemas of one cluster's kinds. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._index: Mapping[str, str] = {}
        self._index_until = 0.0
        self._known: dict[Kind, tuple[str, Schema | None]] = {}  # with the address of its document
        self._named: dict[str, Any] = {}  # shared by all kinds that refer to the same
        self._types: dict[str, str] = {}  # types that were asked for, with the address of their document

    def of(self, kinds: Collection[Kind], api: Api) -> Mapping[Kind, Schema]:
        """The schemas of those of `kinds` that have one. Where the server does not tell them, there are none:
        they are no condition of anything. Raises nothing."""
        with self._lock:
            try:
                index = self._paths(api) if kinds else {}
                asked: dict[str, list[Kind]] = {}
                for kind in kinds:
                    address = index.get(_document(kind), "")
                    if address and self._known.get(kind, ("", None))[0] != address:
                        asked.setdefault(address, []).append(kind)
                for address, wanted in asked.items():
                    self._read(address, wanted, api)
            except MooringError:
                pass
            found = {kind: self._known[kind][1] for kind in kinds if kind in self._known}
            return {kind: schema for kind, schema in found.items() if schema is not None}

    def types(self, names: Collection[str], api: Api) -> Mapping[str, Mapping[str, Any]]:
        """By name those of core/v1 that are asked for and what they refer to, among others; not those that
        the server does not tell. Raises ClusterUnavailable, ClusterRefused."""
        with self._lock:
            address = self._paths(api)["api/v1"]
            if any(self._types.get(name) != address for name in names):
                answer = api.transport.request("GET", address, identity=api.identity).json()
                for name in names:
                    self._keep(name, answer["components"]["schemas"])
                    self._types[name] = address
            return dict(self._named)

    def _paths(self, api: Api) -> Mapping[str, str]:
        if time.monotonic() > self._index_until:
            answer = api.transport.request("GET", "/openapi/v3", identity=api.identity).json()
            self._index = {name: one["serverRelativeURL"] for name, one in answer["paths"].items()}
            self._index_until = time.monotonic() + _INDEX_S
        return self._index

    def _read(self, address: str, kinds: Collection[Kind], api: Api) -> None:
        schemas = api.transport.request("GET", address, identity=api.identity).json()["components"]["schemas"]
        for kind in kinds:
            wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
            root = next((name for name, one in schemas.items() if wanted in one.get(_GVK, ())), "")
            if root:
                self._keep(root, schemas)
            self._known[kind] = (address, Schema(self._named[root], self._named) if root else None)

    def _keep(self, root: str, schemas: Mapping[str, Any]) -> None:
        waiting, seen = [root], {root}
        while waiting:
            name = waiting.pop()
            if name not in schemas:
                continue
            slim = _slim(schemas[name])
            if self._named.get(name) != slim:
                self._named[name] = slim
            more = set(_references(slim)) - seen
            seen |= more
            waiting += more


def _document(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _slim(schema: Any, *, names: bool = False) -> Any:
    """`schema` without what is for people; `names` says that its keys are those of fields."""
    if isinstance(schema, Mapping):
        return {
            key: _slim(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or key not in _LEFT_OUT
        }
    return [_slim(one) for one in schema] if isinstance(schema, list) else schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(REFERENCE)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _references(one)
