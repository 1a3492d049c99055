"""What both tiers measure. webhook/metrics.py and workers/metrics.py have what is theirs alone.

A process of a group counts in files of its own, in the directory that PROMETHEUS_MULTIPROC_DIR names when
prometheus_client is imported; mooring/exporter.py adds them up. Without one it counts in its memory.
docs/metrics.md says what each metric means, and a test holds the two to each other.
"""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Gauge, Histogram

STAGE: Final = Histogram(
    "mooring_stage_duration_seconds",
    "How long a stage of a push took",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
PULSE: Final = Gauge(
    "mooring_process_pulse_timestamp_seconds",
    "When the main loop of a process last turned",
    ["process"],
    multiprocess_mode="liveall",
)
PULSE_EVERY_S: Final = 2.0


def pulse(process: str, ahead_s: float = 0.0) -> None:
    """Say that the main loop of `process` turns, for every second or two, or that it may stand still for
    `ahead_s` seconds from now."""
    PULSE.labels(process).set(time.time() + ahead_s)
