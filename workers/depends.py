"""Whether an app that others depend on is ready, and whether it depends on itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mooring.keys import AppKey
from mooring.model.application import Application


def circle(start: AppKey, needs: Callable[[AppKey], Iterable[AppKey]]) -> tuple[AppKey, ...]:
    """The shortest way from `start` back to it along `needs`: (start, …, start); () where there is none."""
    came: dict[AppKey, AppKey] = {}  # from which one each was first reached
    reached = [start]
    for one in reached:
        for other in needs(one):
            if other == start:
                way = [one]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return (*reversed(way), start)
            if other not in came:
                came[other] = one
                reached.append(other)
    return ()


def unready(app: Application, *, current: bool) -> str:
    """Why an app that depends on `app` has to wait; "" when it has not to. `current`: nothing newer is wanted
    of `app` than what its status tells of."""
    state, sync, health = app.status.operation_state, app.status.sync, app.status.health.status
    if app.metadata.deletion_timestamp:
        return "is being deleted"
    if sync is None:
        return "was not compared yet"
    if app.operation is not None or (state is not None and state.phase in ("Running", "Terminating")):
        return "is being synced"
    if sync.status != "Synced":
        return f"is {sync.status}"
    if health != "Healthy":
        return f"is {health or 'of unknown health'}"
    return "" if current else "is about to be looked at"
