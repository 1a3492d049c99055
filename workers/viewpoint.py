"""From where an app sees the others: which objects they still have in Git, as far as they have said so."""

from __future__ import annotations

from mooring.keys import ObjectKey
from mooring.model.application import Application
from workers.apps.store import Applications
from workers.plan import Viewpoint


def viewpoint(applications: Applications, installation: str, app: Application, applyset: str) -> Viewpoint:
    """The viewpoint of `app`. The other apps are listed once, and only when a plan asks about one of them."""
    known: dict[str, Application] | None = None

    def others() -> dict[str, Application]:
        nonlocal known
        if known is None:
            known = {str(one.key): one for one in applications.list().apps if one.key != app.key}
        return known

    def renders(name: str, key: ObjectKey) -> bool:
        other = others().get(name)
        if other is None:
            return False
        state = other.status.operation_state
        if other.status.sync is None or (state is not None and state.phase == "Running"):
            return True  # it has not said yet what it has
        return _has(other, key)

    return Viewpoint(
        app=app.key,
        installation=installation,
        applyset=applyset,
        renders=renders,
        claimed=lambda key: any(_has(other, key) for other in others().values()),
    )


def _has(app: Application, key: ObjectKey) -> bool:
    """Whether `app`, when it was last looked at, had the object in Git."""
    return any(
        ObjectKey(r.group, r.kind, r.namespace, r.name) == key and not r.requires_pruning
        for r in app.status.resources
    )
