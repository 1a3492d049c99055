"""Health of apps/StatefulSet, partitioned roll outs included."""

from __future__ import annotations

from workers.health.fields import Body, is_observed, mapping, maybe_number, number, text
from workers.health.status import Health, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies"""
    # Generation starts at 1, so 0 always means "never seen".
    if number(body, "status", "observedGeneration") == 0 or not is_observed(body):
        return progressing("Waiting for statefulset spec update to be observed...")

    wanted = maybe_number(body, "spec", "replicas")
    ready = number(body, "status", "readyReplicas")
    if wanted is not None and ready < wanted:
        return progressing(f"Waiting for {wanted - ready} pods to be ready...")

    strategy = text(body, "spec", "updateStrategy", "type")
    updated = number(body, "status", "updatedReplicas")
    # The API server fills `rollingUpdate` in, partition 0 included: a plain roll out comes this way too.
    if strategy == "RollingUpdate" and mapping(body, "spec", "updateStrategy", "rollingUpdate") is not None:
        partition = maybe_number(body, "spec", "updateStrategy", "rollingUpdate", "partition")
        if wanted is not None and partition is not None and updated < wanted - partition:
            return progressing(
                f"Waiting for partitioned roll out to finish: {updated} out of {wanted - partition} "
                "new pods have been updated..."
            )
        return healthy(f"partitioned roll out complete: {updated} new pods have been updated...")
    if strategy == "OnDelete":
        return healthy(f"statefulset has {ready} ready pods")

    update, current = text(body, "status", "updateRevision"), text(body, "status", "currentRevision")
    if update != current:
        return progressing(
            f"waiting for statefulset rolling update to complete {updated} pods at revision {update}..."
        )
    return healthy(
        "statefulset rolling update complete "
        f"{number(body, 'status', 'currentReplicas')} pods at revision {current}..."
    )
