"""Health of apiextensions.k8s.io/CustomResourceDefinition: is the kind served?"""

from __future__ import annotations

from workers.health.fields import Body, condition, objects, text
from workers.health.status import Health, degraded, healthy, progressing


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"""
    if not objects(body, "status", "conditions"):
        return progressing("Status conditions not found")
    if (terminating := condition(body, "Terminating")) and text(terminating, "status") == "True":
        return progressing(f"CRD is terminating: {text(terminating, 'message')}")
    if (names := condition(body, "NamesAccepted")) and text(names, "status") == "False":
        return degraded(f"CRD names have not been accepted: {text(names, 'message')}")
    if (schema := condition(body, "NonStructuralSchema")) and text(schema, "status") == "True":
        return degraded(f"Schema violations found: {text(schema, 'message')}")
    established = condition(body, "Established") or {}
    if text(established, "status") == "True":
        return healthy("CRD is healthy")
    # A few hundred milliseconds after each create. https://github.com/argoproj/argo-cd/issues/25084
    if text(established, "reason") == "Installing":
        return progressing("CRD is being installed")
    return degraded("CRD is not established")
