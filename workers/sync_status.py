"""What `status.sync.status` of an Application can say, as Argo CD has it."""

from __future__ import annotations

from typing import Final

SYNCED: Final = "Synced"
OUT_OF_SYNC: Final = "OutOfSync"
UNKNOWN: Final = "Unknown"
