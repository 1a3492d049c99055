"""What is left to do until all that an app has deployed is gone with it. Pure: no I/O, no clock.

Only our own is ever deleted, by the rules of pruning (workers/ownership.py); what must stay, or may, is kept
with a reason. The highest wave goes first, and the next one once that was seen gone.

https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/
https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-resource-deletion
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mooring.keys import ObjectKey
from mooring.model.finalizers import Cascade
from mooring.model.sync_options import Consent, sync_options
from mooring.names import ARGO_GROUP
from workers.applyset.inventory import Inventory
from workers.cluster.live import Live
from workers.cluster.order import prune_order
from workers.desired import CRD
from workers.observe import Observed
from workers.ownership import Whose, owner, why_not_ours
from workers.plan import Extra, Step, Verb, Viewpoint, groups
from workers.records import why_not_deleted

_FOREIGN = "OrphanedResourceWarning"


@dataclass(frozen=True, slots=True)
class Waits:
    """What a deletion waits for, for people, and the objects whose events may be what it waits for: all of
    `leaving` are to be gone, any of `hooks` to end or to be gone."""

    why: str
    leaving: tuple[ObjectKey, ...] = ()
    hooks: tuple[ObjectKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Deletion:
    """How far it has come. Where `asked` names objects, nothing is deleted until somebody has approved it."""

    now: tuple[tuple[Step, ...], ...]  # the wave whose turn it is, in groups: one after the other
    going: tuple[Live, ...]  # deleted, and not gone yet
    later: tuple[ObjectKey, ...]  # of lower waves
    asked: tuple[ObjectKey, ...]
    unseen: tuple[ObjectKey, ...]  # of which nobody can say whether they are there
    stays: tuple[Extra, ...]  # `condition` is "" for what was meant to
    gone: frozenset[ObjectKey]  # leave the inventory: seen gone, or another's by now

    @property
    def done(self) -> bool:
        """Whether nothing is left but what stays."""
        return not (self.now or self.going or self.later or self.asked or self.unseen)


def deletion(
    observed: Observed,
    inventory: Inventory,
    view: Viewpoint,
    options: Sequence[str],
    *,
    cascade: Cascade,
    approved: bool,
    why_not: Callable[[Live], str],
) -> Deletion:
    """What is left to be done about the objects in `inventory`, as `observed`.

    `options` are the app's sync options as written; `approved`: somebody has confirmed what asks for that;
    `why_not(live)` which rule of the app's project keeps it from touching the object, "" where none does.
    """
    candidates: list[Step] = []
    going: list[Live] = []
    asked: list[ObjectKey] = []
    unseen: list[ObjectKey] = []
    stays: list[Extra] = []
    gone: set[ObjectKey] = set()
    itself = ObjectKey(ARGO_GROUP, "Application", view.app.namespace, view.app.name)
    for key in sorted(inventory.entries):
        live = observed.objects.get(key)
        if key in observed.absent or key == itself:
            gone.add(key)
            continue
        if live is None:
            unseen.append(key)
            continue
        whose = owner(live, view.app, view.installation).whose
        if whose in (Whose.OTHER_APP, Whose.OTHER_INSTALLATION):
            gone.add(key)  # handed over: theirs now
            continue
        if kept := _why_kept(live, inventory, view, options, why_not):
            stays.append(kept)
        elif live.deletion_timestamp:
            going.append(live)
        else:
            if sync_options(options, live.annotations).delete is Consent.CONFIRM and not approved:
                asked.append(key)
            candidates.append(Step(Verb.PRUNE, key, None, live, propagation=cascade))
    wave = max(
        [*(step.wave for step in candidates), *(_step(live, cascade).wave for live in going)], default=0
    )
    first = [step for step in candidates if step.wave == wave]
    held = bool(asked or unseen)
    return Deletion(
        now=() if held else groups(first, prune_order),
        going=tuple(going),
        later=tuple(step.key for step in candidates if (held or step.wave != wave) and step.key not in asked),
        asked=tuple(asked),
        unseen=tuple(unseen),
        stays=tuple(stays),
        gone=frozenset(gone),
    )


def _step(live: Live, cascade: Cascade) -> Step:
    return Step(Verb.PRUNE, live.key, None, live, propagation=cascade)


def _why_kept(
    live: Live,
    inventory: Inventory,
    view: Viewpoint,
    options: Sequence[str],
    why_not: Callable[[Live], str],
) -> Extra | None:
    key = live.key
    foreign = why_not_deleted(key, live, view.app.namespace, view.installation) or why_not_ours(
        live, view.app, view.installation, view.applyset, inventory.entries[key]
    )
    if foreign:
        return Extra(key, live, foreign, _FOREIGN)
    if view.claimed(key):
        return Extra(key, live, "another app has it in Git: it is handed over to that one")
    if sync_options(options, live.annotations).delete is Consent.NO:
        return Extra(key, live, "its sync option Delete=false, or helm.sh/resource-policy: keep, keeps it")
    if (key.group, key.kind) == CRD:
        return Extra(key, live, "all objects of its kind would go with it: delete it by hand if you mean it")
    if rule := why_not(live):
        return Extra(key, live, rule, _FOREIGN)
    return None
