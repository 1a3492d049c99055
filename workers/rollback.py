"""What somebody rolled back from is not deployed again by itself, also where syncs are automated. Pure.

Remembered is what was given for it, not the commit: files, what was fetched, and what the app asks for. So no
other commit brings it back that changes nothing for the app, nor does another version of a tool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.status import (
    ApplicationStatus,
    ComparedTo,
    HealthStatus,
    ResourceStatus,
    SyncStatus,
)
from workers.apps.state import State
from workers.desired import Desired
from workers.digest import digest
from workers.health import HealthStatus as Word
from workers.render.readset import COMMIT, ReadSet
from workers.sync_status import OUT_OF_SYNC

ROLLED_BACK: Final = "RolledBack"  # a condition's type: ours
_MOST: Final = 16  # are remembered: each is 33 characters of an annotation


@dataclass(frozen=True, slots=True)
class Ahead:
    """What Git has and is not deployed, for somebody rolled back from it. `given` is its digest; `wanted` are
    its objects, None where these cannot be told."""

    pinned: Pinned
    inputs: str
    given: str
    wanted: tuple[Desired, ...] | None


def given(pinned: Pinned, read_sets: Sequence[ReadSet]) -> str:
    """The digest of what was given for a render: Git ids, digests of what was fetched, the sources' options;
    32 hexadecimal digits. Revisions, tools and the cluster have no part in it."""
    asked = [source.model_copy(update={"target_revision": ""}).to_dict() for source in pinned.sources]
    read = [
        [[path for path in read_set.paths if path[0] != COMMIT], read_set.remotes] for read_set in read_sets
    ]
    return digest([asked, read])


def is_bad(state: State, what: str) -> bool:
    """Whether somebody rolled back from `what`, and nobody has wanted it since."""
    return what in state.bad.split()


def goes_back(app: Application, pinned: Pinned, *, own: bool) -> bool:
    """Whether a sync by hand of `pinned` leaves what Git has. `own`: it is just where the app's own
    targetRevisions are.

    Where syncs are automated, each other revision is: else the next look would undo it. Elsewhere, what was
    deployed before is, and others may be steps of a promotion.
    """
    before = (revisions_of(entry) for entry in app.status.history)
    return not own and (app.spec.automated is not None or pinned.revisions in before)


def goes_back_to(state: State) -> str:
    """What an app is to be at while Git has what somebody rolled back from: what stands. Where that is what
    he wanted to get away from, what he wanted instead, although that has failed."""
    return state.deployed if not state.stands or is_bad(state, state.stands) else state.stands


def bad_after(state: State, what: str, *, back: bool) -> str:
    """`State.bad` once somebody has `what` synced; `back`: and by that leaves what stands, what was tried
    since and has failed, and what Git was last seen to have."""
    left = (state.stands, state.deployed, state.seen) if back else ()
    bad = dict.fromkeys(one for one in (*state.bad.split(), *left) if one and one != what)
    return " ".join([*bad][-_MOST:])


def told(deployed: Pinned | None, ahead: Pinned) -> str:
    """The condition of an app that was rolled back."""
    to = f"rolled back to {deployed}" if deployed else "rolled back"
    return (
        f"{to}: what Git has at {ahead} is not deployed by itself, until anything of it that is this app's "
        "changes, or somebody syncs it"
    )


def as_git_has_it(
    status: ApplicationStatus, app: Application, deployed: Iterable[Desired], ahead: Ahead
) -> ApplicationStatus:
    """`status`, which tells of what is `deployed`, compared with what Git has in its place: OutOfSync."""
    resources = {one.key: one for one in status.resources}
    if ahead.wanted is not None:
        here = {item.key: item for item in deployed}
        there = {item.key: item for item in ahead.wanted}
        for key, one in resources.items():
            if key in here and (key not in there or here[key].digest != there[key].digest):
                resources[key] = one.model_copy(update={"status": OUT_OF_SYNC})
        resources |= {key: _missing(item) for key, item in there.items() if key not in resources}
    sync = SyncStatus(
        status=OUT_OF_SYNC,
        **ahead.pinned.revision_fields,
        compared_to=ComparedTo(**ahead.pinned.source_fields, destination=app.spec.destination),
    )
    return status.model_copy(update={"sync": sync, "resources": _sorted(resources)})


def _sorted(resources: Mapping[ObjectKey, ResourceStatus]) -> tuple[ResourceStatus, ...]:
    return tuple(
        resources[key] for key in sorted(resources, key=lambda k: (k.group, k.kind, k.namespace, k.name))
    )


def _missing(item: Desired) -> ResourceStatus:
    key = item.key
    return ResourceStatus(
        group=key.group,
        version=item.kind.version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status=OUT_OF_SYNC,
        sync_wave=item.wave,
        health=HealthStatus(status=Word.MISSING),
    )
