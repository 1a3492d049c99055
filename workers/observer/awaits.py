"""What an application waits for, and whether it has come: pure, from its status and the objects seen."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

import orjson

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.finalizers import obeyed
from mooring.names import APPLYSET_PART_OF
from workers.apps.patches import state_of
from workers.cluster.live import Live, comparable
from workers.health import BUILT_IN, HOOK_FINALIZER, Health, HealthStatus, Judge
from workers.proof import mark, record, told_by_metadata
from workers.report import APPLYING, RETRYING
from workers.sighted import Sight

# What these say may be another thing in a moment, and nobody need be told.
_MOVING: Final = (HealthStatus.PROGRESSING, HealthStatus.UNKNOWN, HealthStatus.MISSING)
# What they hold is no observer's business, not even where it is permitted.
_UNSEEN: Final = (("", "Secret"), ("", "ConfigMap"))


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """One object as it was seen. A gone one has a status of "".

    `mark` is what its record is held against, as `counted` says (workers/proof.py),
    `shape` another one once anything but its status has moved, `applyset` whose it says that it is, `message`
    what goes with the status.
    """

    key: ObjectKey
    uid: str
    generation: int
    status: str
    mark: bytes = field(default=b"", compare=False)
    counted: bool = field(default=False, compare=False)
    shape: bytes = field(default=b"", compare=False)
    applyset: str = field(default="", compare=False)
    message: str = field(default="", compare=False)

    @property
    def settled(self) -> bool:
        return self.status not in _MOVING

    @property
    def sight(self) -> Sight:
        """How one that is there is, for whom it concerns."""
        return Sight(Health(HealthStatus(self.status), self.message), self.mark, self.counted)

    def stands_as(self, before: Seen | None) -> bool:
        """Whether nothing but its status has moved since."""
        if before is None or bool(self.status) != bool(before.status):
            return False
        return (self.uid, self.shape, self.applyset) == (before.uid, before.shape, before.applyset)


def seen(live: Live, *, gone: bool = False, judge: Judge = BUILT_IN) -> Seen:
    """What `live` shows, as `judge` has it; nothing is kept of it. Without its body: whether it stays."""
    applyset = sys.intern(live.labels.get(APPLYSET_PART_OF, ""))
    counts = told_by_metadata(live)
    known = mark(record("", "", live), counted=counts)
    found = Seen(
        live.key, live.uid, live.generation or 0, "", known, counts, _shape(live, known, counts), applyset
    )
    if gone:
        return found
    health = judge.assess({"metadata": {"deletionTimestamp": live.deletion_timestamp}} | (live.body or {}))
    if health is None:
        found = replace(found, status=HealthStatus.HEALTHY.value)
    else:
        found = replace(found, status=health.status.value, message=health.message)
    if live.deletion_timestamp and HOOK_FINALIZER in live.finalizers and not found.settled:
        return replace(found, status=HealthStatus.DEGRADED.value)  # a hook that is deleted has ended by that
    return found


def _shape(live: Live, known: bytes, counts: bool) -> bytes:
    """As `known`, but for kinds that count no generations, where the whole is there to be held against."""
    if counts or live.body is None or APPLYSET_PART_OF not in live.labels:
        return known
    rest = {**comparable(live.body), "managed": live.manager_entry()}
    return sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).digest()[:16]


def judged(group: str, kind: str, judge: Judge) -> bool:
    """Whether an observer may see how objects of the kind are, not only that they are there."""
    return (group, kind) not in _UNSEEN and judge.judges(group, kind)


@dataclass(frozen=True, slots=True)
class Awaits:
    """The objects that the next step of an application depends on.

    All of `healthy` are to settle, or one of them to go wrong; any of `hooks` to end; any of `leaving` to be
    gone, and all of `going`. `hurried`: an operation waits for that, not only what is shown of the app.
    `version` is that of the application that says so.
    """

    healthy: frozenset[ObjectKey]
    hooks: frozenset[ObjectKey]
    leaving: frozenset[ObjectKey]
    going: frozenset[ObjectKey] = frozenset()
    hurried: bool = True
    version: str = field(default="", compare=False)

    @property
    def keys(self) -> frozenset[ObjectKey]:
        return self.healthy | self.hooks | self.to_go

    @property
    def to_go(self) -> frozenset[ObjectKey]:
        return self.leaving | self.going

    def seeable(self, key: ObjectKey, judge: Judge) -> bool:
        """Whether an observer may look for it: of a kind that has no health only whether it is gone."""
        if key in self.healthy:
            return judged(key.group, key.kind, judge)
        return (key.group, key.kind) not in _UNSEEN

    def unlisted(self, key: ObjectKey) -> Seen | None:
        """How `key` is seen where a list does not have it: it is gone; None where it may be yet to come."""
        return None if key in self.healthy else Seen(key, "", 0, "")


def worked_on(app: Application) -> bool:
    """Whether somebody has begun a sync of it and not yet said what came of that."""
    state = app.status.operation_state
    return state is not None and state.phase == "Running" and state.message.startswith(APPLYING)


def awaits(app: Application) -> Awaits | None:
    """What `app` waits for, as its status has it; None when it waits for no object.

    Nor does one that somebody is at work on (he writes down what he leaves waiting), or one whose retry waits
    for its time.
    """
    status, state = app.status, app.status.operation_state
    if app.metadata.deletion_timestamp:
        if not obeyed(app.metadata.finalizers):
            return None
        told = state_of(app)  # what it waits for now; what it has besides has its turn later
        return _any(Awaits(frozenset(), _parsed(told.hooks), frozenset(), _parsed(told.leaving)))
    running = state is not None and state.phase == "Running"
    if worked_on(app) or (state is not None and running and state.message.startswith(RETRYING)):
        return None
    if not running and status.health.status != HealthStatus.PROGRESSING:
        return None
    healthy = frozenset(
        one.key
        for one in status.resources
        # One that has left hooks behind is as healthy as it is without them: see report.py.
        if not one.hook and one.health is not None and one.health.status == HealthStatus.PROGRESSING
    )
    results = state.sync_result.resources if state is not None and running and state.sync_result else ()
    hooks = frozenset(one.key for one in results if one.hook_type and one.hook_phase == "Running")
    leaving = _pruned(app) if running else frozenset()
    version = app.metadata.resource_version
    return _any(Awaits(healthy - leaving, hooks, leaving, hurried=running, version=version))


def _any(found: Awaits) -> Awaits | None:
    return found if found.keys else None


def _pruned(app: Application) -> frozenset[ObjectKey]:
    return frozenset(one.key for one in app.status.resources if one.requires_pruning)


def _parsed(keys: str) -> frozenset[ObjectKey]:
    """What makes no sense is left out: anybody who may edit the Application may write there."""
    found = set()
    for text in keys.split():
        with contextlib.suppress(ValueError):
            found.add(ObjectKey.parse(text))
    return frozenset(found)


def news(wanted: Awaits, objects: Mapping[ObjectKey, Seen]) -> frozenset[Seen]:
    """Of the `objects` seen, those for which it is worth looking at the application now; mostly none.

    The same as long as nothing more happens: whoever was woken by it need not be woken by it again.
    """
    settled = {key: one for key in wanted.healthy if (one := objects.get(key)) and one.settled}
    if len(settled) < len(wanted.healthy):
        settled = {key: one for key, one in settled.items() if one.status != HealthStatus.HEALTHY}
    ended = {key: one for key in wanted.hooks if (one := objects.get(key)) and one.settled}
    gone = {key: one for key in wanted.to_go if (one := objects.get(key)) and not one.status}
    if not wanted.going <= gone.keys():
        gone = {key: one for key, one in gone.items() if key in wanted.leaving}
    return frozenset((settled | ended | gone).values())
