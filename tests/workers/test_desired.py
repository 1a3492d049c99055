"""From what people wrote to what a cluster shall have."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, ID
from workers.cluster.kinds import Kind
from workers.desired import Desired, Stamp, desired, kinds_of_crd, kinds_of_crds
from workers.render.manifest import Manifest

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CRDS = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
SERVED = {(kind.api_version, kind.kind): kind for kind in (CONFIG_MAP, ROLE, CRDS)}
STAMP = Stamp("here", AppKey("mooring", "shop"), "applyset-x-v1")


def manifest(
    api_version: str, kind: str, name: str, line: int = 1, namespace: str = "", **body: Any
) -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | body.pop("metadata", {})
    key = ObjectKey(api_version.rpartition("/")[0], kind, namespace, name)
    full = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    return Manifest(key, api_version, full, "app.yaml", line)


def config_map(name: str = "settings", **more: Any) -> Manifest:
    return manifest("v1", "ConfigMap", name, **more)


def wanted(*manifests: Manifest, options: tuple[str, ...] = ()) -> tuple[Desired, ...]:
    found, warnings = desired(manifests, lambda *name: SERVED.get(name), "shop", options, STAMP)
    assert warnings == ()
    return found


def crd(*versions: tuple[str, bool], scope: str = "Namespaced") -> Manifest:
    spec = {
        "group": "example.com",
        "scope": scope,
        "names": {"plural": "anchors", "kind": "Anchor"},
        "versions": [{"name": name, "served": served} for name, served in versions],
    }
    return manifest(CRDS.api_version, CRDS.kind, "anchors.example.com", spec=spec)


def test_an_object_gets_its_place_and_our_marks() -> None:
    (found,) = wanted(config_map(data={"a": "1"}))
    assert found.key == ObjectKey("", "ConfigMap", "shop", "settings")
    assert found.body["metadata"]["namespace"] == "shop"
    assert found.body["metadata"]["labels"] == {APPLYSET_PART_OF: "applyset-x-v1"}
    assert found.body["metadata"]["annotations"] == {ID: "here/mooring_shop//ConfigMap/shop/settings"}
    assert found.body["data"] == {"a": "1"}
    assert found.where == "app.yaml:1"


def test_a_namespace_that_is_written_counts_and_a_cluster_scoped_object_has_none() -> None:
    placed, role = wanted(
        config_map(namespace="other"), manifest(ROLE.api_version, "ClusterRole", "r", namespace="other")
    )
    assert placed.key.namespace == "other"
    assert role.key.namespace == ""
    assert "namespace" not in role.body["metadata"]


def test_marks_that_were_exported_with_a_manifest_are_not_believed() -> None:
    exported = config_map(metadata={"annotations": {ID: "elsewhere/x"}, "labels": {APPLYSET_PART_OF: "y"}})
    (found,) = wanted(exported)
    assert found.body["metadata"]["annotations"][ID].startswith("here/")
    assert found.body["metadata"]["labels"][APPLYSET_PART_OF] == "applyset-x-v1"
    assert exported.body["metadata"]["annotations"] == {ID: "elsewhere/x"}, "the render's own is not touched"


def test_of_an_object_given_twice_the_last_counts_with_a_warning_that_names_both() -> None:
    # The same object: one leaves out the namespace that the other writes down.
    first, second = config_map(line=1, data={"n": "1"}), config_map(line=9, namespace="shop", data={"n": "2"})
    found, warnings = desired([first, second], lambda *name: SERVED.get(name), "shop", (), STAMP)
    assert [item.body["data"] for item in found] == [{"n": "2"}]
    assert warnings == ("ConfigMap shop/settings is given twice: app.yaml:1, app.yaml:9",)


def test_a_kind_that_nobody_knows_is_refused_with_its_place() -> None:
    with pytest.raises(Refused, match=r"app.yaml:7: .*no kind Anchor in example.com/v1"):
        wanted(manifest("example.com/v1", "Anchor", "bow", line=7))


def test_a_kind_may_come_with_its_definition_in_any_order() -> None:
    bow, definition = wanted(manifest("example.com/v1", "Anchor", "bow"), crd(("v1", True)))
    assert not bow.served
    assert bow.kind.plural == "anchors"
    assert bow.key.namespace == "shop"
    assert definition.served
    (wide, _) = wanted(manifest("example.com/v1", "Anchor", "bow"), crd(("v1", True), scope="Cluster"))
    assert wide.key.namespace == ""


def test_a_version_that_the_definition_does_not_serve_is_refused() -> None:
    with pytest.raises(Refused):
        wanted(manifest("example.com/v1alpha1", "Anchor", "bow"), crd(("v1alpha1", False), ("v1", True)))


@pytest.mark.parametrize(
    "spec",
    [None, 5, [], {}, {"names": []}, {"names": {}, "versions": {}}, {"names": {}, "versions": [1, None]}],
)
def test_a_definition_that_is_none_serves_nothing(spec: Any) -> None:
    assert kinds_of_crd({"spec": spec}) == ()
    assert kinds_of_crds([manifest(CRDS.api_version, CRDS.kind, "x", spec=spec)]) == {}


def test_what_shapes_an_apply_is_in_the_digest_and_nothing_else() -> None:
    def digest(*options: str, line: int = 1, **body: Any) -> str:
        return wanted(config_map(line=line, **body), options=options)[0].digest

    assert digest(data={"a": "1"}) == digest(data={"a": "1"}, line=5)
    assert digest(data={"a": "1", "b": "2"}) == digest(data={"b": "2", "a": "1"})
    assert digest(data={"a": "1"}) != digest(data={"a": "2"})
    assert digest() != digest("ServerSideApply=false")
    assert digest() == digest("Prune=false")


def test_an_objects_own_options_win_over_the_apps() -> None:
    annotated = {"annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}}
    (found,) = wanted(config_map(metadata=annotated), options=("ServerSideApply=false",))
    assert found.options.server_side_apply is True
