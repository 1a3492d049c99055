"""The chart ships the CRDs that the models give."""

from __future__ import annotations

from pathlib import Path

from cli.crds import manifests

CHARTED = Path(__file__).parents[2] / "charts/mooring/crds/crds.yaml"


def test_the_charts_crds_are_those_of_the_models() -> None:
    assert CHARTED.read_text() == manifests(), "run: make crds"
