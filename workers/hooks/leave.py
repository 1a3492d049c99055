"""What hooks have left of an app that is gone, and whose objects were to stay, is kept by nobody any more.

A hook that still ran has our finalizer. Whoever deleted the app without what it has did not wait for it, and
nobody is left to see how it ends: with the finalizer on, neither it nor its namespace could ever be deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from mooring.errors import MooringError, Refused
from mooring.keys import AppKey
from mooring.model.finalizers import obeyed
from mooring.names import HOOKS
from mooring.text import few
from workers.applyset import store as parents
from workers.applyset.parent import app_of
from workers.clusters.there import elsewhere
from workers.desired import Stamp
from workers.engine import Engine
from workers.health import HOOK_FINALIZER
from workers.hooks.left import left
from workers.hooks.runner import released

_log = logging.getLogger(__name__)


def leave(engine: Engine, key: AppKey) -> None:
    """Take our finalizer off what hooks of the app `key` have left, if it is gone, or only others keep it.
    The objects stay as they are. Never raises for the cluster: who sweeps tries again.

    For an app that is gone no project speaks any more: what is taken off is Mooring's own, and so is who
    does it."""
    try:
        parent = parents.read(engine.own, engine.settings.namespace, key, engine.installation)
        by = Stamp(engine.installation.id, key, parent.applyset)
        found = left(engine.api, engine.executor, by, parent.inventory.hooks)()
        for why in found.unseen:
            _log.warning("application %s is gone, and what its hooks have left is not seen: %s", key, why)
        # Asked after the list: hooks of an app of this name that came since are not in it.
        if not found.held or not _gone(engine, key):
            return
        for live in found.held:
            released(engine.api, live)
        titles = few([live.key.title for live in found.held], 3)
        _log.info("application %s is gone: its hooks stay and are not waited for: %s", key, titles)
    except MooringError as error:
        _log.warning(
            "application %s is gone, and what its hooks have left keeps finalizer %s: %s; it is tried again",
            key,
            HOOK_FINALIZER,
            error,
        )


def sweep(engine: Engine, there: Collection[AppKey | None], inventories: parents.Listed) -> None:
    """`leave` for all that are gone: all but `there`. Who should have done it may have died, or nobody was
    there when they went. Never raises for the cluster."""
    _sweep(engine, there, inventories)
    try:
        for one in elsewhere(engine):
            if one is not None:  # else the next time
                _sweep(one, there, inventories)
    except MooringError as error:
        _log.warning("hooks of applications that are gone are not looked for in other clusters: %s", error)


def _sweep(engine: Engine, there: Collection[AppKey | None], inventories: parents.Listed) -> None:
    try:
        found = inventories.of(engine.api, engine.settings.namespace)
    except MooringError as error:
        _log.warning("hooks of applications that are gone are not looked for: %s", error)
        return
    for live in found:
        key = app_of(live.annotations, engine.installation.id)
        if key is not None and key not in there and live.annotations.get(HOOKS):
            leave(engine, key)


def _gone(engine: Engine, key: AppKey) -> bool:
    """Whether there is no such application, or one that goes and waits for others alone."""
    try:
        app = engine.applications.get(key)
    except Refused:
        return False  # it is there, and nobody can read it
    return app is None or bool(app.metadata.deletion_timestamp and not obeyed(app.metadata.finalizers))
