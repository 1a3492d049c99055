"""What an app's namespace holds that belongs to no application, where the app's project asks for it.

The full reconciliation looks, for all apps of a cluster at once, and leaves what it has found in Redis;
whoever looks at an app counts there what the app's project does not ignore. Nothing is ever done to such an
object.

https://argo-cd.readthedocs.io/en/stable/user-guide/orphaned-resources/
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from mooring.errors import ClusterRefused, MooringError, Refused
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.model.project import AppProject, OrphanedResources
from mooring.model.status import Condition
from mooring.names import ID, TRACKING_ID
from mooring.store.orphans import Found
from mooring.store.turns import Turn
from mooring.store.views import Counted
from workers.applyset.identity import parse_object_id
from workers.apps.conditions import ORPHANED_RESOURCE
from workers.apps.patches import refresh_asked
from workers.apps.store import Applications
from workers.cluster.api import Api
from workers.cluster.contents import contents, unserved
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.clusters.named import ref_of
from workers.engine import Engine
from workers.kin import Kin
from workers.plan import Notice
from workers.records import why_not_written

_log = logging.getLogger(__name__)
_COUNT: Final = "Application has {} orphaned resources"  # Argo CD's own words
_UNKNOWN: Final = "orphaned resources cannot be counted: "
_OURS: Final = re.compile(rf"{_COUNT.format('[0-9]+')}|{_UNKNOWN}.*", re.DOTALL)

# What Kubernetes and well-known controllers keep for themselves: Argo CD 3 does not look at them either.
# https://argo-cd.readthedocs.io/en/stable/operator-manual/upgrading/2.14-3.0/#default-resourceexclusions-configurations
_THEIRS: Final = frozenset(
    (
        ("", "Endpoints"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("coordination.k8s.io", "Lease"),
        ("cert-manager.io", "CertificateRequest"),
        ("cilium.io", "CiliumEndpoint"),
        ("cilium.io", "CiliumEndpointSlice"),
        ("kyverno.io", "AdmissionReport"),
        ("kyverno.io", "BackgroundScanReport"),
        ("kyverno.io", "UpdateRequest"),
        ("reports.kyverno.io", "EphemeralReport"),
        ("wgpolicyk8s.io", "PolicyReport"),
    )
)
# What is in every namespace, by group, kind and name.
_EVERYWHERE: Final = frozenset((("", "ServiceAccount", "default"), ("", "ConfigMap", "kube-root-ca.crt")))
_API_SERVER: Final = ObjectKey("", "Service", "default", "kubernetes")


# --- pure -----------------------------------------------------------------------------------------
def nobodys(
    objects: Iterable[Live], had: Container[ObjectKey], alive: Callable[[str], bool], installation: str
) -> Iterator[ObjectKey]:
    """The top-level objects that belong to no application.

    `had` is what applications have in Git, or had: each as its status names it. `alive(app)` tells whether
    there is an application by its `str(AppKey)`, or, as Argo CD's tracking calls it, by its name alone.
    """
    objects = tuple(objects)
    kin = Kin(objects)
    for live in objects:
        key = live.key
        if _never(key) or key in had or not kin.top_level(live) or why_not_written(key, live, installation):
            continue
        if not _claimed(live, alive, installation):
            yield key


def _never(key: ObjectKey) -> bool:
    """Whether such an object is nobody's by nature."""
    name = key.group, key.kind
    return name in _THEIRS or (*name, key.name) in _EVERYWHERE or key == _API_SERVER


def _claimed(live: Live, alive: Callable[[str], bool], installation: str) -> bool:
    """Whether it says itself whose it is, and that is somebody. Of another Mooring's apps nobody here knows
    whether they are there: what they claim is theirs."""
    said = parse_object_id(live.annotations.get(ID, ""))
    if said is not None and said.key == live.key:
        return said.installation != installation or alive(said.app)
    key = live.key
    name, _, rest = live.annotations.get(TRACKING_ID, "").partition(":")
    return bool(name) and rest == f"{key.group}/{key.kind}:{key.namespace}/{key.name}" and alive(name)


def counted(project: AppProject, found: Iterable[ObjectKey]) -> list[ObjectKey]:
    """Those that the project is told of: what it permits and does not ignore."""
    rules = project.spec.orphaned_resources or OrphanedResources()
    return [
        key
        for key in found
        if not rules.ignores(key.group, key.kind, key.name)
        and project.permits_resource(key.group, key.kind, True, key.name)
    ]


def is_count(condition: Condition) -> bool:
    """Whether the condition is one of those that are made here: others of its type are about what an app has
    itself, and had in Git."""
    return condition.type == ORPHANED_RESOURCE and _OURS.fullmatch(condition.message) is not None


def _notices(app: Application, project: AppProject, found: Found | None) -> tuple[Notice, ...]:
    """What `app` is to say; where nobody has looked, what it says."""
    if not _asks(project):
        return ()
    match found:
        case None:
            return tuple(Notice(c.type, c.message) for c in app.status.conditions if is_count(c))
        case str():
            return (Notice(ORPHANED_RESOURCE, f"{_UNKNOWN}{found}"),)
        case _:
            count = len(counted(project, found))
            return (Notice(ORPHANED_RESOURCE, _COUNT.format(count)),) if count else ()


def _shown(project: AppProject, found: Found, at: float) -> Counted:
    return Counted(at, why=found) if isinstance(found, str) else Counted(at, tuple(counted(project, found)))


