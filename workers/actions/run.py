"""Runs an action on objects of an app: found by its inventory and marks, permitted by its project and in the
name that it says, each write guarded by the version that the action has seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mooring.errors import ClusterUnavailable, Conflict, MooringError, Refused
from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.support import unsupported_spec
from mooring.store.outcomes import Outcome
from mooring.text import few, few_reasons, printable
from workers.actions.asked import Asked
from workers.actions.catalogue import Ended
from workers.actions.writes import carry_out, writes
from workers.applyset import store as parents
from workers.applyset.parent import Parent
from workers.apps.wishes import turn_of
from workers.cluster.live import Live
from workers.clusters.there import reached, there
from workers.engine import Engine
from workers.impersonation import acting
from workers.ownership import why_not_ours
from workers.permitted import Permitted, check_destination, permitted
from workers.pipeline import named

RAN: Final = "ResourceActionRan"  # as Argo CD's Events have it
FAILED: Final = "ResourceActionFailed"
_GENERATIONS: Final = 5  # of controllers between an object and one that Git has
_TRIES: Final = 2
_SHOWN: Final = 5
_log = logging.getLogger(__name__)


def run(engine: Engine, id: str, name: str, action: Any, arguments: Mapping[str, Any]) -> None:
    """Run what the task `id` asks for on the application `name`, unless that was begun before. How it ended
    is told by `engine.outcomes`, an Event about the application and the log."""
    if not engine.outcomes.begin(id):
        return
    outcome = Outcome({}, {}, "it has failed: the worker's log says why")
    try:
        asked = Asked.read(action, arguments)
        app = _app(engine, name)
        try:
            outcome = _run(engine, app, asked)
        except MooringError as error:
            outcome = Outcome({}, {}, str(error))
        _say(engine, app, asked, outcome)
    except MooringError as error:
        outcome = Outcome({}, {}, str(error))
        _log.warning("action %s: %s", id, error)
    finally:
        engine.outcomes.tell(id, outcome)


@dataclass(frozen=True, slots=True)
class _Site:
    engine: Engine
    app: Application
    parent: Parent
    may: Permitted


def _app(engine: Engine, name: str) -> Application:
    key = named(engine, name)
    app = engine.applications.get(key)
    if app is None:
        raise Refused(f"no Application {key.title}")
    return app


def _run(engine: Engine, app: Application, asked: Asked) -> Outcome:
    site = _site(acting(there(engine, app), app), app)
    done: dict[str, str] = {}
    failed: dict[str, str] = {}
    ended = False
    for live in _objects(site, asked):
        if ended:
            failed[live.key.title] = "was left alone after that"
            continue
        try:
            done[live.key.title] = _act(site, live, asked)
        except Ended as error:
            failed[live.key.title], ended = str(error), True
        except MooringError as error:
            failed[live.key.title] = str(error)
    if done:
        engine.wake(turn_of(app.key), {"compare": str(int(engine.clock()))})
    return Outcome(done, failed)


def _site(engine: Engine, app: Application) -> _Site:
    """Raises Refused where nothing of the app may be touched."""
    if app.metadata.deletion_timestamp:
        raise Refused(f"application {app.key.title} is being deleted")
    for one in unsupported_spec(app, *reached(app)):
        if one.blocks and one.path.startswith("spec.destination"):
            raise Refused(str(one))
    may = permitted(engine, app, engine.applications.project(app.spec.project_name))
    check_destination(may, app.spec.destination)
    parent = parents.read(engine.own, engine.settings.namespace, app.key, engine.installation)
    return _Site(app=app, engine=engine, parent=parent, may=may)


def _objects(site: _Site, asked: Asked) -> list[Live]:
    """The objects that are meant: the app's own, or one that their controllers have made. Raises Refused
    where there is none, or it is not clear which."""
    if asked.kind == "Secret" and not asked.group:
        raise Refused("no action is run on a Secret")
    keys = asked.of(site.parent.inventory.entries)
    lives = [live for key in keys if (live := _read(site, key)) is not None]
    for live in lives:
        if why := _why_not_ours(site, live):
            raise Refused(f"{live.key.title} is not this app's: {why}")
    if not lives and asked.name:
        lives = [live for live in _others(site, asked) if _descends(site, live)]
        asked.of(live.key for live in lives)
    if not lives:
        raise Refused(
            f"{site.app.key.title} has no {asked.kind} {asked.name}".rstrip()
            + f": `mooring app resources {site.app.key.name}` lists what it has"
        )
    return lives


def _read(site: _Site, key: ObjectKey) -> Live | None:
    api = site.engine.api
    kind = api.discovery.preferred(key.group, key.kind)
    return api.get(kind, key.namespace, key.name) if kind is not None else None


def _why_not_ours(site: _Site, live: Live) -> str:
    entry = site.parent.inventory.entries.get(live.key)
    return why_not_ours(live, site.app.key, site.engine.installation.id, site.parent.applyset, entry)


def _others(site: _Site, asked: Asked) -> Iterator[Live]:
    """Objects of the name that is asked for, whosever they are."""
    kinds, _ = site.engine.api.discovery.served()
    for group in sorted({kind.group for kind in kinds if kind.kind == asked.kind}):
        kind = site.engine.api.discovery.preferred(group, asked.kind)
        if kind is None or asked.group not in (None, group):
            continue
        namespace = asked.namespace or site.app.spec.destination.namespace
        if kind.namespaced and not namespace:
            continue
        live = site.engine.api.get(kind, namespace if kind.namespaced else "", asked.name)
        if live is not None:
            yield live


def _descends(site: _Site, live: Live) -> bool:
    """Whether a controller has made it for an object of the app's own, or for one that was made so."""
    api = site.engine.api
    for _ in range(_GENERATIONS):
        owner = next((one for one in live.owner_references if one.get("controller")), None)
        kind = api.discovery.find(owner["apiVersion"], owner["kind"]) if owner else None
        if owner is None or kind is None:
            return False
        namespace = live.key.namespace if kind.namespaced else ""
        found = api.get(kind, namespace, owner["name"], metadata_only=True)
        if found is None or found.uid != owner["uid"]:
            return False
        if not _why_not_ours(site, found):
            return True
        live = found
    return False


