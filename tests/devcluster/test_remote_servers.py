"""The servers of charts and artifacts that the stories fetch from are what their users know."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from devcluster.chartserver import ChartServer
from devcluster.registry import Registry, push_artifact


def test_a_chart_repository_has_an_index_by_helm_of_packages_by_helm() -> None:
    with ChartServer() as charts:
        charts.chart("web", "1.2.3", {"templates/cm.yaml": "kind: ConfigMap\n"})
        charts.index()
        with urllib.request.urlopen(f"{charts.url}/index.yaml") as answer:
            assert b"web-1.2.3.tgz" in answer.read()
        with urllib.request.urlopen(f"{charts.url}/web-1.2.3.tgz") as answer:
            assert answer.read(2) == b"\x1f\x8b"


def test_a_registry_takes_charts_from_helm_and_artifacts() -> None:
    with ChartServer() as charts, Registry(user="me", password="hunter2") as registry:
        digest = registry.push_chart(charts.chart("web", "1.2.3+build.4"))
        assert digest.startswith("sha256:")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{registry.url}/v2/charts/web/tags/list")
    with Registry() as registry:
        digest = push_artifact(
            registry.url, "team/app", "v1", {"application/vnd.oci.image.layer.v1.tar": b"x"}
        )
        request = urllib.request.Request(
            f"{registry.url}/v2/team/app/manifests/v1",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Docker-Content-Digest"] == digest
            assert json.load(answer)["layers"][0]["size"] == 1


def test_what_is_in_a_root_of_ones_own_stays(tmp_path: Path) -> None:
    with Registry(tmp_path) as registry:
        push_artifact(registry.url, "app", "v1", {"text/plain": b"x"})
    with Registry(tmp_path) as again, urllib.request.urlopen(f"{again.url}/v2/app/tags/list") as answer:
        assert json.load(answer)["tags"] == ["v1"]
