"""What the chart has made, as the tests look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from charts.generate import CASES, GOLDEN

NAMES = tuple(sorted(path.stem for path in CASES.glob("*.yaml")))
WORKLOADS = ("Deployment", "StatefulSet")


def golden(name: str) -> str:
    """A committed render, as text."""
    return (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")


def objects(text: str) -> list[Any]:
    """The objects of a render."""
    return [found for found in yaml.safe_load_all(text) if found]


def of_kind(found: Iterable[Any], *kinds: str) -> Iterator[Any]:
    """Those of these kinds."""
    return (item for item in found if item["kind"] in kinds)


def component(item: Any) -> str:
    """Which of Mooring's parts an object belongs to."""
    return str(item["metadata"]["labels"]["app.kubernetes.io/component"])


def pods(found: Iterable[Any]) -> dict[str, Any]:
    """The template of the pods of each component."""
    return {component(item): item["spec"]["template"] for item in of_kind(found, *WORKLOADS)}


def container(pod: Any) -> Any:
    """The only container of a template of pods."""
    (only,) = pod["spec"]["containers"]
    return only


def environment(pod: Any) -> dict[str, str]:
    """The variables of its container."""
    return {entry["name"]: entry["value"] for entry in container(pod)["env"]}


def values(tmp: Path, **given: Any) -> Path:
    """A file of values for one test."""
    path = tmp / "values.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    return path
