"""`AppProject`: what the applications of a project may use, judged as Argo CD judges it.

https://argo-cd.readthedocs.io/en/stable/user-guide/projects/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self

from pydantic import Field

from mooring import repourl
from mooring.errors import Refused
from mooring.model.globs import glob
from mooring.model.integrity import SignatureKey, SourceIntegrity, signers
from mooring.model.part import Bool, Int, Metadata, Part
from mooring.model.spec import Destination


class GroupKind(Part):
    group: str
    kind: str

    @property
    def title(self) -> str:
        return f"{self.group or 'core'}/{self.kind}"


class ClusterGroupKind(GroupKind):
    """Cluster-scoped kinds can be narrowed to names; an empty `name` means all."""

    name: str = ""

    @property
    def title(self) -> str:
        return f"{self.group or 'core'}/{self.kind} {self.name}".rstrip()


class JwtToken(Part):
    iat: Int
    exp: Int = 0
    id: str = ""


class JwtTokens(Part):
    items: tuple[JwtToken, ...] = ()


class Role(Part):
    name: str
    description: str = ""
    policies: tuple[str, ...] = ()
    jwt_tokens: tuple[JwtToken, ...] = ()
    groups: tuple[str, ...] = ()


class OrphanedResource(Part):
    """Globs: an empty `kind` or `name` means all, an empty `group` the core group."""

    group: str = ""
    kind: str = ""
    name: str = ""


class OrphanedResources(Part):
    """What is to be said of objects that belong to no application.

    https://argo-cd.readthedocs.io/en/stable/user-guide/orphaned-resources/
    """

    warn: Bool | None = None
    ignore: tuple[OrphanedResource, ...] = ()

    @property
    def warns(self) -> bool:
        """Whether apps are to say that there are some: so unless it is said that they are not."""
        return self.warn is not False

    def ignores(self, group: str, kind: str, name: str) -> bool:
        """Whether such an object is not to be counted."""
        return any(
            (not one.kind or glob(one.kind).fullmatch(kind))
            and glob(one.group).fullmatch(group)
            and (not one.name or glob(one.name).fullmatch(name))
            for one in self.ignore
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster by every URL and every name that a project's rules may call it by."""

    servers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """The URLs, also with the port that goes without saying: a rule may name it."""
        return tuple(url for server in self.servers for url in (server, _with_port(server)))

    def is_meant(self, pattern: str) -> bool:
        """Whether the glob is about one of its names or URLs."""
        return any(glob(pattern).fullmatch(name) for name in self.names) or any(
            glob(spelt(pattern)).fullmatch(url) for url in self.spellings
        )


class SyncWindow(Part):
    """Times at which syncs are allowed, or denied: workers/windows.py reads them."""

    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    manual_sync: Bool = False
    time_zone: str = ""
    and_operator: Bool = False
    description: str = ""
    sync_overrun: Bool = False

    @property
    def title(self) -> str:
        """How people know it: a window has no name."""
        told = f"{self.kind} window {self.schedule!r} of {self.duration} ({self.time_zone or 'UTC'})"
        return f"{told}: {self.description}" if self.description else told

    def applies(self, app: str, cluster: Cluster, namespace: str) -> bool:
        """Whether the application `app` that goes to `namespace` of `cluster` is one of those it selects. A
        window that selects nothing applies to nobody."""
        selects = (
            (self.applications, lambda pattern: glob(pattern).fullmatch(app)),
            (self.clusters, cluster.is_meant),
            (self.namespaces, lambda pattern: glob(pattern).fullmatch(namespace)),
        )
        found = [any(map(fits, patterns)) for patterns, fits in selects if patterns]
        return bool(found) and (all(found) if self.and_operator else any(found))


class DestinationServiceAccount(Part):
    server: str
    namespace: str = ""
    default_service_account: str


class AppProjectSpec(Part):
    """Limits of the project's applications. In lists of sources and destinations `!` forbids."""

    source_repos: tuple[str, ...] = ()
    destinations: tuple[Destination, ...] = ()
    description: str = ""
    roles: tuple[Role, ...] = ()
    cluster_resource_whitelist: tuple[ClusterGroupKind, ...] = ()
    namespace_resource_blacklist: tuple[GroupKind, ...] = ()
    orphaned_resources: OrphanedResources | None = None
    sync_windows: tuple[SyncWindow, ...] = ()
    namespace_resource_whitelist: tuple[GroupKind, ...] | None = None  # None: all; empty: none
    signature_keys: tuple[SignatureKey, ...] = ()
    cluster_resource_blacklist: tuple[ClusterGroupKind, ...] = ()
    source_namespaces: tuple[str, ...] = ()
    permit_only_project_scoped_clusters: Bool = False
    source_integrity: SourceIntegrity | None = None
    destination_service_accounts: tuple[DestinationServiceAccount, ...] = ()


class AppProjectStatus(Part):
    jwt_tokens_by_role: dict[str, JwtTokens] = Field(default_factory=dict)


