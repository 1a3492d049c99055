"""`AppProject`: what the applications of a project may use, judged as Argo CD judges it.

https://argo-cd.readthedocs.io/en/stable/user-guide/projects/
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, Literal, Self

from pydantic import Field

from mooring import repourl
from mooring.errors import Refused
from mooring.model.part import Bool, Int, Metadata, Part
from mooring.model.spec import Destination


class GroupKind(Part):
    group: str
    kind: str


class ClusterGroupKind(GroupKind):
    """Cluster-scoped kinds can be narrowed to names; an empty `name` means all."""

    name: str = ""


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
    group: str = ""
    kind: str = ""
    name: str = ""


class OrphanedResources(Part):
    warn: Bool | None = None
    ignore: tuple[OrphanedResource, ...] = ()


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

    def applies(self, app: str, destination: Destination) -> bool:
        """Whether the application `app` that goes to `destination` is one of those it selects. A window that
        selects nothing applies to nobody."""
        cluster = tuple(filter(None, (destination.name, destination.server)))
        selects = (
            (self.applications, (app,)),
            (self.clusters, cluster),
            (self.namespaces, (destination.namespace,)),
        )
        found = [
            any(_glob(pattern).fullmatch(value) for pattern in patterns for value in values)
            for patterns, values in selects
            if patterns
        ]
        return bool(found) and (all(found) if self.and_operator else any(found))


class SignatureKey(Part):
    key_id: str


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

    def permits_source(self, url: str) -> bool:
        """Whether manifests may come from this repository; `*` ends at a `/`, `**` does not."""
        wanted, permitted = repourl.normalise(url), False
        for pattern in self.spec.source_repos:
            inner = pattern.removeprefix("!")
            matches = inner == "*" or _glob(repourl.normalise(inner), "/").fullmatch(wanted) is not None
            if not pattern.startswith("!"):
                permitted = permitted or matches
            elif matches:
                return False
            else:
                permitted = True  # as in Argo CD: what is not forbidden by a `!` is thereby allowed
        return permitted

    def permits_destination(self, server: str, name: str, namespace: str) -> bool:
        """Whether objects may go there. Give both URL and name of the cluster where both are known."""
        permitted = False
        for item in self.spec.destinations:
            by_name = name != "" and _permits(item.name, name)
            by_server = server != "" and _permits(item.server, server)
            by_namespace = _permits(item.namespace, namespace)
            if (by_name or by_server) and by_namespace:
                permitted = True
            elif any(
                pattern.startswith("!") and not passed
                for pattern, passed in (
                    (item.name, by_name),
                    (item.server, by_server),
                    (item.namespace, by_namespace),
                )
            ):
                return False
        return permitted

    def permits_resource(self, group: str, kind: str, namespaced: bool, name: str = "") -> bool:
        """Whether objects of this kind may be deployed: cluster-scoped ones only where allowed by name,
        namespaced ones unless forbidden."""
        if namespaced:
            allowed, forbidden = (
                self.spec.namespace_resource_whitelist,
                self.spec.namespace_resource_blacklist,
            )
            return (allowed is None or _listed(allowed, group, kind, name)) and not _listed(
                forbidden, group, kind, name
            )
        return _listed(self.spec.cluster_resource_whitelist, group, kind, name) and not _listed(
            self.spec.cluster_resource_blacklist, group, kind, name
        )


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


def _permits(pattern: str, value: str) -> bool:
    if pattern.startswith("!"):
        return _glob(pattern[1:]).fullmatch(value) is None
    return _glob(pattern).fullmatch(value) is not None


def _listed(items: tuple[GroupKind, ...], group: str, kind: str, name: str) -> bool:
    return any(
        _glob(item.group, "/").fullmatch(group)
        and _glob(item.kind, "/").fullmatch(kind)
        and (not getattr(item, "name", "") or _glob(getattr(item, "name", "")).fullmatch(name))
        for item in items
    )


@lru_cache(maxsize=4096)
def _glob(pattern: str, separator: str = "") -> re.Pattern[str]:
    """A glob with `*` (not over `separator`), `**`, `?`, `[a-z]`, `[!a]`, `{a,b}` and `\\`.

    One that makes no sense matches nothing but itself.
    """
    one = f"[^{re.escape(separator)}]" if separator else "."
    out, depth, at = "", 0, 0
    while at < len(pattern):
        here = pattern[at]
        at += 1
        if here == "*":
            double = pattern.startswith("*", at)
            out, at = out + (".*" if double else f"{one}*"), at + double
        elif here == "?":
            out += one
        elif here == "\\" and at < len(pattern):
            out, at = out + re.escape(pattern[at]), at + 1
        elif here == "[" and (end := pattern.find("]", at + 1)) > 0:
            inside = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out, at = f"{out}[{'^' + inside[1:] if inside[0] in '!^' else inside}]", end + 1
        elif here == "{":
            out, depth = out + "(?:", depth + 1
        elif here == "}" and depth:
            out, depth = out + ")", depth - 1
        else:
            out += "|" if here == "," and depth else re.escape(here)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))
