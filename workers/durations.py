"""Durations as Go writes them, and so whatever Argo CD reads: `1h30m`, `500ms`. Pure.

https://pkg.go.dev/time#ParseDuration
"""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_MOST: Final = 2.0**63 / 1e9  # what Go can count in nanoseconds


def seconds(text: str) -> float | None:
    """The seconds that `text` means; None for what is no duration, negative, or more than Go can count."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return total if total < _MOST else None
