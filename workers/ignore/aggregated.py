"""Aggregated ClusterRoles: the control plane fills in their rules, and overwrites what stands there. Pure.

To compare them would be to fight with it. So no render has them (render/manifest.py), and they are no drift.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mooring.keys import ObjectKey

_ROLE: Final = ("rbac.authorization.k8s.io", "ClusterRole")


def is_aggregated(key: ObjectKey, body: Mapping[str, Any]) -> bool:
    """Whether the object is a ClusterRole whose rules are put together from those of others."""
    return (key.group, key.kind) == _ROLE and isinstance(body.get("aggregationRule"), Mapping)
