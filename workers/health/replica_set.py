"""Health of apps/ReplicaSet."""

from __future__ import annotations

from workers.health.fields import Body, condition, is_observed, maybe_number, number, text
from workers.health.status import Health, degraded, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/"""
    if not is_observed(body):
        return progressing(
            "Waiting for rollout to finish: observed replica set generation less than desired generation"
        )
    failure = condition(body, "ReplicaFailure")
    if failure is not None and text(failure, "status") == "True":
        return degraded(text(failure, "message"))
    wanted = maybe_number(body, "spec", "replicas")
    available = number(body, "status", "availableReplicas")
    if wanted is not None and available < wanted:
        return progressing(
            f"Waiting for rollout to finish: {available} out of {wanted} new replicas are available..."
        )
    return healthy()
