"""Lets an app wait for those that it depends on, wakes it once they are ready, and lets it go before them.

Each reads what the others say of themselves, on their Applications, and whether something newer is wanted of
them: a push that concerns both finds the one that is depended on Synced, at the commit before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.model.depends import depends_on
from mooring.model.finalizers import cascade
from mooring.names import ARGO_GROUP
from workers.apps.conditions import DEPENDENCY_CYCLE
from workers.apps.wishes import turn_of
from workers.deletion import Waits
from workers.depends import circle, unready
from workers.engine import Engine
from workers.plan import Notice
from workers.push import groups

_DEPENDS: Final = {"depends": "1"}
# Whoever is deleted together is so within this time.
_TOGETHER: Final = timedelta(seconds=5)


def cycle(engine: Engine, app: Application) -> Notice | None:
    """What to say of `app` if it depends on itself, by way of others or not. They are told as well, and
    again once that is over, in whatever order they came to be."""
    read: dict[AppKey, Application | None] = {app.key: app}

    def needs(key: AppKey) -> Iterable[AppKey]:
        if key not in read:
            read[key] = _get(engine, key)
        found = read[key]
        return depends_on(found) if found is not None else ()

    way = circle(app.key, needs)
    if not way:
        if _in_circle(app):
            for one in engine.waiters.of(turn_of(app.key)):
                engine.wake(one, _DEPENDS)
        return None
    engine.waiters.add([*map(turn_of, depends_on(app))], turn_of(app.key))
    for key in way[1:-1]:
        other = read[key]
        if other and not _in_circle(other):
            engine.wake(turn_of(key), _DEPENDS)
    told = " → ".join(_named(key, app) for key in way)
    why = f"depends on itself: {told}: take one of them out of mooring.dev/depends-on"
    return Notice(DEPENDENCY_CYCLE, why)


def _in_circle(app: Application) -> bool:
    """Whether it was told so when it was last looked at."""
    return any(one.type == DEPENDENCY_CYCLE for one in app.status.conditions)


def waits(engine: Engine, app: Application) -> str:
    """What `app` has to wait for before it is synced; "" for nothing. It is woken once that may be over."""
    keys = depends_on(app)
    if not keys or not _unready(engine, app, keys):
        return ""
    # What becomes ready before we have left word is seen by looking once more.
    others = [_get(engine, key) for key in keys]
    pushes = {group.name for other in others if other is not None for group in groups(other)}
    engine.waiters.add([*map(turn_of, keys), *sorted(pushes)], turn_of(app.key))
    found = _unready(engine, app, keys)
    return f"waits for {'; '.join(found)}" if found else ""


def dependents(engine: Engine, app: Application) -> tuple[Waits | None, tuple[str, ...]]:
    """Of `app`, which is being deleted: what it waits for, since they depend on it and go first, or None; and
    which of them stay without it."""
    apps = {one.key: one for one in engine.applications.list().apps}
    apps[app.key] = app
    own = _all_needed(apps, app.key)
    needing = [one for one in apps.values() if one.key not in own and app.key in depends_on(one)]
    going = [one for one in needing if one.metadata.deletion_timestamp and cascade(one.metadata.finalizers)]
    staying = [one for one in needing if not one.metadata.deletion_timestamp]
    if going:
        engine.waiters.add([turn_of(one.key) for one in going], turn_of(app.key))
        them = ", ".join(_named(one.key, app) for one in going)
        leaving = tuple(
            ObjectKey(ARGO_GROUP, "Application", one.metadata.namespace, one.metadata.name) for one in going
        )
        why = f"waits for {them}, which depends on it and is being deleted too, to be gone"
        return Waits(why, leaving), ()
    deleted = datetime.fromisoformat(app.metadata.deletion_timestamp).timestamp()
    names = tuple(_named(one.key, app) for one in staying)
    if staying and engine.clock() < deleted + _TOGETHER.total_seconds():
        return Waits(f"waits for a moment: {', '.join(names)} depends on it, and may be deleted too"), ()
    return None, names


def ended(engine: Engine, turn: str) -> None:
    """Wake whoever waits for the end of `turn`, which has ended: an app that is ready or gone, or a push."""
    who = engine.waiters.of(turn)
    if not who:
        return
    kind, _, name = turn.partition(":")
    if kind == "app":
        app = _get(engine, AppKey.parse(name))
        if app is not None and _why(engine, app):
            return
    engine.waiters.forget(turn, who)
    for one in who:
        engine.wake(one, _DEPENDS)


def _unready(engine: Engine, app: Application, keys: Iterable[AppKey]) -> list[str]:
    found = []
    for key in keys:
        name = _named(key, app)
        try:
            other = engine.applications.get(key)
        except Refused:
            found.append(f"{name}, which cannot be read")
            continue
        if other is None:
            found.append(f"{name}, which does not exist")
        elif why := _why(engine, other):
            found.append(f"{name}, which {why}")
    return found


def _why(engine: Engine, app: Application) -> str:
    looked_at = engine.applications.state(app).spec == engine.applications.edition(app)
    wanted = [turn_of(app.key), *(group.name for group in groups(app))]
    return unready(app, current=looked_at and not engine.turns.any_open(wanted))


def _all_needed(apps: dict[AppKey, Application], start: AppKey) -> set[AppKey]:
    """`start` and all that it depends on, by way of others too."""
    found, reached = {start}, [start]
    for one in reached:
        news = [key for key in depends_on(apps[one]) if key in apps and key not in found]
        found |= set(news)
        reached += news
    return found


def _get(engine: Engine, key: AppKey) -> Application | None:
    try:
        return engine.applications.get(key)
    except Refused:
        return None


def _named(key: AppKey, app: Application) -> str:
    return key.name if key.namespace == app.metadata.namespace else key.title
