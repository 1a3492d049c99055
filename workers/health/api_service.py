"""Health of apiregistration.k8s.io/APIService: does the aggregated API answer?"""

from __future__ import annotations

from workers.health.fields import Body, condition, text
from workers.health.status import Health, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/"""
    available = condition(body, "Available")
    if available is None:
        return progressing("Waiting to be processed")
    message = f"{text(available, 'reason')}: {text(available, 'message')}"
    return healthy(message) if text(available, "status") == "True" else progressing(message)
