"""Health of apps/Deployment: the rollout as `kubectl rollout status` follows it."""

from __future__ import annotations

from workers.health.fields import Body, condition, flag, is_observed, maybe_number, number, text
from workers.health.status import Health, degraded, healthy, progressing, suspended


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status"""
    if flag(body, "spec", "paused"):
        return suspended("Deployment is paused")
    if not is_observed(body):
        return progressing(
            "Waiting for rollout to finish: observed deployment generation less than desired generation"
        )
    rollout = condition(body, "Progressing")
    if rollout is not None and text(rollout, "reason") == "ProgressDeadlineExceeded":
        return degraded(f'Deployment "{text(body, "metadata", "name")}" exceeded its progress deadline')

    wanted = maybe_number(body, "spec", "replicas")
    updated = number(body, "status", "updatedReplicas")
    if wanted is not None and updated < wanted:
        return progressing(
            f"Waiting for rollout to finish: {updated} out of {wanted} new replicas have been updated..."
        )
    old = number(body, "status", "replicas") - updated
    if old > 0:
        return progressing(f"Waiting for rollout to finish: {old} old replicas are pending termination...")
    available = number(body, "status", "availableReplicas")
    if available < updated:
        return progressing(
            f"Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        )
    return healthy()
