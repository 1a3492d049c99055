"""Reads against a real API server: a failed or partial answer never means that something is gone."""

from __future__ import annotations

import secrets as random
from typing import Any

import orjson
import pytest

from mooring.errors import ClusterRefused, ClusterUnavailable
from workers.cluster.api import Api, Create
from workers.cluster.connect import Cluster
from workers.cluster.identity import Identity
from workers.cluster.kinds import Kind
from workers.cluster.transport import Response, Transport, refusal

pytestmark = pytest.mark.cluster


@pytest.fixture
def seven(api: Api, namespace: str, config_maps: Kind) -> set[str]:
    """The names of seven ConfigMaps labelled `set=seven`; the namespace has another one of its own."""
    names = {f"m{i}" for i in range(7)}
    for name in names:
        metadata = {"name": name, "namespace": namespace, "labels": {"set": "seven"}}
        api.apply(config_maps, {"metadata": metadata, "data": {"k": "v"}}, guard=Create())
    return names


@pytest.mark.parametrize("metadata_only", [False, True])
def test_a_list_has_every_page(
    api: Api, namespace: str, config_maps: Kind, seven: set[str], metadata_only: bool
) -> None:
    before = api.transport.count["GET"]
    listed = api.list(config_maps, namespace, "set=seven", metadata_only, page=3)
    assert {live.key.name for live in listed} == seven
    assert all((live.body is None) == metadata_only for live in listed)
    assert all(live.uid and live.resource_version and live.managed_fields for live in listed)
    assert api.transport.count["GET"] > before
    one = api.get(config_maps, namespace, listed[0].key.name, metadata_only)
    assert one == listed[0]


def test_what_is_read_from_the_cache_is_no_older_than_was_asked_for(
    api: Api, namespace: str, config_maps: Kind, seven: set[str]
) -> None:
    metadata = {"name": "m0", "namespace": namespace}
    for count in range(20):  # just written, so the cache may not have it yet
        after = api.patch(config_maps, namespace, "m0", {"metadata": metadata, "data": {"k": str(count)}})
        assert api.get(config_maps, namespace, "m0", since=after.resource_version) == after
    assert api.get(config_maps, namespace, "none", since="0") is None


def test_a_list_of_all_namespaces_has_ours(
    api: Api, namespace: str, config_maps: Kind, seven: set[str]
) -> None:
    listed = api.list(config_maps, label_selector="set=seven", metadata_only=True, page=5)
    assert {live.key.name for live in listed if live.key.namespace == namespace} == seven


class Forgetful(Transport):
    """A connection whose server forgets the list before its second page, `times` times."""

    times = 1
    ANSWER = orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "The provided continue parameter is too old to display a consistent list result.",
            "reason": "Expired",
            "code": 410,
        }
    )

    def request(self, method: str, path: str, **options: Any) -> Response:
        if self.times and any(key == "continue" for key, _ in options.get("query", ())):
            self.times -= 1
            raise refusal(method, path, 410, self.ANSWER, None)
        return super().request(method, path, **options)


def test_a_list_forgotten_half_way_is_begun_anew_and_never_cut_short(
    connection: Cluster, namespace: str, config_maps: Kind, seven: set[str]
) -> None:
    transport = Forgetful(connection.transport._load)
    api = Api(connection.ref, transport, connection.discovery, Identity())
    listed = api.list(config_maps, namespace, "set=seven", page=3)
    assert sorted(live.key.name for live in listed) == sorted(seven)
    transport.times = 100
    with pytest.raises(ClusterUnavailable, match="expired"):
        api.list(config_maps, namespace, "set=seven", page=3)


class Between(Transport):
    """A connection through something that answers itself, with 200 and JSON of its own."""

    words = b""

    def request(self, method: str, path: str, **options: Any) -> Response:
        return Response(200, self.words)


@pytest.mark.parametrize(
    "words",
    [
        "{}",
        "[]",
        "null",
        '"ok"',
        '{"status":"ok","metadata":{}}',
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}',
        '{"kind":"ConfigMapList","apiVersion":"v1","metadata":{}}',
        '{"kind":"ConfigMapList","apiVersion":"v1","items":[]}',
        '{"kind":"ConfigMapList","apiVersion":"v1","items":[],"metadata":null}',
        '{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[',
        "<html>please sign in</html>",
        "",
    ],
)
def test_what_is_no_list_is_never_an_empty_one(
    connection: Cluster, namespace: str, config_maps: Kind, words: str
) -> None:
    transport = Between(connection.transport._load)
    transport.words = words.encode()
    api = Api(connection.ref, transport, connection.discovery, Identity())
    with pytest.raises(ClusterUnavailable, match="proxy in between"):
        api.list(config_maps, namespace)


