"""Rules of aggregated ClusterRoles: the control plane fills them in, and overwrites what stands there. Pure.

To compare them would be to fight with it, and to write them would leave people without rights until it has
put them back. So they are its own, once the role is there. Argo CD has an option for that,
`ignoreAggregatedRoles`.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mooring.keys import ObjectKey
from workers.ignore.rules import Rule

_ROLE: Final = ("rbac.authorization.k8s.io", "ClusterRole")
AGGREGATED: Final = Rule(*_ROLE, "", "", (("rules",),), (), (), stays=True)


def is_aggregated(key: ObjectKey, body: Mapping[str, Any]) -> bool:
    """Whether the object is a ClusterRole whose rules are put together from those of others."""
    return (key.group, key.kind) == _ROLE and isinstance(body.get("aggregationRule"), Mapping)
