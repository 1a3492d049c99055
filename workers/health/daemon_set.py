"""Health of apps/DaemonSet."""

from __future__ import annotations

from workers.health.fields import Body, is_observed, number, text
from workers.health.status import Health, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/"""
    if not is_observed(body):
        return progressing(
            "Waiting for rollout to finish: observed daemon set generation less than desired generation"
        )
    wanted = number(body, "status", "desiredNumberScheduled")
    updated = number(body, "status", "updatedNumberScheduled")
    # With OnDelete old pods stay until somebody deletes them: waiting for that would never end.
    if text(body, "spec", "updateStrategy", "type") == "OnDelete":
        return healthy(f"daemon set {updated} out of {wanted} new pods have been updated")

    waiting = f'Waiting for daemon set "{text(body, "metadata", "name")}" rollout to finish'
    if updated < wanted:
        return progressing(f"{waiting}: {updated} out of {wanted} new pods have been updated...")
    available = number(body, "status", "numberAvailable")
    if available < wanted:
        return progressing(f"{waiting}: {available} of {wanted} updated pods are available...")
    return healthy()
