"""What a revision is at its host right now."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Found:
    """An archive that is known and need not be here yet: `Remotes.tree` brings it.

    Whatever is the same here is the same archive: `digest` belongs into keys of caches.
    """

    version: str  # of the chart ("1.2.3"); of an artifact the digest of its manifest ("sha256:…")
    digest: str  # SHA-256 of the archive, 64 hexadecimal digits
    url: str = field(repr=False)  # where the archive is
    source: str = field(repr=False)  # what was asked for it, whose credential it is
    chart: str = ""  # the name that the chart must have; "" when it is no chart
    top: bool = False  # whether the archive holds one directory, which is left out
    trusted: bool = False  # as it was asked for
    pass_credentials: bool = False
    anonymous: bool = False  # it is at a host that an index named: the credential is not for it
