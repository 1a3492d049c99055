"""An app's objects with all that has come of them, as its cluster has them right now; and without anything
that they say, for those who ask the web tier, which asks nobody who he is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

from mooring.errors import MooringError
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.model.status import ResourceStatus
from workers.cluster.api import Api
from workers.cluster.contents import contents
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.health import Judge
from workers.tree import Node, tree

if TYPE_CHECKING:  # a command needs no Redis
    from workers.engine import Engine
    from workers.permitted import Permitted

_log = logging.getLogger(__name__)
_MOST: Final = 2000  # objects of one tree that are shown
_NAMESPACES: Final = 10  # that are looked through for it


def branches(
    api: Api, executor: Executor, resources: Sequence[ResourceStatus], namespace: str, judge: Judge
) -> tuple[tuple[Node, ...], Mapping[str, MooringError]]:
    """The tree of an app, which has these `resources` and goes to `namespace`, and why some of its cluster
    could not be listed, by kind as in `Contents`. Reads the namespaces that the app has something in; of
    Secrets no more than that they are there.

    Raises ClusterUnavailable and ClusterRefused where not even the kinds can be asked for.
    """
    keys = {one.key for one in resources}
    namespaces = {key.namespace for key in keys} | {namespace}

    def whole(kind: Kind) -> bool:
        return judge.judges(kind.group, kind.kind)

    def got(key: ObjectKey) -> Live | None:
        kind = api.discovery.preferred(key.group, key.kind)
        return api.get(kind, "", key.name, metadata_only=not whole(kind)) if kind else None

    found = contents(api, executor, namespaces - {""}, whole=whole, apart=True)
    of_the_cluster = executor.map(got, sorted(key for key in keys if not key.namespace))
    objects = [*found.objects, *(live for live in of_the_cluster if live is not None)]
    return tree([one for one in resources if not one.hook], objects, judge), found.failed


def show(engine: Engine, name: str) -> None:
    """Record the tree of the app whose key is `name`, for a minute. Raises as Applications and Redis do."""
    try:
        key = AppKey.parse(name)
        app = engine.applications.get(key)
        if app is not None:
            engine.trees.put(key, {"seenAt": engine.clock(), **_seen(engine, app)})
    except ValueError:
        _log.warning("%r names no application whose tree could be shown", name[:80])
    finally:
        engine.trees.done()


def _seen(engine: Engine, app: Application) -> Mapping[str, Any]:
    from workers.clusters.there import there
    from workers.permitted import permitted

    try:
        at, namespace = there(engine, app), app.spec.destination.namespace
        may = permitted(engine, app, engine.applications.project(app.spec.project_name))
        resources = shown(app.status.resources, may)
        nodes, failed = branches(at.api, at.executor, resources, namespace, engine.judges.now())
    except MooringError as error:
        _log.info("the tree of application %s cannot be had: %s", app.key, error)
        return {"objects": [], "moreObjects": 0, "unseenKinds": [], "seen": False}
    room = iter(range(_MOST))
    told = _told(nodes, room)
    unread = sum(not one.hook for one in app.status.resources) - sum(not one.hook for one in resources)
    more = unread + _count(nodes) - (_MOST - len(tuple(room)))
    return {"objects": told, "moreObjects": more, "unseenKinds": sorted(failed), "seen": True}


def shown(resources: Sequence[ResourceStatus], may: Permitted) -> list[ResourceStatus]:
    """Those that anybody may ask for: whoever may edit an Application writes into its status what he likes,
    so none that its project does not permit, and neither objects nor namespaces without end."""
    those = [one for one in resources if not may.why_not(one.key, namespaced=bool(one.key.namespace))][:_MOST]
    namespaces = sorted({one.key.namespace for one in those} - {""})[:_NAMESPACES]
    return [one for one in those if one.key.namespace in ("", *namespaces)]


def _told(nodes: Sequence[Node], room: Iterator[int]) -> list[dict[str, Any]]:
    """As many of them as there is room for; without the words of their health, which repeat objects' own."""
    return [
        {
            "group": node.key.group,
            "kind": node.key.kind,
            "namespace": node.key.namespace,
            "name": node.key.name,
            "status": node.status,
            "health": str(node.health.status) if node.health else "",
            "children": _told(node.children, room),
        }
        for node in nodes
        if next(room, None) is not None
    ]


def _count(nodes: Iterable[Node]) -> int:
    return sum(1 + node.deeper + _count(node.children) for node in nodes)
