"""Which kinds a cluster serves, and under which path: aggregated discovery, cached per process.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote

from mooring.errors import ClusterRefused, ClusterUnavailable
from workers.cluster.identity import MOORING, Identity
from workers.cluster.transport import Transport

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # nothing in it to be quoted

ACCEPT: Final = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)
REFRESH_EVERY: Final = 1.0  # seconds between two refreshes that only a missing kind asks for
KEEP: Final = 300.0  # seconds after which what is known is asked anew


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as one version of its group serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        """The quoted path of an object, or of the collection when `name` is empty.

        An empty namespace of a namespaced kind is the collection in all namespaces. Raises
        ClusterRefused for a name that would lead elsewhere, and for an object without its namespace.
        """
        if name and self.namespaced and not namespace:
            raise ClusterRefused(f"{self.kind} {name} needs a namespace: give it metadata.namespace")
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        return "/".join(parts)


def _segment(name: str) -> str:
    # https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#path-segment-names
    if _PLAIN.fullmatch(name):
        return name
    if name in (".", "..") or "/" in name or "%" in name:
        raise ClusterRefused(f"{name!r} cannot be the name of an object: rename it")
    return quote(name, safe="")


@dataclass(frozen=True, slots=True)
class _Known:
    """One answer of discovery. `preferred` is by (group, kind), `stale` holds API versions."""

    kinds: Mapping[tuple[str, str], Kind]
    preferred: Mapping[tuple[str, str], Kind]
    stale: frozenset[str]
    version: str
    at: float


class Discovery:
    """What one API server serves, asked as `identity`. Safe for threads.

    Every method may raise ClusterUnavailable. A server that has just started may not know its custom
    resources yet: None means that it does not serve the kind, never that the kind's objects are gone.
    """

    def __init__(self, transport: Transport, identity: Identity = MOORING) -> None:
        self._transport = transport
        self._identity = identity
        self._lock = Lock()
        self._known: _Known | None = None

    def find(self, api_version: str, kind: str) -> Kind | None:
        """The kind; None only when the server answered for that API version and has no such kind."""
        known = self._current()
        if (api_version, kind) not in known.kinds:
            known = self._current(newer_than=known)
        found = known.kinds.get((api_version, kind))
        if found is None and api_version in known.stale:
            raise ClusterUnavailable(
                f"the API service of {api_version} is down: kind {kind} is unknown for now"
            )
        return found

    def preferred(self, group: str, kind: str) -> Kind | None:
        """The kind in the version that the server prefers; None as for `find`."""
        known = self._current()
        if (group, kind) not in known.preferred:
            known = self._current(newer_than=known)
        found = known.preferred.get((group, kind))
        if found is None and any(version.rpartition("/")[0] == group for version in known.stale):
            raise ClusterUnavailable(f"the API service of {group} is down: kind {kind} is unknown for now")
        return found

    def await_kind(self, api_version: str, kind: str, timeout: float = 10.0) -> Kind:
        """The kind, once a CRD just applied is served. Raises ClusterUnavailable after `timeout` seconds."""
        deadline = monotonic() + timeout
        while True:
            self.invalidate()
            if found := self.find(api_version, kind):
                return found
            if monotonic() > deadline:
                raise ClusterUnavailable(
                    f"{api_version} {kind} is not served yet: look at its CRD's conditions"
                )
            sleep(0.05)

    def served(self) -> tuple[tuple[Kind, ...], frozenset[str]]:
        """All kinds in all their versions, and the API versions of which nobody knows what they serve."""
        known = self._current()
        kinds = tuple(known.kinds.values())
        return kinds, known.stale - {kind.api_version for kind in kinds}

    @property
    def server_version(self) -> str:
        """As the server gives it: "v1.37.2"."""
        return self._current().version

    def invalidate(self) -> None:
        """Forget: a CRD or APIService was applied, or a kind answered that it is not served."""
        with self._lock:
            self._known = None

    def _current(self, newer_than: _Known | None = None) -> _Known:
        with self._lock:
            known = self._known
            age = monotonic() - known.at if known else 0.0
            missed = known is newer_than and age > REFRESH_EVERY
            if known is None or missed or age > KEEP:
                known = self._known = self._ask()
            return known

    def _ask(self) -> _Known:
        version = self._transport.request("GET", "/version", identity=self._identity).json()["gitVersion"]
        groups: list[Any] = []
        for path in ("/api", "/apis"):
            answer = self._transport.request("GET", path, accept=ACCEPT, identity=self._identity).json()
            if answer.get("kind") != "APIGroupDiscoveryList":
                raise ClusterRefused(
                    f"Kubernetes {version} has no aggregated discovery: 1.27 or newer is needed"
                )
            groups += answer["items"]
        return _known(groups, version)


def _known(groups: Iterable[Any], version: str) -> _Known:
    """Reads the items of the two APIGroupDiscoveryLists; the server's preferred versions come first."""
    kinds: dict[tuple[str, str], Kind] = {}
    stale: set[str] = set()
    for item in groups:
        group = item.get("metadata", {}).get("name", "")
        for served in item.get("versions", ()):
            api_version = f"{group}/{served['version']}" if group else served["version"]
            if served.get("freshness") == "Stale":
                stale.add(api_version)
            for resource in served.get("resources", ()):
                name = (resource.get("responseKind") or {}).get("kind")
                if not name:
                    continue
                found = Kind(
                    group=group,
                    version=served["version"],
                    kind=name,
                    plural=resource["resource"],
                    namespaced=resource["scope"] == "Namespaced",
                    verbs=frozenset(resource.get("verbs", ())),
                    subresources=frozenset(
                        one.get("subresource", "") for one in resource.get("subresources", ())
                    ),
                )
                # A kind may have several resources: the one that can be written is meant.
                known = kinds.get((api_version, name))
                if known is None or ("patch" in found.verbs and "patch" not in known.verbs):
                    kinds[api_version, name] = found
    preferred: dict[tuple[str, str], Kind] = {}
    for kind in kinds.values():
        preferred.setdefault((kind.group, kind.kind), kind)
    return _Known(kinds, preferred, frozenset(stale), version, monotonic())
