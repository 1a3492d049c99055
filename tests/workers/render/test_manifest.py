"""What is an object, and what of it is anybody's to want."""

from __future__ import annotations

import pytest

from mooring.errors import RenderFailed
from mooring.keys import ObjectKey
from workers.render.manifest import Manifest, manifests_of, normalise, with_namespace
from workers.render.yaml_reader import read_documents


def manifests(text: str) -> list[Manifest]:
    return manifests_of(read_documents(text.encode(), "a/b.yaml")[0], "a/b.yaml")[0]


def only(text: str) -> Manifest:
    (manifest,) = manifests(text)
    return manifest


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"


def test_a_manifest_knows_its_key_and_where_it_was_written() -> None:
    found = manifests(
        CONFIG + "---\n\n" + "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: ns}\n"
    )
    assert [m.key for m in found] == [
        ObjectKey("", "ConfigMap", "", "web"),
        ObjectKey("apps", "Deployment", "ns", "x"),
    ]
    assert found[1].where == "a/b.yaml:6"
    assert found[1].api_version == "apps/v1"


def test_the_digest_is_that_of_the_content_not_of_its_order() -> None:
    assert only(CONFIG).digest == only("metadata: {name: web}\nkind: ConfigMap\napiVersion: v1\n").digest
    assert only(CONFIG).digest != only(CONFIG + "data: {a: b}\n").digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ConfigMap\nmetadata: {name: a}\n", "apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "kind is missing"),
        ("apiVersion: 1\nkind: ConfigMap\nmetadata: {name: a}\n", "apiVersion must be a string"),
        ("apiVersion: a/b/c\nkind: ConfigMap\nmetadata: {name: a}\n", "apiVersion is not valid"),
        ("apiVersion: v1\nkind: ../x\nmetadata: {name: a}\n", "kind is not valid"),
        ("apiVersion: v1\nkind: ConfigMap\n", "metadata of this ConfigMap is missing"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: []\n", "metadata of this ConfigMap must be a mapping"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "metadata.name is missing"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1}\n", "metadata.name must be a string"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a/b}\n", "metadata.name is not valid"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ..}\n", "metadata.name is not valid"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: B}\n", "metadata.namespace is not"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "only hooks can have it"),
        (CONFIG.replace("web", "web, labels: {a: 1}"), "metadata.labels: 'a' must be a string"),
        (CONFIG.replace("web", "web, annotations: {a: yes}"), "metadata.annotations: 'a' must be a string"),
        ("apiVersion: v1\nkind: List\nitems: [1]\n", r"items\[0\] of a List must be an object"),
        ("apiVersion: v1\nkind: List\nitems: [{kind: A, apiVersion: v1}]\n", r"items\[0\]\.metadata"),
    ],
)
def test_what_can_be_no_object_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RenderFailed, match=message) as caught:
        manifests(text)
    assert caught.value.where == "a/b.yaml:1"


def test_lists_are_taken_apart() -> None:
    item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"
    inner = f"{{apiVersion: v1, kind: List, items: [{item % 'c'}]}}"
    text = f"apiVersion: v1\nkind: List\nitems: [{item % 'a'}, {item % 'b'}, {inner}]\n"
    assert [m.key.name for m in manifests(text)] == ["a", "b", "c"]


def test_a_typed_list_gives_its_items_their_kind() -> None:
    found = only("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleList\nitems: [{metadata: {name: a}}]\n")
    assert found.key == ObjectKey("rbac.authorization.k8s.io", "Role", "", "a")
    assert manifests("apiVersion: v1\nkind: ConfigMapList\nitems: null\n") == []


def test_a_kind_that_only_sounds_like_a_list_is_an_object() -> None:
    found = only("apiVersion: x.io/v1\nkind: AllowList\nmetadata: {name: a}\nspec: {b: c}\nitems: [d]\n")
    assert found.key.kind == "AllowList"


def test_string_data_becomes_data_and_wins() -> None:
    body = only(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
        "data: {x: b2xk, z: a2VwdA==}\nstringData: {x: é}\n"
    ).body
    assert body["data"] == {"x": "w6k=", "z": "a2VwdA=="}
    assert "stringData" not in body


def test_a_secret_that_is_not_text_is_refused_without_telling_it() -> None:
    with pytest.raises(RenderFailed, match="stringData: 'pin' must be a string") as caught:
        manifests("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 4711}\n")
    assert "4711" not in str(caught.value)


def test_status_and_aggregated_rules_are_left_out() -> None:
    role = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n"
        "rules: []\nstatus: {a: b}\naggregationRule: {clusterRoleSelectors: []}\n"
    )
    assert only(role).body.keys() == {"apiVersion", "kind", "metadata", "aggregationRule"}
    assert "rules" in only(role.replace("aggregationRule", "other")).body


def test_what_only_the_server_writes_is_left_out_with_a_warning() -> None:
    text = CONFIG.replace("web", "web, uid: x, resourceVersion: '7', creationTimestamp: null")
    found, warnings = manifests_of(read_documents(text.encode(), "f")[0], "f")
    assert found[0].body["metadata"] == {"name": "web"}
    assert warnings == ["f:1: ConfigMap web: left out metadata.resourceVersion, metadata.uid"]


def test_normalising_changes_nothing_that_was_given_and_nothing_twice() -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a", "uid": "x"},
        "stringData": {"k": "v"},
    }
    once = normalise(body)
    assert body["stringData"] == {"k": "v"}
    assert body["metadata"] == {"name": "a", "uid": "x"}
    assert normalise(once) == once


def test_namespaced_objects_get_the_default_namespace_and_others_lose_theirs() -> None:
    plain, placed = only(CONFIG), only(CONFIG.replace("web", "web, namespace: own"))
    assert with_namespace(plain, True, "shop").key == ObjectKey("", "ConfigMap", "shop", "web")
    assert with_namespace(plain, True, "shop").body["metadata"]["namespace"] == "shop"
    assert with_namespace(placed, True, "shop") is placed
    assert with_namespace(placed, False, "shop").body["metadata"] == {"name": "web"}
    assert with_namespace(placed, False, "shop").key.namespace == ""
    assert plain.body["metadata"] == {"name": "web"}
