"""Health of a Service: only one of type LoadBalancer has something to wait for."""

from __future__ import annotations

from workers.health.fields import Body, items, text
from workers.health.status import Health, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer"""
    if text(body, "spec", "type") == "LoadBalancer" and not items(body, "status", "loadBalancer", "ingress"):
        return progressing()
    return healthy()
