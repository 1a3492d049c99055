"""Health of batch/Job."""

from __future__ import annotations

from workers.health.fields import Body, condition, text
from workers.health.status import Health, degraded, healthy, progressing, suspended


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions

    Two differences from Argo CD: a condition counts only while its status is "True", else a Job that
    was suspended and resumed would be Healthy while it still runs; and Suspended says why.
    """
    for kind, verdict in (("Failed", degraded), ("Suspended", suspended), ("Complete", healthy)):
        found = condition(body, kind)
        if found is not None and text(found, "status") == "True":
            return verdict(text(found, "message"))
    return progressing()
