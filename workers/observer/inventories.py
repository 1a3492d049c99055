"""Of which kinds an installation has objects in a cluster, and whose they are: told from the metadata of its
ApplySet parents. No I/O.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from mooring.keys import AppKey
from mooring.names import APPLYSET_GROUP_KINDS, APPLYSET_ID, APPLYSET_NAMESPACES, ID
from workers.applyset.parent import app_of
from workers.cluster.live import Live
from workers.cluster.watch import Change, Changed, Gone, Listed


@dataclass(frozen=True, slots=True)
class _Parent:
    app: AppKey
    kinds: frozenset[tuple[str, str]]  # group and kind
    namespaces: frozenset[str]


class Inventories:
    """Those that `installation` has in one cluster, by their ApplySets; everybody's while that is ""."""

    def __init__(self) -> None:
        self.installation = ""
        self._known: dict[str, _Parent] = {}
        self._apps: frozenset[AppKey] | None = None
        self._kinds: dict[tuple[str, str], set[str]] | None = None

    def hear(self, change: Change) -> None:
        """What the watch of the parents says."""
        match change:
            case Listed(objects):
                self._known, self._apps, self._kinds = {}, None, None
                for live in objects:
                    self._read(live)
            case Changed(live):
                self._read(live)
            case Gone(live):
                self._note(live.labels.get(APPLYSET_ID, ""), None)

    def apps(self) -> frozenset[AppKey]:
        """All that have an inventory here."""
        if self._apps is None:
            self._apps = frozenset(one.app for one in self._known.values())
        return self._apps

    def app(self, applyset: str) -> AppKey | None:
        """Whose the objects of an ApplySet are; None where that is none of ours."""
        known = self._known.get(applyset)
        return known.app if known else None

    def with_kind(self, group: str, kind: str) -> tuple[str, ...]:
        """The ApplySets that have objects of the kind."""
        return tuple(id for id, one in self._known.items() if (group, kind) in one.kinds)

    def kinds(self) -> Mapping[tuple[str, str], Set[str]]:
        """Group and kind of all that anybody has, with the namespaces where that may be."""
        if self._kinds is None:
            self._kinds = {}
            for one in self._known.values():
                _add(self._kinds, one)
        return self._kinds

    def _read(self, live: Live) -> None:
        applyset = live.labels.get(APPLYSET_ID, "")
        app = app_of(live.annotations, self.installation or live.annotations.get(ID, "").partition("/")[0])
        if app is None:
            self._note(applyset, None)
            return
        kinds = (text.partition(".") for text in _listed(live, APPLYSET_GROUP_KINDS))
        # The parent's own namespace is not among those that it names.
        namespaces = frozenset((*_listed(live, APPLYSET_NAMESPACES), live.key.namespace))
        self._note(applyset, _Parent(app, frozenset((group, kind) for kind, _, group in kinds), namespaces))

    def _note(self, applyset: str, now: _Parent | None) -> None:
        """The parent of that ApplySet is as `now`; None where it is none, or gone."""
        before = self._known.pop(applyset, None)
        if now is not None:
            self._known[applyset] = now
        if now == before:
            return
        self._apps = None
        if before is not None:
            self._kinds = None
        elif now is not None and self._kinds is not None:  # as apps come: else all are summed for each
            _add(self._kinds, now)


def _add(kinds: dict[tuple[str, str], set[str]], one: _Parent) -> None:
    for name in one.kinds:
        kinds.setdefault(name, set()).update(one.namespaces)


def _listed(live: Live, annotation: str) -> list[str]:
    return [text for text in live.annotations.get(annotation, "").split(",") if text]
