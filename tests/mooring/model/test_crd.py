"""The CRDs made from the models: structural, complete, and taken by a real API server."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from mooring.model.application import Application, unknown_fields
from mooring.model.crd import crds, is_ours
from mooring.model.project import AppProject
from tests.mooring.model.manifests import EVERYTHING, PROJECT


def _nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from _nodes(child)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _nodes(schema[key])


def test_the_schemas_are_structural() -> None:
    for crd in crds():
        for node in _nodes(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            assert "type" in node or node.get("x-kubernetes-int-or-string")
            assert not {"$ref", "$defs", "title", "default", "const", "oneOf", "allOf"} & set(node)
            assert not ("properties" in node and "additionalProperties" in node)


def test_names_are_argo_cds_and_the_label_tells_whose_they_are() -> None:
    application, project = crds()
    assert application["metadata"]["name"] == "applications.argoproj.io"
    assert application["spec"]["names"]["shortNames"] == ["app", "apps"]
    assert project["metadata"]["name"] == "appprojects.argoproj.io"
    assert [c["name"] for c in application["spec"]["versions"][0]["additionalPrinterColumns"]] == [
        "Sync Status",
        "Health Status",
        "Revision",
        "Project",
    ]
    assert "status" not in application["spec"]["versions"][0].get("subresources", {})
    assert is_ours(application)
    assert not is_ours({"metadata": {"labels": {"app.kubernetes.io/part-of": "argocd"}}})
    assert not is_ours({"metadata": {}})


def _private_group(crd: dict[str, Any], group: str) -> dict[str, Any]:
    """The same CRD under a group of our own: the shared cluster's argoproj.io is not ours to change."""
    crd = json.loads(json.dumps(crd))
    crd["metadata"]["name"] = f"{crd['spec']['names']['plural']}.{group}"
    crd["spec"]["group"] = group
    crd["spec"]["names"]["shortNames"] = []
    return crd


def _run(argv: list[str], document: dict[str, Any] | None = None) -> str:
    done = subprocess.run(
        argv, input=json.dumps(document) if document else None, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.cluster
def test_a_real_api_server_takes_them_and_prunes_nothing_of_an_application(
    cluster: Any, namespace: str
) -> None:
    kubectl = [*cluster.kubectl]
    for crd in crds():
        _run(
            [*kubectl, "create", "--dry-run=server", "--validate=strict", "-f", "-"],
            _private_group(crd, f"{uuid.uuid4().hex}.test"),
        )
    group = f"x{uuid.uuid4().hex}.test"
    made = [_private_group(crd, group) for crd in crds()]
    try:
        for crd, whole in zip(made, (EVERYTHING, PROJECT), strict=True):
            _run([*kubectl, "create", "-f", "-"], crd)
            _until_served(kubectl, group, crd["spec"]["names"]["plural"])
            mine = {
                **whole,
                "apiVersion": f"{group}/v1alpha1",
                "metadata": {"name": "whole", "namespace": namespace},
            }
            apply = [
                *kubectl,
                "apply",
                "--server-side",
                "--validate=strict",
                "--field-manager=mooring",
                "-f",
                "-",
            ]
            live = json.loads(_run([*apply, "-o", "json"], mine))
            for part in ("spec", "status", "operation"):
                assert live.get(part) == whole.get(part)
            live["apiVersion"] = whole["apiVersion"]
            if whole is EVERYTHING:
                assert unknown_fields(Application.parse(live)) == ()
            else:
                assert tuple(AppProject.parse(live).unknown()) == ()
    finally:
        for crd in made:
            subprocess.run(
                [*kubectl, "delete", "--wait=false", "--ignore-not-found", f"crd/{crd['metadata']['name']}"],
                capture_output=True,
                timeout=60,
                check=False,
            )


def _until_served(kubectl: list[str], group: str, plural: str) -> None:
    """Established is a promise; discovery follows within a moment."""
    for _ in range(100):
        done = subprocess.run(
            [*kubectl, "get", "--raw", f"/apis/{group}/v1alpha1"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and f'"{plural}"' in done.stdout:
            return
        time.sleep(0.1)
    raise AssertionError(f"{plural}.{group} was never served")