class AppProject(Part):
    """A group of applications and what they may use."""

    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["AppProject"]
    metadata: Metadata
    spec: AppProjectSpec
    status: AppProjectStatus = AppProjectStatus()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Self:
        """Read a manifest. Raises Refused (condition InvalidSpecError) naming project and field."""
        if not isinstance(raw, dict):
            raise Refused("an AppProject must be a mapping", condition="InvalidSpecError")
        metadata = raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return cls.read(raw, f"AppProject {name or '(without a name)'}")

    def why_no_source(self, url: str) -> str:
        """Which rule keeps manifests from coming from this repository; "" where they may. `*` ends at a `/`,
        `**` does not."""
        wanted, permitted = repourl.normalise(url), False
        for number, pattern in enumerate(self.spec.source_repos):
            inner = pattern.removeprefix("!")
            matches = inner == "*" or glob(repourl.normalise(inner), "/").fullmatch(wanted) is not None
            if not pattern.startswith("!"):
                permitted = permitted or matches
            elif matches:
                return f"spec.sourceRepos[{number}] (!{repourl.masked(inner)}) forbids it"
            else:
                permitted = True  # as in Argo CD: what is not forbidden by a `!` is thereby allowed
        return "" if permitted else _not_among("spec.sourceRepos", self.spec.source_repos)

    def permits_source(self, url: str) -> bool:
        """Whether manifests may come from this repository."""
        return not self.why_no_source(url)

    @property
    def asks_signatures(self) -> bool:
        """Whether anything that its apps deploy must be signed."""
        return bool(self.spec.signature_keys or self.spec.source_integrity)

    def signers(self, url: str) -> frozenset[str] | None:
        """The keys of which one must have signed what is deployed from the Git repository, as
        `mooring.model.integrity.key_of` has them; None where none need have."""
        return signers(self.spec.signature_keys, self.spec.source_integrity, url)

    def why_no_destination(self, cluster: Cluster, namespace: str) -> str:
        """Which rule keeps objects from going to `namespace` of the cluster; "" where they may."""
        permitted = False
        for number, item in enumerate(self.spec.destinations):
            passed = {
                "name": _permits(item.name, cluster.names),
                "server": _permits(spelt(item.server), cluster.spellings),
                "namespace": _permits(item.namespace, (namespace,)),
            }
            if (passed["name"] or passed["server"]) and passed["namespace"]:
                permitted = True
                continue
            for field, pattern in (
                ("name", item.name),
                ("server", item.server),
                ("namespace", item.namespace),
            ):
                if pattern.startswith("!") and not passed[field]:
                    return f"spec.destinations[{number}] ({field}: {pattern}) forbids it"
        return "" if permitted else _not_among("spec.destinations", self.spec.destinations)

    def permits_destination(self, cluster: Cluster, namespace: str) -> bool:
        """Whether objects may go there."""
        return not self.why_no_destination(cluster, namespace)

    def why_no_resource(self, group: str, kind: str, namespaced: bool, name: str = "") -> str:
        """Which rule keeps objects of this kind from being deployed; "" where they may be: those of the
        cluster only where listed, namespaced ones unless forbidden."""
        spec, scope = self.spec, "namespace" if namespaced else "cluster"
        white: tuple[GroupKind, ...] | None = spec.cluster_resource_whitelist
        black: tuple[GroupKind, ...] = spec.cluster_resource_blacklist
        if namespaced:
            white, black = spec.namespace_resource_whitelist, spec.namespace_resource_blacklist
        if white is not None and _listed(white, group, kind, name) < 0:
            return _not_among(f"spec.{scope}ResourceWhitelist", white)
        number = _listed(black, group, kind, name)
        if number < 0:
            return ""
        return f"spec.{scope}ResourceBlacklist[{number}] ({black[number].title}) forbids it"

    def permits_resource(self, group: str, kind: str, namespaced: bool, name: str = "") -> bool:
        """Whether objects of this kind may be deployed."""
        return not self.why_no_resource(group, kind, namespaced, name)


@cache  # asked for by every app of every push
def default_project(namespace: str) -> AppProject:
    """The project `default` of an installation that has written down none: it permits everything."""
    return AppProject(
        api_version="argoproj.io/v1alpha1",
        kind="AppProject",
        metadata=Metadata(name="default", namespace=namespace),
        spec=AppProjectSpec(
            source_repos=("*",),
            destinations=(Destination(server="*", namespace="*"),),
            cluster_resource_whitelist=(ClusterGroupKind(group="*", kind="*"),),
        ),
    )


def spelt(pattern: str) -> str:
    """What a rule says of servers, as their URLs are spelt: lower case up to the path, no last slash."""
    scheme, mark, rest = pattern.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{mark}{host.lower()}{slash}{path}"


def _with_port(server: str) -> str:
    scheme, mark, rest = server.partition("://")
    host, slash, path = rest.partition("/")
    said = host.rpartition("]")[2].count(":")  # those of an IPv6 address are none
    return server if said or scheme != "https" else f"{scheme}{mark}{host}:443{slash}{path}"


def _permits(pattern: str, values: tuple[str, ...]) -> bool:
    """Whether the pattern lets something pass that goes by all of these names: one that forbids is about each
    of them."""
    if pattern.startswith("!"):
        return bool(values) and not any(glob(pattern[1:]).fullmatch(value) for value in values)
    return any(glob(pattern).fullmatch(value) for value in values)


def _not_among(rule: str, allowed: Sequence[object]) -> str:
    return f"{rule} does not list it" if allowed else f"{rule} is empty, and so permits nothing"


def _listed(items: tuple[GroupKind, ...], group: str, kind: str, name: str) -> int:
    """The number of the first item that is about such an object; -1 where none is."""
    for number, item in enumerate(items):
        if (
            glob(item.group, "/").fullmatch(group)
            and glob(item.kind, "/").fullmatch(kind)
            and (not getattr(item, "name", "") or glob(getattr(item, "name", "")).fullmatch(name))
        ):
            return number
    return -1
