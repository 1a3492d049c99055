"""The sources of an Application, each at a revision, in the two spellings of Argo CD's schema.

Wherever a status speaks of what is deployed, an app of `spec.source` has `source` and `revision`, and one of
`spec.sources` has `sources` and `revisions`, one a source and in the same order; the other two stay empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mooring.model.spec import Source, SyncOperation
from mooring.model.status import RevisionHistory, SyncResult, SyncStatus
from mooring.revision import shortened


@dataclass(frozen=True, slots=True)
class Pinned:
    """`revisions` are commits, versions of charts, or digests of artifacts: one a source.

    `several`: the sources stand in a list, be it of one.
    """

    sources: tuple[Source, ...]
    revisions: tuple[str, ...]
    several: bool = False

    @classmethod
    def compared(cls, sync: SyncStatus | None) -> Pinned | None:
        """What was compared last; None where that is not told of each source."""
        if sync is None or sync.compared_to is None:
            return None
        at = sync.compared_to
        return cls._read(at.source, at.sources, sync.revision, sync.revisions)

    @classmethod
    def deployed(cls, told: SyncResult | RevisionHistory) -> Pinned | None:
        """What a sync has deployed; None where that is not told of each source."""
        return cls._read(told.source, told.sources, told.revision, told.revisions)

    @classmethod
    def _read(
        cls, source: Source | None, sources: tuple[Source, ...], revision: str, revisions: tuple[str, ...]
    ) -> Pinned | None:
        found = cls(sources, revisions, True) if sources else cls((source,) if source else (), (revision,))
        whole = len(found.sources) == len(found.revisions) and all(found.revisions)
        return found if whole else None

    def moved(self, revisions: Mapping[int, str]) -> Pinned:
        """The same with other revisions, by the position of their sources."""
        moved = (revisions.get(number, before) for number, before in enumerate(self.revisions))
        return replace(self, revisions=tuple(moved))

    @property
    def source_fields(self) -> dict[str, Any]:
        """The sources as fields of a part of the status."""
        if self.several:
            return {"sources": self.sources}
        return {"source": self.sources[0] if self.sources else None}

    @property
    def revision_fields(self) -> dict[str, Any]:
        """The revisions likewise."""
        if self.several:
            return {"revision": "", "revisions": self.revisions}
        return {"revision": self.revisions[0] if self.revisions else ""}

    def __str__(self) -> str:
        return ", ".join(shortened(revision) for revision in self.revisions)


def revisions_of(part: SyncStatus | SyncResult | RevisionHistory | SyncOperation | None) -> tuple[str, ...]:
    """The revisions that a part of the status or an operation tells, in either spelling."""
    if part is None:
        return ()
    return part.revisions or ((part.revision,) if part.revision else ())
