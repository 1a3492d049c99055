"""Applications of which an object has changed, and not by Mooring's own hand.

What a sync has written is in its records (mooring/store/proofs.py) by the time that it gives its turn back.
So whatever changes is held against these, all of a burst at once, and once nobody is at work on the app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from mooring.errors import StoreGarbled
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.store.proofs import Proof, Proofs
from mooring.store.turns import Turns
from workers.apps.wishes import turn_of
from workers.observer.awaits import Seen
from workers.observer.patience import Patience
from workers.proof import mark

_HELD_S: Final = 0.2  # until it is asked again whether somebody is still at work on an app

WhoseIs = Callable[[str], AppKey | None]


class Suspects:
    """Those of one cluster. `pace_s` is how often everything is looked at anyway: nobody waits longer."""

    def __init__(self, cluster: ClusterRef, proofs: Proofs, turns: Turns, pace_s: float) -> None:
        self._cluster = cluster
        self._proofs = proofs
        self._turns = turns
        self._open: dict[str, dict[ObjectKey, Seen]] = {}  # by ApplySet
        self._listed: dict[str, set[tuple[str, str]]] = {}  # the kinds of which all there is was just seen
        self._held: dict[str, float] = {}  # until when somebody is taken to be at work on them
        self._patient: dict[str, float] = {}  # until when nothing is to be told of what was noted
        self._patience = Patience(pace_s)

    def note(self, changed: Iterable[Seen]) -> None:
        """These are not as they were."""
        for one in changed:
            self._open.setdefault(one.applyset, {})[one.key] = one
            if not self._patience.knows(one.key):
                self._patient.pop(one.applyset, None)

    def note_all(self, applysets: Iterable[str], group: str, kind: str) -> None:
        """All objects of the kind were seen, and noted: what has a record and was not is gone."""
        for applyset in applysets:
            self._open.setdefault(applyset, {})
            self._listed.setdefault(applyset, set()).add((group, kind))

    def next_s(self, now: float) -> float | None:
        """Seconds until there is something to be told; None for nothing."""
        return max(0.0, min(map(self._due_at, self._open)) - now) if self._open else None

    def told(self, whose: WhoseIs, now: float) -> frozenset[AppKey]:
        """Those to be looked at now. Costs nothing where nothing has changed, else two round trips for all.

        Raises StoreUnavailable; then they are told the next time.
        """
        due = [id for id in self._open if self._due_at(id) <= now]
        apps = {id: app for id in due if (app := whose(id))}
        for id in due:
            if id not in apps:
                self._forget(id)
        if not apps:
            return frozenset()
        held = self._turns.held([turn_of(app) for app in apps.values()])
        free = {id: app for id, app in apps.items() if turn_of(app) not in held}
        for id in apps.keys() - free.keys():
            self._held[id] = now + _HELD_S
        try:
            records = self._proofs.load_all(self._cluster, list(free.values()))
        except StoreGarbled:  # whoever is woken puts that right
            records = {app: {} for app in free.values()}
        return frozenset(app for id, app in free.items() if self._speaks(id, records[app], now))

    def _speaks(self, id: str, records: Mapping[ObjectKey, Proof], now: float) -> bool:
        """Whether anything of the ApplySet that was noted is not as recorded, and it is time to say so."""
        objects, listed = self._open[id], self._listed.get(id, set())
        other = {key for key, one in objects.items() if not _as_recorded(one, records.get(key))}
        other |= {key for key in records if (key.group, key.kind) in listed and key not in objects}
        left = min((self._patience.left(key, now) for key in other), default=0.0)
        if left:
            self._patient[id] = now + left
            return False
        for key in other:
            self._patience.told(key, now)
        self._forget(id)
        return bool(other)

    def _due_at(self, id: str) -> float:
        return max(self._held.get(id, 0.0), self._patient.get(id, 0.0))

    def _forget(self, id: str) -> None:
        self._open.pop(id, None)
        self._listed.pop(id, None)
        self._held.pop(id, None)
        self._patient.pop(id, None)

    def tidy(self, now: float) -> None:
        """Forget who has been calm for long."""
        self._patience.tidy(now)


def _as_recorded(one: Seen, record: Proof | None) -> bool:
    """Whether an object is just as Mooring has left it: its last write, or a look that found nothing."""
    if not one.status:
        return record is None
    return record is not None and mark(record, counted=one.counted) == one.mark
