"""The chart ships the CRDs that the models give."""

from __future__ import annotations

from pathlib import Path

from cli.crds import manifests
from mooring.model.crd import crds
from mooring.model.status import ApplicationStatus

CHARTED = Path(__file__).parents[2] / "charts/mooring/crds/crds.yaml"


def test_the_charts_crds_are_those_of_the_models() -> None:
    assert CHARTED.read_text() == manifests(), "run: make crds"


def test_what_we_alone_write_is_told_in_the_crd_and_not_judged_with_each_write() -> None:
    schemas = (crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds())
    application, project = (schema["properties"]["status"] for schema in schemas)
    for status in (application, project):
        assert "properties" not in status
        assert status["x-kubernetes-map-type"] == "atomic"
        assert status["x-kubernetes-preserve-unknown-fields"]
    told = application["description"].partition(": ")[2].rstrip(".").split(", ")  # for `kubectl explain`
    assert told == list(ApplicationStatus.model_json_schema()["properties"])
