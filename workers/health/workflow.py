"""Health of argoproj.io/Workflow, in whichever version: only its phase matters."""

from __future__ import annotations

from workers.health.fields import Body, text
from workers.health.status import Health, degraded, healthy, progressing, unknown


def assess(body: Body) -> Health:
    """https://argo-workflows.readthedocs.io/en/latest/fields/#workflowstatus"""
    message = text(body, "status", "message")
    match text(body, "status", "phase"):
        case "" | "Pending" | "Running":
            return progressing(message)
        case "Succeeded":
            return healthy(message)
        case "Failed" | "Error":
            return degraded(message)
    return unknown(message)
