"""Health of batch/CronJob: how its last run went, as far as its status tells."""

from __future__ import annotations

from workers.health.fields import Body, flag, items, mapping, text
from workers.health.status import Health, degraded, healthy, progressing


def assess(body: Body) -> Health:
    """https://argo-cd.readthedocs.io/en/stable/operator-manual/upgrading/3.1-3.2/#cronjob-health"""
    # Not Suspended: that would make the whole application Suspended.
    # https://github.com/argoproj/argo-cd/issues/24428
    if flag(body, "spec", "suspend"):
        return healthy("CronJob is Suspended")
    if mapping(body, "status") is None:
        return progressing("Waiting for CronJob")
    scheduled, succeeded = (
        text(body, "status", "lastScheduleTime"),
        text(body, "status", "lastSuccessfulTime"),
    )
    if not scheduled:
        return healthy("CronJob has not been scheduled yet")
    # The first run may still go on, or all have failed: the status does not tell them apart.
    if not succeeded:
        return healthy("The CronJob never completed successfully. It may not be healthy")
    if items(body, "status", "active"):
        return healthy("The job is running. Its last execution may not have been successful")
    # The API server writes times in UTC with whole seconds: order of text is order of time.
    if succeeded < scheduled:
        return degraded("CronJob has not completed its last execution successfully")
    return healthy("CronJob has completed its last execution successfully")
