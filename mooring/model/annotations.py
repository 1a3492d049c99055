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
    options = annotation(annotations, "compare-options").split(",")
    return "IgnoreExtraneous" in (option.strip() for option in options)


def annotation(annotations: Mapping[str, str], name: str) -> str:
    """The value of `mooring.dev/<name>`, else of `argocd.argoproj.io/<name>`, else ""."""
    return annotations.get(f"{OURS}/{name}") or annotations.get(f"{ARGO}/{name}") or ""
