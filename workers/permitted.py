"""What an app's project lets it touch: judged before anything is written, and told by the rule that says no.

https://argo-cd.readthedocs.io/en/stable/user-guide/projects/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mooring.errors import ClusterRefused, Refused
from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.project import AppProject, Cluster
from mooring.model.spec import Destination
from mooring.model.sync_options import sync_options
from mooring.text import few
from workers.cluster.api import NAMESPACE, Api
from workers.clusters.named import cluster_of
from workers.clusters.secret import ClusterSecret
from workers.desired import Desired
from workers.engine import Engine
from workers.hooks.wanted import WantedHook
from workers.observe import Observed
from workers.plan import PRUNE_SKIPPED, Extra, Notice, Plan

_OWN_CLUSTERS: Final = (
    "spec.permitOnlyProjectScopedClusters permits clusters of its own only, and no Secret of a cluster says "
    "`project: {}` for this one"
)


@dataclass(frozen=True, slots=True)
class Permitted:
    """What `project` permits in `cluster`. `own` is why it may not use that at all, or ""; `secret` is the
    cluster's, which may give a part of it alone."""

    project: AppProject
    cluster: Cluster
    own: str = ""
    secret: ClusterSecret | None = None

    @property
    def name(self) -> str:
        return self.project.metadata.name

    def why_not_there(self, namespace: str) -> str:
        """Which rule keeps everything out of the namespace; "" where none does."""
        return self.own or self.project.why_no_destination(self.cluster, namespace)

    def why_not(self, key: ObjectKey, *, namespaced: bool) -> str:
        """Which rule forbids the object, in words that end a line; "" where it is permitted."""
        if rule := self.project.why_no_resource(key.group, key.kind, namespaced, key.name):
            return f"project {self.name} does not permit {key.group or 'core'}/{key.kind}: {rule}"
        if key.namespace and (rule := self.why_not_there(key.namespace)):
            return f"project {self.name} does not permit namespace {key.namespace}: {rule}"
        return self.secret.why_not(key, namespaced=namespaced) if self.secret else ""


def permitted(engine: Engine, app: Application, project: AppProject) -> Permitted:
    """What the project of `app` permits where the app is to be. Raises Refused for a cluster that nobody
    knows, and as reading Secrets does."""
    home, secrets = engine.applications.home(), engine.applications.clusters
    cluster = cluster_of(app.spec.destination, home, secrets)
    secret = engine.clusters.secret(app.spec.destination) or engine.clusters.home()
    if not project.spec.permit_only_project_scoped_clusters:
        return Permitted(project, cluster, secret=secret)
    return Permitted(project, cluster, why_not_own(project, cluster, secrets()), secret)


def why_not_own(project: AppProject, cluster: Cluster, secrets: Sequence[ClusterSecret]) -> str:
    """Why the cluster is none of the project's own; "" where a Secret says so.

    https://argo-cd.readthedocs.io/en/stable/user-guide/projects/#project-scoped-repositories-and-clusters
    """
    name = project.metadata.name
    own = (secret for secret in secrets if secret.project == name)
    if any(secret.server in cluster.servers or secret.name in cluster.names for secret in own):
        return ""
    return _OWN_CLUSTERS.format(name)


def check_destination(may: Permitted, destination: Destination) -> None:
    """Raises Refused where the app may not go there at all."""
    if rule := may.why_not_there(destination.namespace):
        raise Refused(
            f"project {may.name} does not permit the destination "
            f"{destination.server or destination.name} namespace {destination.namespace or '(none)'}: "
            f"{rule}; change the project, or move the app",
            condition="InvalidSpecError",
        )


def check_objects(may: Permitted, wanted: Sequence[Desired | WantedHook]) -> None:
    """Raises Refused for the first object that the project does not permit."""
    for item in wanted:
        if why := may.why_not(item.key, namespaced=item.kind.namespaced):
            raise Refused(why, where=item.where, condition="InvalidSpecError")


def check_namespace(
    engine: Engine, may: Permitted, app: Application, options: Sequence[str], observed: Observed
) -> None:
    """Raises Refused where CreateNamespace would make the app's namespace and the project permits none. One
    that is there needs no leave, as in Argo CD: the API server is asked, where nothing `observed` is in it.
    Raises ClusterUnavailable, too."""
    namespace = app.spec.destination.namespace
    if not namespace or not sync_options(options).create_namespace:
        return
    why = may.why_not(ObjectKey("", "Namespace", "", namespace), namespaced=False)
    if why and not _is_there(engine.api, namespace, observed):
        raise Refused(
            f"{why}; CreateNamespace=true would make {namespace}: permit that, or make it yourself",
            condition="InvalidSpecError",
        )


def _is_there(api: Api, namespace: str, observed: Observed) -> bool:
    if namespace in observed.nowhere:
        return False
    if any(key.namespace == namespace for key in observed.objects):
        return True
    try:
        return api.get(NAMESPACE, "", namespace, metadata_only=True) is not None
    except ClusterRefused:  # who may not ask makes none either
        return True


def kept(found: Plan, may: Permitted) -> Plan:
    """`found` without the deletions of what the project does not permit any more: that stays, and is told."""
    stays = [
        Extra(step.key, step.live, why)
        for group in found.prunes
        for step in group
        if step.live is not None and (why := may.why_not(step.key, namespaced=step.live.kind.namespaced))
    ]
    if not stays:
        return found
    keys = {extra.key for extra in stays}
    prunes = (tuple(step for step in group if step.key not in keys) for group in found.prunes)
    by_rule: dict[str, list[str]] = {}
    for extra in stays:
        by_rule.setdefault(extra.reason, []).append(extra.key.title)
    told = (
        Notice(PRUNE_SKIPPED, f"{few(titles, 5)} left Git and stays: {why}; delete it by hand")
        for why, titles in by_rule.items()
    )
    return replace(
        found,
        prunes=tuple(group for group in prunes if group),
        extras=(*found.extras, *stays),
        notices=(*found.notices, *told),
    )
