"""What things are called: applications, objects, clusters. Frozen, hashable, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

# The destination as an Application names it, normalised: the URL of its API server.
ClusterRef = NewType("ClusterRef", str)
IN_CLUSTER = ClusterRef("https://kubernetes.default.svc")
IN_CLUSTER_NAME = "in-cluster"


@dataclass(frozen=True, slots=True, order=True)
class AppKey:
    """An Application by the namespace that holds it and its name.

    `str()` gives `namespace_name`: no Kubernetes name contains `_`, so it is unambiguous in ids,
    Redis keys and log lines.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}_{self.name}"

    @property
    def title(self) -> str:
        """As a person reads it: `mooring/shop`."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> AppKey:
        """Inverse of `str()`. Raises ValueError when `text` has no `_`."""
        namespace, separator, name = text.partition("_")
        if not separator or not namespace or not name:
            raise ValueError(f"not an application key: {text!r}")
        return cls(namespace, name)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """An object inside one cluster. No version: an object is the same under each version of its kind."""

    group: str
    kind: str
    namespace: str  # "" for cluster-scoped objects
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.kind}/{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Inverse of `str()`. Raises ValueError unless `text` has exactly four parts."""
        parts = text.split("/")
        if len(parts) != 4:
            raise ValueError(f"not an object key: {text!r}")
        return cls(*parts)

    @property
    def title(self) -> str:
        """As a person reads it: `apps/Deployment shop/web`."""
        kind = f"{self.group}/{self.kind}" if self.group else self.kind
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{kind} {name}"
