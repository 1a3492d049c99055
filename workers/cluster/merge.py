"""Client-side apply: the three-way merge of what was applied, what is wanted and what is live. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mooring.names import LAST_APPLIED
from workers.cluster.live import Live


def three_way(
    desired: Mapping[str, Any], live: Live | None, last_applied: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) that makes `live` what is `desired`; without `live`, the object itself.

    Fields in `last_applied` (None: the manifest in live's annotation) and not in `desired` are removed,
    fields that others set are kept, and `kubectl.kubernetes.io/last-applied-configuration` is set, so
    kubectl and Argo CD can go on from here. That is kubectl's merge for custom resources. Its limits
    for built-in kinds, where kubectl knows merge keys: a list is replaced as a whole, so what others
    put into it (an injected sidecar) goes, while the server fills in defaults anew.
    """
    wanted = {**desired, "metadata": {**desired["metadata"]}}
    annotations = {
        key: value
        for key, value in (wanted["metadata"].get("annotations") or {}).items()
        if key != LAST_APPLIED
    }
    wanted["metadata"].pop("annotations", None)
    if annotations:
        wanted["metadata"]["annotations"] = annotations
    recorded = json.dumps(wanted, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    final = {
        **wanted,
        "metadata": {**wanted["metadata"], "annotations": annotations | {LAST_APPLIED: recorded}},
    }
    if live is None:
        return final
    if live.body is None:
        raise ValueError(f"{live.key.title}: a merge needs the whole object, not its metadata")
    return _patch(last_applied if last_applied is not None else last_applied_of(live), final, live.body)


def last_applied_of(live: Live) -> dict[str, Any]:
    """The manifest in the annotation of kubectl; empty when there is none that can be read."""
    try:
        manifest = json.loads(live.annotations.get(LAST_APPLIED, "{}"))
    except json.JSONDecodeError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _patch(before: Mapping[str, Any], wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in before if key not in wanted and key in live}
    for key, value in wanted.items():
        now = live.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            then = before.get(key)
            if inner := _patch(then if isinstance(then, Mapping) else {}, value, now):
                patch[key] = inner
        elif key not in live or value != now:
            patch[key] = value
    return patch
