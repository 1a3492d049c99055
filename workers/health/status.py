"""What the health of an object is: a status and a sentence, in Argo CD's words and order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class HealthStatus(StrEnum):
    """The statuses of `status.health.status`, from best to worst as Argo CD 3 aggregates them.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/health/
    """

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """One object's health. `message` is a line for people and may be empty."""

    status: HealthStatus
    message: str = ""


_RANK = {status: rank for rank, status in enumerate(HealthStatus)}


def worst(healths: Iterable[Health]) -> Health:
    """The unhealthiest of `healths`, the first among equals; Healthy when there are none."""
    return max(healths, key=lambda health: _RANK[health.status], default=Health(HealthStatus.HEALTHY))


def healthy(message: str = "") -> Health:
    return Health(HealthStatus.HEALTHY, message)


def suspended(message: str = "") -> Health:
    return Health(HealthStatus.SUSPENDED, message)


def progressing(message: str = "") -> Health:
    return Health(HealthStatus.PROGRESSING, message)


def degraded(message: str = "") -> Health:
    return Health(HealthStatus.DEGRADED, message)


def unknown(message: str = "") -> Health:
    return Health(HealthStatus.UNKNOWN, message)
