"""Schemas as a real API server publishes them, and its own judgement beside ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mooring.errors import MooringError
from tests.workers.test_apply import config_map, deployment
from tests.workers.test_write import claim, job, service
from workers.cluster.api import Api, Create
from workers.cluster.kinds import Kind
from workers.schema.openapi import Schemas

pytestmark = pytest.mark.cluster

Path = tuple[str | int, ...]


def _policy(name: str) -> dict[str, Any]:
    peer = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [peer], "ports": [{"port": "http", "protocol": "TCP"}]}],
        },
    }


def _pod_parts() -> dict[str, Any]:
    return {
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
        "livenessProbe": {"httpGet": {"port": "http"}},
        "volumeMounts": [],
    }


SAMPLES = [
    config_map("a", n="1"),
    service("door", type="ClusterIP"),
    claim("disk", "1Gi"),
    deployment("web", **_pod_parts()),
    job("work", "example.org/work"),
    _policy("wall"),
]


def _places(value: Any, at: Path = ()) -> Iterator[Path]:
    if at:
        yield at
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in below:
        yield from _places(one, (*at, name))


def _with(body: dict[str, Any], at: Path, value: Any, *, gone: bool = False) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    inner: Any = changed
    for part in at[:-1]:
        inner = inner[part]
    if gone:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return changed


def _spoilt(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    others: tuple[Any, ...] = (None, "x", 7, True, [], {}, 1.0, "", {"no-such-field": 1})
    for at in _places(body):
        if at[0] in ("apiVersion", "kind") or at in (("metadata",), ("metadata", "name")):
            continue
        yield _with(body, at, None, gone=True)
        for value in others:
            yield _with(body, at, value)


@pytest.mark.parametrize("body", SAMPLES, ids=lambda body: str(body["kind"]))
def test_nothing_is_a_problem_that_the_server_would_take(
    api: Api, namespace: str, body: dict[str, Any]
) -> None:
    kind = _kind(api, body)
    schema = Schemas().of([kind], api)[kind]
    sound = _in(body, namespace)
    assert schema.problems(sound) == ()
    api.apply(kind, sound, guard=Create(), dry_run=True)
    refused = 0
    for spoilt in _spoilt(body):
        sent = _in(spoilt, namespace) if isinstance(spoilt["metadata"], dict) else spoilt
        if schema.problems(sent):
            with pytest.raises(MooringError):
                api.apply(kind, sent, guard=Create(), dry_run=True)
            refused += 1
    assert refused > 3


def _kind(api: Api, body: dict[str, Any]) -> Kind:
    kind = api.discovery.find(body["apiVersion"], body["kind"])
    assert kind is not None
    return kind


def _in(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "namespace": namespace}}


def test_only_what_the_kinds_refer_to_is_kept_and_nothing_is_asked_twice(api: Api) -> None:
    schemas = Schemas()
    kinds = [_kind(api, body) for body in SAMPLES]
    found = schemas.of(kinds, api)
    assert set(found) == set(kinds)
    kept = found[kinds[0]].named
    assert "io.k8s.api.core.v1.ConfigMap" in kept
    assert "io.k8s.api.core.v1.Node" not in kept
    assert '"description":' not in json.dumps(kept["io.k8s.api.core.v1.ConfigMap"]["properties"]["data"])
    before = api.transport.count["GET"]
    assert schemas.of(kinds, api) == found
    assert api.transport.count["GET"] == before


def test_what_the_server_does_not_tell_is_no_schema(api: Api) -> None:
    unheard = Kind("nobody.example.org", "v1", "Nothing", "nothings", namespaced=True)
    assert Schemas().of([unheard], api) == {}
