"""Which schema has read an object, so that what was proved under another one proves nothing now."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from mooring.errors import ClusterRefused
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.desired import CRD


def identities(api: Api, kinds: Iterable[Kind]) -> Callable[[Kind], str]:
    """The identity of the schema of each of `kinds`: the server's version, or the uid and generation of its
    CRD. Raises ClusterUnavailable and ClusterRefused."""
    version = api.discovery.server_version
    crd = api.discovery.preferred(*CRD)
    custom: dict[str, str] = {}
    if crd is not None and any(_may_be_custom(kind) for kind in kinds):
        try:
            for live in api.list(crd, metadata_only=True):
                custom[live.key.name] = f"{live.uid}/{live.generation}"
        except ClusterRefused:
            if not api.namespaces:
                raise
            # Whoever may see namespaces alone never knows whether a definition has changed.
            unknown = secrets.token_hex(8)
            return lambda kind: unknown if _may_be_custom(kind) else version
    return lambda kind: custom.get(f"{kind.plural}.{kind.group}", version)


def read_by(schema: str, user: str) -> str:
    """What a proof holds of `schema` and of whoever writes ("": Mooring itself): what one has proved says
    nothing of what another may write, or webhooks make of that."""
    return f"{schema} by {user}" if user else schema


def _may_be_custom(kind: Kind) -> bool:
    return "." in kind.group and not kind.group.endswith(".k8s.io")