def _act(site: _Site, live: Live, asked: Asked) -> str:
    """In a word, what was done. What has changed meanwhile is read again, once."""
    engine, api = site.engine, site.engine.api
    if why := site.may.why_not(live.key, namespaced=live.kind.namespaced):
        raise Refused(why)
    for _ in range(_TRIES):
        if live.deletion_timestamp:
            raise Refused("is being deleted")
        assert live.body is not None
        now = datetime.fromtimestamp(engine.clock(), UTC)
        try:
            changes = engine.actions.run(asked.action, live.body, asked.parameters or {}, now)
            return carry_out(writes(live, changes, site.may, engine.installation.id, api), api)
        except Conflict:
            read = api.get(live.kind, live.key.namespace, live.key.name)
            if read is None or read.uid != live.uid:
                raise Refused("was deleted meanwhile") from None
            live = read
        except RecursionError as error:
            raise Refused("is nested too deep") from error
    raise ClusterUnavailable("keeps changing: try again")


def _say(engine: Engine, app: Application, asked: Asked, outcome: Outcome) -> None:
    who = printable(asked.by) or "somebody"
    if outcome.done:
        told = f"{who} ran action {asked.action} on {few(list(outcome.done), _SHOWN)}"
        engine.applications.event(app, "Normal", RAN, told)
        _log.info("application %s: %s", app.key, told)
    reasons = [f"{title}: {why}" for title, why in outcome.failed.items()]
    if why := outcome.error or few_reasons(reasons, _SHOWN):
        told = f"action {asked.action}, asked for by {who}: {why}"
        engine.applications.event(app, "Warning", FAILED, told)
        _log.warning("application %s: %s", app.key, told)
