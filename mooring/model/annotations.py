"""Annotations that people write, in both spellings: `argocd.argoproj.io/x` and `mooring.dev/x`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.names import ARGO, OURS


def annotations_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The annotations of a manifest; empty where it has none or they are no mapping."""
    metadata = body.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}


def ignores_extraneous(annotations: Mapping[str, str]) -> bool:
    """Whether an object says that it does not count once it has left Git.

    https://argo-cd.readthedocs.io/en/stable/user-guide/compare-options/#ignoring-resources-that-are-extraneous
    """
    return "IgnoreExtraneous" in compare_options(annotations)


def foreign_is_drift(annotations: Mapping[str, str]) -> bool | None:
    """Whether fields that others set count as drift, as an Application or an object says; None: it says
    nothing of them."""
    said = [option for option in compare_options(annotations) if option.startswith("ForeignFields=")]
    return said[-1] == "ForeignFields=drift" if said else None


def compare_options(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Those that an Application or an object names."""
    options = annotation(annotations, "compare-options").split(",")
    return tuple(filter(None, (option.strip() for option in options)))


def annotation(annotations: Mapping[str, str], name: str) -> str:
    """The value of `mooring.dev/<name>`, else of `argocd.argoproj.io/<name>`, else ""."""
    return annotations.get(f"{OURS}/{name}") or annotations.get(f"{ARGO}/{name}") or ""
