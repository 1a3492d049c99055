"""What applications, and clusters, that are gone leave behind, and nobody can need any more."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from mooring.errors import MooringError, Refused
from mooring.keys import AppKey, ClusterRef
from workers.applyset.parent import parent_name
from workers.applyset.store import CONFIG_MAP, Listed
from workers.apps.store import Listing
from workers.clusters.there import elsewhere
from workers.engine import Engine
from workers.hooks.leave import sweep
from workers.threads import apart, leave

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0


def let_go_by_and_by(engine: Engine, listing: Listing, inventories: Listed) -> None:
    """`let_go`, which is left to a thread where clusters may hang that it asks."""
    if not _others(engine):
        let_go(engine, listing, inventories)
        return

    def work() -> None:
        with engine.clusters.only_once("let go") as mine:
            if mine:
                let_go(engine, listing, inventories)

    with contextlib.suppress(RuntimeError):  # no thread can be begun: the next time
        leave([apart(work)], _PATIENCE_S)


def _others(engine: Engine) -> bool:
    try:
        return bool(engine.clusters.others())
    except MooringError:
        return False


def let_go(engine: Engine, listing: Listing, inventories: Listed) -> None:
    """Let go of what is kept of renders (workers/bundles.py) and hooks (workers/hooks/leave.py) of apps that
    are gone, as `listing`, a complete one, has it. Never raises for the cluster.

    Where an app's inventory is still there, so may be what it has deployed: under the same name the app would
    find its passwords again, so they are kept, until the very cluster that they were written for, and all
    others, have answered. Where an app that cannot be read has no name, it may be any.
    """
    if any(one.key is None for one in listing.broken):
        return
    there = {app.key for app in listing.apps} | {one.key for one in listing.broken}
    sweep(engine, there, inventories)
    try:
        engine.clusters.tidy()
    except MooringError as error:
        _log.warning("how clusters were that are gone stays known: %s", error)

    def gone(key: AppKey, cluster: ClusterRef) -> bool:
        return key not in there and not _there(engine, key) and not _has_inventory(engine, key, cluster)

    try:
        engine.bundles.let_go(gone)
    except MooringError as error:
        _log.warning("what is kept of applications that are gone stays: %s", error)


def _there(engine: Engine, key: AppKey) -> bool:
    """Asked anew: it may have been created since the list. One that cannot be read is there."""
    try:
        return engine.applications.get(key) is not None
    except Refused:
        return True


def _has_inventory(engine: Engine, key: AppKey, cluster: ClusterRef) -> bool:
    """In any cluster; one that cannot be asked may have it, and so may `cluster` where no Secret names it."""
    name = parent_name(engine.installation.id, key)

    def there(one: Engine) -> bool:
        return one.api.get(CONFIG_MAP, one.settings.namespace, name, metadata_only=True) is not None

    asked = {engine.api.cluster}
    if there(engine):
        return True
    for one in elsewhere(engine):
        if one is None or there(one):
            return True
        asked.add(one.api.cluster)
    return cluster not in asked
