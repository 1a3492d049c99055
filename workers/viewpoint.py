"""From where an app sees the others: which objects they still have in Git, as far as they have said so."""

from __future__ import annotations

from mooring.errors import ClusterRefused
from mooring.keys import ObjectKey
from mooring.model.application import Application
from workers.apps.store import Applications, Broken
from workers.clusters.named import ref_of
from workers.plan import Viewpoint


def viewpoint(applications: Applications, installation: str, app: Application, applyset: str) -> Viewpoint:
    """The viewpoint of `app`. The other apps are listed once, and only when a plan asks about one of them."""
    known: tuple[dict[str, Application], list[Broken]] | None = None

    def others() -> tuple[dict[str, Application], list[Broken]]:
        nonlocal known
        if known is None:
            listing = applications.list()
            read = {str(one.key): one for one in listing.apps if one.key != app.key}
            known = read, [one for one in listing.broken if one.key != app.key and not one.stray]
        return known

    def beside(other: Application) -> bool:
        """Whether it is in the same cluster, as far as anybody knows."""
        home, secrets = applications.home(), applications.clusters
        try:
            theirs = ref_of(other.spec.destination, home, secrets)
            return theirs is None or theirs == ref_of(app.spec.destination, home, secrets)
        except ClusterRefused:  # of Secrets that may not be read: those who need them say so
            return True

    def renders(name: str, key: ObjectKey) -> bool:
        read, broken = others()
        other = read.get(name)
        if other is None:
            # One that cannot be read is there all the same, and keeps what it has; so may one without a name.
            return any(one.key is None or str(one.key) == name for one in broken)
        state = other.status.operation_state
        if other.status.sync is None or (state is not None and state.phase == "Running"):
            return True  # it has not said yet what it has
        return _has(other, key)

    def claimed(key: ObjectKey) -> bool:
        read, broken = others()
        staying = [other for other in read.values() if not other.metadata.deletion_timestamp]
        there = any(_has(other, key) and beside(other) for other in staying)
        return there or any(key in one.has for one in broken)

    return Viewpoint(
        app=app.key,
        installation=installation,
        applyset=applyset,
        renders=renders,
        claimed=claimed,
    )


def _has(app: Application, key: ObjectKey) -> bool:
    """Whether `app`, when it was last looked at, had the object in Git."""
    return any(r.key == key and not r.requires_pruning for r in app.status.resources)