def _asks(project: AppProject) -> bool:
    return project.spec.orphaned_resources is not None and project.spec.orphaned_resources.warns


# --- edges ----------------------------------------------------------------------------------------
def notices(engine: Engine, app: Application, project: AppProject, turn: Turn) -> tuple[Notice, ...]:
    """What `app` is to say of orphans, for a look at it.

    Costs a round trip to Redis, and nothing where the project does not ask. Only where somebody has asked for
    a refresh, or nobody has looked there yet (nor in vain since the last full reconciliation) and no push
    waits, it looks itself. Raises nothing of the cluster.
    """
    namespace = app.spec.destination.namespace
    if not _asks(project) or not namespace:
        return ()
    known = engine.orphans.of(engine.api.cluster, [namespace]).get(namespace)
    unseen = known is None and not turn.deliveries
    looks = refresh_asked(app) or (unseen and not engine.orphans.was_in_vain(engine.api.cluster))
    seen = _look(engine, [namespace]).get(namespace) if looks else None
    if seen is not None:
        engine.views.put_orphans({app.key: _shown(project, seen, engine.clock())})
        known = seen
    return _notices(app, project, known)


def news(engine: Engine, apps: Sequence[Application]) -> list[AppKey]:
    """Look for orphans where the project of one of `apps` asks for that; those that are to say something else
    than they do. `apps` are all that go to the engine's cluster.

    Costs a LIST of each namespaced kind where any project asks, and nothing else. Raises nothing of the
    cluster: where anything could not be listed or read, everybody says what he said.
    """
    asking: list[tuple[Application, AppProject]] = []
    shown: dict[AppKey, Counted | None] = {app.key: None for app in apps}
    for app in apps:
        if not _is_managed(app.spec.destination.namespace, engine.api) or app.metadata.deletion_timestamp:
            continue
        try:
            project = engine.applications.project(app.spec.project_name)
        except MooringError as error:
            if isinstance(error, Refused) and not isinstance(error, ClusterRefused):
                continue  # the app says so itself
            _log.warning("orphaned resources are as they were last counted: %s", error)
            return []
        if _asks(project):
            asking.append((app, project))
            del shown[app.key]
    namespaces, began = {app.spec.destination.namespace for app, _ in asking}, engine.clock()
    seen = _look(engine, namespaces) if namespaces else {}
    for app, project in asking:
        if (there := seen.get(app.spec.destination.namespace)) is not None:
            shown[app.key] = _shown(project, there, began)
    engine.views.put_orphans(shown)
    engine.orphans.keep_only(engine.api.cluster, namespaces)
    found = engine.orphans.of(engine.api.cluster, namespaces)
    return [
        app.key
        for app, project in asking
        if {notice.message for notice in _notices(app, project, found.get(app.spec.destination.namespace))}
        != {condition.message for condition in app.status.conditions if is_count(condition)}
    ]


def _look(engine: Engine, namespaces: Collection[str]) -> Mapping[str, Found]:
    """Look, and remember what was found: all of it, or nothing."""
    found: Mapping[str, Found]
    try:
        found = look(engine.api, engine.executor, engine.applications, engine.installation.id, namespaces)
    except ClusterRefused as error:
        found = dict.fromkeys(namespaces, str(error))
    except MooringError as error:
        _log.warning("orphaned resources are as they were last counted: %s", error)
        engine.orphans.in_vain(engine.api.cluster, engine.settings.reconcile_s)
        return {}
    engine.orphans.put(engine.api.cluster, found)
    return found


def look(
    api: Api, executor: Executor, applications: Applications, installation: str, namespaces: Collection[str]
) -> dict[str, tuple[ObjectKey, ...]]:
    """What each of `namespaces` holds that belongs to none of `applications`.

    Raises ClusterUnavailable, and ClusterRefused naming the kind that cannot be listed: what nobody has seen
    is neither there nor gone.
    """
    for down in unserved(api).values():
        raise down
    there = contents(api, executor, namespaces, without=_unlisted, whole=_claims)
    for kind, error in there.failed.items():
        if isinstance(error, ClusterRefused):
            raise ClusterRefused(f"{kind} cannot be listed: {error}", code=error.code) from error
        raise error
    listing = applications.list()  # after the objects: whose they are is there by now
    names = {name for app in listing.apps for name in (str(app.key), app.key.name)}
    names |= {name for one in listing.broken if one.key for name in (str(one.key), one.key.name)}
    nameless = any(one.key is None and not one.stray for one in listing.broken)
    had = {one.key for app in listing.apps if _is_in(app, api, applications) for one in app.status.resources}
    had |= {key for one in listing.broken for key in one.has}
    keys = sorted(nobodys(there.objects, had, lambda name: nameless or name in names, installation))
    return {namespace: tuple(key for key in keys if key.namespace == namespace) for namespace in namespaces}


def _is_managed(namespace: str, api: Api) -> bool:
    """Whether an app may be in it: of some clusters nothing is managed but a few namespaces."""
    return bool(namespace) and (not api.namespaces or namespace in api.namespaces)


def _is_in(app: Application, api: Api, applications: Applications) -> bool:
    """Whether the app goes to the cluster of `api`."""
    return ref_of(app.spec.destination, applications.home(), applications.clusters) == api.cluster


def _unlisted(kind: Kind) -> bool:
    return (kind.group, kind.kind) in _THEIRS


def _claims(kind: Kind) -> bool:
    return (kind.group, kind.kind) == ("apps", "StatefulSet")
