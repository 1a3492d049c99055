"""Processes of machines whose clocks are wrong."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest


def skewed(seconds: int) -> Mapping[str, str]:
    """Variables for a process whose clock is so many seconds ahead (below 0: behind) of everybody's.

    Skips the test where there is no libfaketime, which is made for Linux.
    """
    found = importlib.util.find_spec("libfaketime")
    library = Path((found and found.origin) or "").parent / "vendor/libfaketime/src/libfaketime.so.1"
    if not library.exists():
        pytest.skip("there is no libfaketime here")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+}s", "DONT_FAKE_MONOTONIC": "1"}
