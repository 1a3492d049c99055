"""What the web tier measures. docs/metrics.md says what each means."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from prometheus_client import Counter, Gauge


class Result(StrEnum):
    """What became of a request that was to be a delivery."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    PING = "ping"
    IGNORED = "ignored"
    UNVERIFIED = "unverified"
    NO_SECRET = "no_secret"  # noqa: S105 - it says that there is none
    UNKNOWN_HOST = "unknown_host"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    FULL = "full"
    UNAVAILABLE = "unavailable"


DELIVERIES: Final = Counter(
    "mooring_deliveries_total", "Deliveries that were received or refused", ["host", "result"]
)
IN_FLIGHT: Final = Gauge(
    "mooring_deliveries_in_flight", "Deliveries that are being received", multiprocess_mode="livesum"
)
