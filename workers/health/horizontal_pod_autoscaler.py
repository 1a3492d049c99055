"""Health of autoscaling/HorizontalPodAutoscaler: can it read its metrics and scale?"""

from __future__ import annotations

import json

from workers.health.fields import Body, Malformed, objects, text
from workers.health.status import Health, degraded, healthy, progressing

# autoscaling/v1 has no conditions of its own; the API server shows them in this annotation.
# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#api-object
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"

_BROKEN = {
    ("AbleToScale", "FailedGetScale"),
    ("AbleToScale", "FailedUpdateScale"),
    ("ScalingActive", "FailedGetResourceMetric"),
    ("ScalingActive", "InvalidSelector"),
}
_WORKING = {"AbleToScale", "ScalingLimited"}


def assess(body: Body) -> Health:
    """The first condition that says anything decides."""
    for condition in _conditions(body):
        kind, message = text(condition, "type"), text(condition, "message")
        if (kind, text(condition, "reason")) in _BROKEN:
            return degraded(message)
        if kind in _WORKING and text(condition, "status") == "True":
            return healthy(message)
    return progressing("Waiting to Autoscale")


def _conditions(body: Body) -> list[Body]:
    if text(body, "apiVersion") != "autoscaling/v1":
        return objects(body, "status", "conditions")
    annotation = text(body, "metadata", "annotations", CONDITIONS)
    if not annotation:
        return []
    try:
        return objects({"conditions": json.loads(annotation)}, "conditions")
    except (ValueError, RecursionError) as error:
        raise Malformed(f"annotation {CONDITIONS} is not a JSON list of conditions") from error
