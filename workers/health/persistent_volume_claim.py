"""Health of a PersistentVolumeClaim: is it bound to a volume?"""

from __future__ import annotations

from workers.health.fields import Body, text
from workers.health.status import Health, degraded, healthy, progressing, unknown


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding"""
    match text(body, "status", "phase"):
        case "Bound":
            return healthy()
        case "Pending":
            return progressing()
        case "Lost":
            return degraded()
    return unknown()
