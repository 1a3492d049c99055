"""Labels and annotations of the namespace that CreateNamespace makes: `syncPolicy.managedNamespaceMetadata`.

The namespace itself stays nobody's: it is never pruned. What is applied to it carries the name of the app
that does so, for two of them would take turns for ever.
https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#namespace-metadata
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from mooring.errors import ClusterUnavailable, Conflict, Refused
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.model.spec import ManagedNamespaceMetadata
from mooring.model.status import OperationState
from mooring.model.sync_options import sync_options
from mooring.names import APPLYSET_PART_OF, ID, NAMESPACE_OF, OURS, TRACKING_ID
from workers.cluster.api import NAMESPACE, Api, Create, Guard, Update
from workers.cluster.live import Live

_FIELD: Final = "spec.syncPolicy.managedNamespaceMetadata"
_TRIES: Final = 5
_RESERVED: Final = (f"{OURS}/", APPLYSET_PART_OF.partition("/")[0] + "/", TRACKING_ID)


def managed(app: Application) -> ManagedNamespaceMetadata | None:
    """What the app asks for, where it has its namespace created; None where it asks for nothing."""
    policy = app.spec.sync_policy
    asked = policy.managed_namespace_metadata if policy else None
    if asked is None or not (asked.labels or asked.annotations) or not app.spec.destination.namespace:
        return None
    return asked if sync_options(app.spec.sync_options).create_namespace else None


def check(app: Application, project: AppProject) -> None:
    """Raises Refused for what the app may not ask for: marks of identity, or a namespace that its project
    does not permit."""
    asked, namespace = managed(app), app.spec.destination.namespace
    if asked is None:
        return
    for name in (*asked.labels, *asked.annotations):
        if name.startswith(_RESERVED):
            why = f"{_FIELD}: {name} says whose an object is: leave it out"
            raise Refused(why, condition="InvalidSpecError")
    if rule := project.why_no_resource("", "Namespace", False, namespace):
        raise Refused(
            f"{_FIELD}: project {project.metadata.name} does not permit Namespaces: {rule}; change the "
            "project, or leave the metadata out",
            condition="InvalidSpecError",
        )


def due(app: Application, last: OperationState | None) -> bool:
    """Whether `last`, the app's last sync, went well with other metadata than the app asks for now."""
    asked = managed(app)
    if asked is None or last is None or last.phase != "Succeeded" or last.sync_result is None:
        return False
    return last.sync_result.managed_namespace_metadata != asked


def told(app: Application, wanted: Collection[ObjectKey]) -> str:
    """What to tell where Git has the namespace itself, among the objects `wanted`; else ""."""
    if managed(app) is None or not _in_git(app, wanted):
        return ""
    return (
        f"Namespace {app.spec.destination.namespace} is in Git: what is said there counts, and {_FIELD} does "
        "not; leave one of the two out"
    )


def ensure(
    api: Api,
    app: Application,
    installation: str,
    wanted: Collection[ObjectKey],
    exists: Callable[[AppKey], bool],
    *,
    absent: bool,
) -> None:
    """Make sure of the app's namespace, with the metadata that it asks for unless Git has the namespace.

    `exists(app)` says whether there is such an application, `absent` that the namespace was just seen not to
    be there. Raises Refused where the namespace is another's,
    ClusterUnavailable while it is being deleted.
    """
    asked, name = managed(app), app.spec.destination.namespace
    if asked is None or _in_git(app, wanted):
        api.ensure_namespace(name, absent=absent)
        return
    mark = f"{installation}/{app.key}"
    annotations = {**asked.annotations, NAMESPACE_OF: mark}
    body: dict[str, Any] = {"metadata": {"name": name, "labels": asked.labels, "annotations": annotations}}
    for _ in range(_TRIES):
        live = api.get(NAMESPACE, "", name, metadata_only=True)
        guard: Guard = Create()
        if live is not None:
            _judge(live, mark, installation, exists)
            guard = Update(live.uid, live.resource_version)
        try:
            api.apply(NAMESPACE, body, guard=guard)
            return
        except Conflict:
            continue
    raise ClusterUnavailable(f"namespace {name} keeps changing while its metadata is written", after=2)


def _in_git(app: Application, wanted: Collection[ObjectKey]) -> bool:
    return ObjectKey("", "Namespace", "", app.spec.destination.namespace) in wanted


def _judge(live: Live, mark: str, installation: str, exists: Callable[[AppKey], bool]) -> None:
    name = live.key.name
    if live.deletion_timestamp:
        raise ClusterUnavailable(f"namespace {name} is being deleted: it is created anew when gone", after=5)
    if ID in live.annotations:
        # Our own apply of the metadata alone would take the marks of identity off.
        raise Refused(
            f"{_FIELD}: Namespace {name} was deployed from Git, and is marked so: put its metadata there"
        )
    other = live.annotations.get(NAMESPACE_OF, "")
    theirs, _, key = other.partition("/")
    if not other or other == mark:
        return
    if theirs != installation or "_" not in key or exists(AppKey.parse(key)):
        whose = f"app {key.partition('_')[2]}" if theirs == installation else "an app of another Mooring"
        raise Refused(
            f"{_FIELD}: that of Namespace {name} is kept by {whose}: say it in one of the two only, or "
            f"remove the annotation {NAMESPACE_OF}"
        )
