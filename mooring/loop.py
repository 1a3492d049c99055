"""The main loop of a process that counts alone: says that it turns, and tells when it stands still."""

from __future__ import annotations

import time

from mooring.exporter import still
from mooring.metrics import pulse


class Loop:
    """The loop of the process `name`, which lives as long as it never stands still for `most` seconds."""

    def __init__(self, name: str, most: float) -> None:
        self._name = name
        self._most = most
        self._turned_at = 0.0

    def turned(self) -> None:
        """Say that it turns. For every second or two."""
        self._turned_at = time.time()
        pulse(self._name)

    def unwell(self) -> list[str]:
        """What is wrong with it, if anything: for `exporter.serve`."""
        line = still(self._name, self._turned_at, self._most)
        return [line] if line else []
