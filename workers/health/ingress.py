"""Health of networking.k8s.io/Ingress: has a controller given it an address?"""

from __future__ import annotations

from workers.health.fields import Body, items
from workers.health.status import Health, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/#IngressStatus"""
    return healthy() if items(body, "status", "loadBalancer", "ingress") else progressing()
