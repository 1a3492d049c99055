"""What a sync would do, object by object, and what it must leave alone. Pure: no I/O, no clock.

Nothing is destroyed on doubt: an object that was not seen for certain is neither pruned nor forgotten,
and whatever is kept from pruning is kept with a reason that people can read and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mooring.keys import AppKey, ObjectKey
from mooring.model.annotations import ignores_extraneous
from mooring.model.hooks import wave_of
from mooring.model.sync_options import Consent, Propagation, sync_options
from mooring.names import APPLYSET_PART_OF
from mooring.store.proofs import Proof
from mooring.text import few
from workers.applyset.inventory import Entry, Inventory, Writer
from workers.apps.conditions import ORPHANED_RESOURCE, SHARED_RESOURCE
from workers.cluster.live import Live
from workers.cluster.order import Groups, apply_order, prune_order
from workers.desired import Desired
from workers.observe import Observed
from workers.ownership import Owner, Whose, owner, precious, tracked_by_argo, why_not_ours
from workers.proof import proves
from workers.records import why_not_deleted, why_not_written


class Verb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    KEEP = "unchanged"  # proved to be as Git wants it
    PRUNE = "prune"
    REFUSE = "refuse"  # somebody else's: not written
    AWAIT = "await"  # being deleted: it can only be created anew once it is gone


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done to one object. `adopts`: it existed before and was not ours."""

    verb: Verb
    key: ObjectKey
    desired: Desired | None
    live: Live | None
    reason: str = ""
    adopts: bool = False
    propagation: Propagation = "foreground"  # of a deletion
    last: bool = False  # a deletion that waits until all else is healthy
    writer: Writer = "apply"  # how the inventory says that the object is written

    @property
    def wave(self) -> int:
        """Of an object that has left Git, the one that it was written in."""
        if self.desired is not None:
            return self.desired.wave
        return wave_of(self.live.annotations) if self.live is not None else 0

    @property
    def counts(self) -> bool:
        """Whether a deletion is a reason to sync: its object does not say that it is none."""
        return self.live is None or not ignores_extraneous(self.live.annotations)


