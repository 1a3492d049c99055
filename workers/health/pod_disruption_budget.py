"""Health of policy/PodDisruptionBudget: can its controller tell what may be disrupted?"""

from __future__ import annotations

from workers.health.fields import Body, objects, text
from workers.health.status import Health, degraded, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/pod-disruption-budget-v1/"""
    health = progressing("Waiting for status")
    for condition in objects(body, "status", "conditions"):
        reason = text(condition, "reason")
        # That nothing may be disrupted for now is what some budgets are for.
        # https://github.com/argoproj/argo-cd/issues/20171
        if text(condition, "status") == "False" and reason != "InsufficientPods":
            return degraded(f"PodDisruptionBudget has {reason}")
        health = healthy(f"PodDisruptionBudget has {reason}")
    return health