class Filling(Transport):
    """A connection whose server has no cache yet of what is listed: it selects nothing until it has."""

    ANSWER = orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "storage is (re)initializing",
            "reason": "TooManyRequests",
            "details": {"retryAfterSeconds": 1},
            "code": 429,
        }
    )

    def request(self, method: str, path: str, **options: Any) -> Response:
        if any(key == "labelSelector" for key, _ in options.get("query", ())):
            raise refusal(method, path, 429, self.ANSWER, "1")
        return super().request(method, path, **options)


@pytest.mark.parametrize("metadata_only", [False, True])
def test_a_kind_that_has_just_come_is_listed_although_the_server_cannot_select_yet(
    connection: Cluster, api: Api, namespace: str, config_maps: Kind, seven: set[str], metadata_only: bool
) -> None:
    metadata = {"name": "other", "namespace": namespace, "labels": {"set": "eight"}}
    api.apply(config_maps, {"metadata": metadata}, guard=Create())
    filling = Api(connection.ref, Filling(connection.transport._load), connection.discovery, Identity())
    for selector, names in (("set=seven", seven), ("set", {*seven, "other"}), ("set=nine", set())):
        listed = filling.list(config_maps, namespace, selector, metadata_only, page=3, cached=True)
        assert {live.key.name for live in listed} == names
    with pytest.raises(ClusterUnavailable, match="asks to come back"):
        filling.list(config_maps, namespace, "set in (seven,eight)")


def test_a_kind_that_is_not_served_says_nothing_of_its_objects(api: Api, namespace: str) -> None:
    for unserved in (
        Kind("apps", "v1", "Boat", "boats", namespaced=True),
        Kind("boats.example.com", "v1", "Boat", "boats", namespaced=True),
    ):
        with pytest.raises(ClusterUnavailable, match="not served"):
            api.get(unserved, namespace, "boat")
        with pytest.raises(ClusterUnavailable, match="not served"):
            api.list(unserved, namespace)


def test_a_missing_object_is_none_even_where_the_namespace_is_missing(api: Api, config_maps: Kind) -> None:
    assert api.get(config_maps, f"test-{random.token_hex(5)}", "settings") is None


def test_every_call_acts_for_somebody(connection: Cluster, namespace: str, config_maps: Kind) -> None:
    stranger = connection.api(Identity("bøb ☃", ("crew",)))
    with pytest.raises(ClusterRefused, match="bøb ☃") as refused:
        stranger.get(config_maps, namespace, "settings")
    assert refused.value.code == 403
    admin = connection.api(Identity("bob", ("system:masters", "crew")))
    assert admin.get(config_maps, namespace, "settings") is None


@pytest.mark.parametrize(
    "broken",
    [
        {"data": {"k": "hunter2-is-not-base64!"}},
        {"data": {"k": 7112277112277}},
        {"data": {"bad key": "aHVudGVyMg=="}},
        {"stringData": {"k": ["hunter2"]}},
        {"data": {"k": "aHVudGVyMg=="}, "type": "kubernetes.io/dockerconfigjson"},
        {"data": {".dockerconfigjson": "aHVudGVyMg=="}, "type": "kubernetes.io/dockerconfigjson"},
    ],
)
@pytest.mark.parametrize("verb", ["apply", "create", "merge_apply"])
def test_a_refused_secret_is_never_quoted(
    api: Api, namespace: str, secrets: Kind, broken: dict[str, Any], verb: str
) -> None:
    body = {"metadata": {"name": "login", "namespace": namespace}, **broken}
    with pytest.raises(ClusterRefused) as refused:
        if verb == "apply":
            api.apply(secrets, body, guard=Create())
        elif verb == "create":
            api.create(secrets, body)
        else:
            api.merge_apply(secrets, body, None)
    message = str(refused.value)
    assert message.startswith("secret")
    assert not any(part in message for part in ("hunter2", "aHVud", "711227"))


def test_a_secret_is_never_printed(api: Api, namespace: str, secrets: Kind) -> None:
    body = {"metadata": {"name": "login", "namespace": namespace}, "data": {"k": "aHVudGVyMg=="}}
    live = api.merge_apply(secrets, body, None)
    assert live.body is not None
    assert live.body["data"] == {"k": "aHVudGVyMg=="}
    assert "aHVud" not in repr(live)