@dataclass(frozen=True, slots=True)
class Extra:
    """An object that has left Git and stays in the cluster, and why. `condition` is "" for the usual case."""

    key: ObjectKey
    live: Live
    reason: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A condition to be put on the Application."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """From where a plan looks: this app, and which objects other apps still render.

    `renders(app, key)` says whether the application named by `str(AppKey)` still wants the object,
    `claimed(key)` whether any other application has it in Git.
    """

    app: AppKey
    installation: str
    applyset: str
    renders: Callable[[str, ObjectKey], bool]
    claimed: Callable[[ObjectKey], bool]


@dataclass(frozen=True, slots=True)
class Permission:
    """What the app and the operation allow to be deleted."""

    prune: bool  # at all
    by_hand: bool  # somebody asked for this very operation, and for pruning in it
    approved: bool  # somebody confirmed deletions on the Application
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in the order of application, deletions in the order of deletion, and what stays as it is."""

    # Groups, each of one wave: the objects of one group may be written in parallel.
    writes: tuple[tuple[Step, ...], ...]
    prunes: tuple[tuple[Step, ...], ...]
    kept: tuple[Step, ...]  # proved unchanged
    refused: tuple[Step, ...]  # another's, or being deleted
    extras: tuple[Extra, ...]
    grow: Mapping[ObjectKey, Entry]  # to be in the inventory before the first create
    gone: frozenset[ObjectKey]  # seen gone: leave the inventory
    notices: tuple[Notice, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of all objects that are wanted."""
        return (*self.kept, *self.refused, *(step for group in self.writes for step in group))

    @property
    def must_prune(self) -> bool:
        """Whether something is to be deleted, and not merely on the occasion of a sync."""
        return any(step.counts for group in self.prunes for step in group)

    @property
    def changes(self) -> bool:
        """Whether there is a reason to apply this plan."""
        return bool(self.writes) or self.must_prune


def plan(
    wanted: Sequence[Desired],
    observed: Observed,
    inventory: Inventory,
    proofs: Mapping[ObjectKey, Proof],
    schema: Callable[[Desired], str],
    view: Viewpoint,
    options: Sequence[str],
    permission: Permission,
    hooks: Collection[ObjectKey] = (),
) -> Plan:
    """The plan that takes the cluster from `observed` to `wanted`. `options` are the app's sync options as
    written, `schema(desired)` the identity of the schema that reads an object, `hooks` what Git has as hooks:
    that has not left Git, and whoever runs them makes room for them."""
    steps = [
        write_step(item, observed.objects.get(item.key), proofs.get(item.key), schema(item), view)
        for item in wanted
    ]
    entries = {step.key: _entry(step, inventory.entries.get(step.key), view) for step in steps}
    writes = [
        replace(step, writer=entries[step.key].writer)
        for step in steps
        if step.verb in (Verb.CREATE, Verb.UPDATE)
    ]
    refused = tuple(step for step in steps if step.verb in (Verb.REFUSE, Verb.AWAIT))
    grow = {
        step.key: entries[step.key]
        for step in steps
        if step.verb is not Verb.REFUSE and entries[step.key] != inventory.entries.get(step.key)
    }
    prunes, extras, gone, notices = _prunes(wanted, observed, inventory, view, options, permission, hooks)
    notices += [
        Notice(SHARED_RESOURCE, f"{step.key.title}: {step.reason}")
        for step in refused
        if step.verb is Verb.REFUSE
    ]
    return Plan(
        writes=groups(writes),
        prunes=groups(prunes, prune_order, last_first=True),
        kept=tuple(step for step in steps if step.verb is Verb.KEEP),
        refused=refused,
        extras=tuple(extras),
        grow=grow,
        gone=frozenset(gone),
        notices=tuple(notices),
    )


def write_step(item: Desired, live: Live | None, proof: Proof | None, schema: str, view: Viewpoint) -> Step:
    """What is to be done to one desired object; also used to plan anew after a 409."""
    own = why_not_written(item.key, live, view.installation)
    if own:
        return Step(Verb.REFUSE, item.key, item, live, own)
    if live is None:
        return Step(Verb.CREATE, item.key, item, None)
    said = owner(live, view.app, view.installation)
    if said.whose in (Whose.OURS, Whose.NOBODY) and live.deletion_timestamp:
        return Step(Verb.AWAIT, item.key, item, live, "is being deleted; it is created anew once it is gone")
    if said.whose is Whose.OURS:
        if proves(proof, item.digest, schema, live):
            return Step(Verb.KEEP, item.key, item, live)
        return Step(Verb.UPDATE, item.key, item, live)
    reason = _why_not_written(live, said, view)
    if reason:
        return Step(Verb.REFUSE, item.key, item, live, reason)
    adopts = not tracked_by_argo(live, view.app.name)
    return Step(Verb.UPDATE, item.key, item, live, "existed before and is now ours", adopts)


def _why_not_written(live: Live, said: Owner, view: Viewpoint) -> str:
    if said.whose is Whose.OTHER_INSTALLATION:
        return "belongs to another Mooring: it is not written; remove it from one of the two"
    if said.whose is Whose.OTHER_APP and view.renders(said.app, live.key):
        name = AppKey.parse(said.app).name if "_" in said.app else said.app
        return f"belongs to app {name}, which still has it in Git: remove it from one of the two"
    return ""


def _entry(step: Step, known: Entry | None, view: Viewpoint) -> Entry:
    """What the inventory has to say. One that is adopted now is that, though we had once made its like."""
    if known is None:
        # Marked as ours and not written down: the inventory was lost, and with it who made the object.
        lost = step.live and owner(step.live, view.app, view.installation).whose is Whose.OURS
        known = Entry("adopted" if lost else "created")
    asked = step.desired.writer if step.desired is not None else "apply"
    return Entry("adopted" if step.adopts else known.origin, known.writer if asked == "apply" else asked)


def _prunes(
    wanted: Sequence[Desired],
    observed: Observed,
    inventory: Inventory,
    view: Viewpoint,
    options: Sequence[str],
    permission: Permission,
    hooks: Collection[ObjectKey],
) -> tuple[list[Step], list[Extra], set[ObjectKey], list[Notice]]:
    names = {item.key for item in wanted}.union(hooks)
    candidates: list[Step] = []
    extras: list[Extra] = []
    gone: set[ObjectKey] = set()
    notices: list[Notice] = []
    for key, entry in sorted(inventory.entries.items()):
        if key in hooks:
            live = observed.objects.get(key)
            if key in observed.absent or (live and live.labels.get(APPLYSET_PART_OF) != view.applyset):
                gone.add(key)  # what was kept has made room: a hook is not in the inventory
            continue
        if key in names:
            continue
        if key in observed.absent:
            gone.add(key)
            continue
        live = observed.objects.get(key)
        if live is None:
            continue  # not seen for certain
        if owner(live, view.app, view.installation).whose in (Whose.OTHER_APP, Whose.OTHER_INSTALLATION):
            gone.add(key)  # handed over: theirs now
            continue
        reason = why_not_deleted(key, live, view.app.namespace, view.installation) or why_not_ours(
            live, view.app, view.installation, view.applyset, entry
        )
        if reason:
            notices.append(Notice(ORPHANED_RESOURCE, f"{key.title} left Git and stays: {reason}"))
            extras.append(Extra(key, live, reason, ORPHANED_RESOURCE))
        elif live.deletion_timestamp:
            extras.append(Extra(key, live, _GOING))
        elif permission.prune and view.claimed(key):
            extras.append(Extra(key, live, _HANDED_OVER))
        else:
            own = sync_options(options, live.annotations)
            how = own.prune_propagation_policy
            candidates.append(Step(Verb.PRUNE, key, None, live, propagation=how, last=own.prune_last))
    for key, live in sorted(observed.objects.items()):
        ours = owner(live, view.app, view.installation).whose is Whose.OURS
        if ours and key not in names and key not in inventory.entries and not live.controller_owner:
            message = (
                f"{key.title} says it is this app's, but is neither in Git nor in the inventory: not touched"
            )
            notices.append(Notice(ORPHANED_RESOURCE, message))
    prunes = []
    skip_all = _why_none(candidates, wanted, inventory, permission)
    for step in candidates:
        reason = skip_all or _why_kept(step, inventory.entries[step.key], options, permission)
        if not reason:
            prunes.append(step)
            continue
        assert step.live is not None
        extras.append(Extra(step.key, step.live, reason))
    notices += _prune_notices(extras)
    return prunes, extras, gone, notices


NOT_ALLOWED = "left Git; pruning is not allowed by the app or the operation"
_GOING = "is being deleted"
_HANDED_OVER = "another app has it in Git: it is handed over to that one"
_TO_STAY = "its sync option Prune=false keeps it"
_TO_CONFIRM = "its sync option Prune=confirm asks for a confirmation"


def _why_none(
    candidates: Sequence[Step], wanted: Sequence[Desired], inventory: Inventory, permission: Permission
) -> str:
    if not permission.prune:
        return NOT_ALLOWED
    if permission.by_hand or permission.approved:
        return ""
    if not wanted and candidates and not permission.allow_empty:
        return "Git has no object at all any more, and syncPolicy.automated.allowEmpty is not set"
    if len(candidates) > 2 and 2 * len(candidates) > len(inventory.entries):
        return (
            f"an automated sync does not prune {len(candidates)} of {len(inventory.entries)} objects at once"
        )
    return ""


def _why_kept(step: Step, entry: Entry, options: Sequence[str], permission: Permission) -> str:
    assert step.live is not None
    own = sync_options(options, step.live.annotations)
    if own.prune is Consent.NO:
        return _TO_STAY
    if own.prune is Consent.CONFIRM and not permission.approved:
        return _TO_CONFIRM
    if permission.by_hand or permission.approved:
        return ""
    if precious(step.key):
        return f"an automated sync does not delete a {step.key.kind}"
    if entry.origin == "adopted":
        return "an automated sync does not delete what it adopted rather than created"
    return ""


PRUNE_SKIPPED = "PruneSkipped"


def _prune_notices(extras: Sequence[Extra]) -> list[Notice]:
    by_reason: dict[str, list[str]] = {}
    for extra in extras:
        if not extra.condition and extra.reason not in (NOT_ALLOWED, _TO_STAY, _GOING, _HANDED_OVER):
            by_reason.setdefault(extra.reason, []).append(extra.key.title)
    approve = "set argocd.argoproj.io/deletion-approved on the Application to the time of now"
    return [
        Notice(
            PRUNE_SKIPPED,
            f"{few(titles, 5)} left Git and stays: {reason}; to delete it, "
            + (approve if reason == _TO_CONFIRM else f"sync with prune, or {approve}"),
        )
        for reason, titles in sorted(by_reason.items())
    ]


def groups(
    steps: Sequence[Step],
    order: Callable[[Iterable[ObjectKey]], Groups] = apply_order,
    *,
    last_first: bool = False,
) -> tuple[tuple[Step, ...], ...]:
    """Wave by wave, and of each wave by kind and name."""
    waves: dict[int, dict[ObjectKey, Step]] = {}
    for step in steps:
        waves.setdefault(step.wave, {})[step.key] = step
    return tuple(
        tuple(waves[wave][key] for key in group)
        for wave in sorted(waves, reverse=last_first)
        for group in order(waves[wave])
    )


def without_prunes(found: Plan, why: str = "not pruned because an earlier step failed") -> Plan:
    """`found` with its deletions left for later."""
    extras = tuple(
        Extra(step.key, step.live, why) for group in found.prunes for step in group if step.live is not None
    )
    return replace(found, prunes=(), extras=found.extras + extras)
