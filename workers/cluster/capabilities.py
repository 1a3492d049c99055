"""What a cluster tells the tools that render for it, as Argo CD tells it: its version, and what it serves.

https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#kubernetes-cluster-version-and-api-versions
"""

from __future__ import annotations

import re
from typing import Final

from mooring.errors import ClusterUnavailable
from workers.cluster.kinds import Discovery
from workers.render.source import Capabilities

_NUMBERS: Final = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)")
_FOLLOWED: Final = frozenset(("list", "watch"))


def capabilities(discovery: Discovery) -> Capabilities:
    """The version without what a provider adds to it ("1.33.1"), and "apps/v1" and "apps/v1/Deployment" for
    each kind that can be listed and watched, sorted.

    Raises ClusterUnavailable when it does not know them all: a template would leave out what it takes for
    not served, and that would be pruned.
    """
    kinds, unknown = discovery.served()
    if unknown:
        raise ClusterUnavailable(
            f"the API service of {', '.join(sorted(unknown))} is down, so nobody can tell a chart what is "
            "served: repair or remove it"
        )
    followed = [kind for kind in kinds if kind.verbs >= _FOLLOWED]
    versions = {kind.api_version for kind in followed}
    version = _NUMBERS.match(discovery.server_version)
    return Capabilities(
        version[1] if version else discovery.server_version,
        tuple(sorted(versions | {f"{kind.api_version}/{kind.kind}" for kind in followed})),
    )
