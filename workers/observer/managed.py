"""What one cluster has of ours: watched by kind, and each change told to whom it concerns.

The kinds follow the inventories, so whatever is deployed is watched as soon as it may be there.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Set
from typing import Final

from mooring.errors import StoreUnavailable
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_ID, APPLYSET_PART_OF
from mooring.store.ours import Ours
from mooring.store.proofs import Proofs
from mooring.store.turns import Turns
from workers.applyset.store import CONFIG_MAP
from workers.cluster.api import Api
from workers.cluster.watch import Changed, Gone, Listed, watch
from workers.health import Judge
from workers.observer.awaits import Seen, judged
from workers.observer.inventories import Inventories
from workers.observer.suspects import Suspects
from workers.observer.watches import NOTHING, Heard, News, Place, Sights, Tell, Watches, at, sights, why

_log = logging.getLogger(__name__)
_ASKED_AGAIN_S: Final = 300.0  # whether inventories that might not be watched are permitted by now


class Managed:
    """The cluster of `api`, called `title`, where inventories are in `namespace`. Its watches `tell`; what
    they say goes to `hear`, by the thread that calls all other methods as well.

    `shared` is a place that somebody else has watched, and begins again; inventories may be there."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        tell: Tell,
        judge: Judge,
        proofs: Proofs,
        ours: Ours,
        turns: Turns,
        pace_s: float,
        title: str = "",
        shared: Place | None = None,
        *,
        cluster_resources: bool = True,
    ) -> None:
        self._api = api
        self._title = title
        self.inventories_at = Place("", CONFIG_MAP.kind, APPLYSET_ID, namespace)
        self._begins_inventories = shared != self.inventories_at
        self._inventories = Inventories()
        self._ours = ours
        self._inventories_from = 0.0
        self._said = ""  # why inventories are not watched
        self._suspects = Suspects(api.cluster, proofs, turns, pace_s)
        self.watches = Watches(api, tell, judge, namespace, title, cluster_resources=cluster_resources)

    def hear(self, place: Place, heard: Heard) -> News:
        """What one of its watches says: what is not as it was."""
        if place == self.inventories_at:
            if isinstance(heard, Exception):
                if not self._begins_inventories:
                    return NOTHING
                self.watches.drop(place)
                self._inventories_from = time.monotonic() + _ASKED_AGAIN_S
                if why(heard) != self._said:  # once: it is asked for again and again
                    said = at(self._title), why(heard)
                    _log.warning("%sinventories cannot be watched, drift is seen by time: %s", *said)
                self._said = why(heard)
                return NOTHING
            if isinstance(heard, Listed | Changed | Gone):
                self._inventories.hear(heard)
        if isinstance(heard, Listed | Changed | Gone):
            heard = sights(heard, self.watches.judge)
        running = self.watches.get(place)
        first = running is not None and not running.listed
        news = self.watches.hear(place, heard)
        if place.label == APPLYSET_PART_OF:
            self._suspects.note(news.edited)
            if first and isinstance(heard, Sights) and not place.namespace:
                sets = self._inventories.with_kind(place.group, place.kind)
                self._suspects.note_all(sets, place.group, place.kind)
        return news

    def place_watches(self) -> None:
        """Begin those of kinds that are in an inventory, and say that they are needed still."""
        self._learn_whose()
        if self._begins_inventories:
            self._watch_inventories()
        for name, namespaces in self._inventories.kinds().items():
            for place in self.watches.places(*name, APPLYSET_PART_OF, namespaces):
                self.watches.need(place)

    def _watch_inventories(self) -> None:
        if time.monotonic() < self._inventories_from or self.watches.get(self.inventories_at):
            return
        selector, namespace = self.inventories_at.label, self.inventories_at.namespace
        self.watches.begin(
            self.inventories_at,
            lambda ends: watch(self._api, CONFIG_MAP, namespace, selector, metadata_only=True, ends=ends),
            whole=True,
        )

    def _learn_whose(self) -> None:
        """What another installation, which has this cluster beside its own, has here is none of ours."""
        if self._inventories.installation:
            return
        with contextlib.suppress(StoreUnavailable):
            self._inventories.installation = self._ours.known()
        if self._inventories.installation:
            self.watches.drop(self.inventories_at)

    def whose(self, one: Seen) -> AppKey | None:
        """The app that has the object; None for nobody's of ours."""
        return self._inventories.app(one.applyset)

    def has_any(self, apps: Set[AppKey]) -> bool:
        """Whether any of `apps` is deployed here, as far as is heard yet."""
        return bool(apps) and not apps.isdisjoint(self._inventories.apps())

    def seen(self, key: ObjectKey) -> Seen | None:
        """How an object of ours was seen last; None where that is not seen."""
        if not judged(key.group, key.kind, self.watches.judge):
            return None
        for place in self.watches.places(key.group, key.kind, APPLYSET_PART_OF, (key.namespace,)):
            if (running := self.watches.get(place)) is not None:
                return running.objects.get(key)
        return None

    def changed(self) -> frozenset[AppKey]:
        """Whose objects are not as Mooring left them. Raises StoreUnavailable."""
        return self._suspects.told(self._inventories.app, time.monotonic())

    def next_s(self) -> float | None:
        """Seconds until `changed` may have something to tell that no watch does; None for nothing."""
        return self._suspects.next_s(time.monotonic())

    def tidy(self, kept: Collection[ObjectKey]) -> bool:
        """As `Watches.tidy`."""
        self._suspects.tidy(time.monotonic())
        return self.watches.tidy(kept)
