"""The health of built-in kinds as Argo CD's gitops-engine judges it: one small file a kind.

Pure functions of a live object; what they say is what `status.health` of an Application is made of.
`argoproj.io/Application` has no entry on purpose: Argo CD took its health out in 1.8, so that an app of
apps does not wait for its children. https://github.com/argoproj/argo-cd/issues/3781
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from workers.health import (
    api_service,
    cron_job,
    custom_resource_definition,
    daemon_set,
    deployment,
    horizontal_pod_autoscaler,
    ingress,
    job,
    persistent_volume_claim,
    pod,
    pod_disruption_budget,
    replica_set,
    service,
    stateful_set,
    workflow,
)
from workers.health.fields import Malformed, items, text
from workers.health.status import Health, HealthStatus, progressing, unknown, worst

__all__ = ["BUILT_IN", "KINDS_WITH_HEALTH", "Health", "HealthStatus", "Judge", "assess", "kind_of", "worst"]

# Keeps a hook's object until its phase is over: such an object ends on purpose, and how it ended counts.
HOOK_FINALIZER: Final = "argocd.argoproj.io/hook-finalizer"

_ASSESS: Final[dict[tuple[str, str], Callable[[dict[str, Any]], Health]]] = {
    ("", "PersistentVolumeClaim"): persistent_volume_claim.assess,
    ("", "Pod"): pod.assess,
    ("", "Service"): service.assess,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition.assess,
    ("apiregistration.k8s.io", "APIService"): api_service.assess,
    ("apps", "DaemonSet"): daemon_set.assess,
    ("apps", "Deployment"): deployment.assess,
    ("apps", "ReplicaSet"): replica_set.assess,
    ("apps", "StatefulSet"): stateful_set.assess,
    ("argoproj.io", "Workflow"): workflow.assess,
    ("autoscaling", "HorizontalPodAutoscaler"): horizontal_pod_autoscaler.assess,
    ("batch", "CronJob"): cron_job.assess,
    ("batch", "Job"): job.assess,
    ("extensions", "Ingress"): ingress.assess,
    ("networking.k8s.io", "Ingress"): ingress.assess,
    ("policy", "PodDisruptionBudget"): pod_disruption_budget.assess,
}

KINDS_WITH_HEALTH: Final = frozenset(_ASSESS)


class Judge(Protocol):
    """Who says how objects are: custom.py, with the checks of an installation, or what is built in."""

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with checks, by where they are written, as far as they were asked by now."""
        ...

    def judges(self, group: str, kind: str) -> bool:
        """Whether objects of that kind have a health."""
        ...

    def assess(self, body: dict[str, Any]) -> Health | None:
        """As the function of that name. Never raises."""
        ...

    def of(self, cluster: str) -> Judge:
        """The same one for the objects of one cluster: what becomes of a check there has no part in what it
        says of those of another."""
        ...


def assess(body: dict[str, Any]) -> Health | None:
    """The health of the live object `body`; None when its kind has no health of its own.

    Never raises: a field of the wrong type makes the health Unknown, and the message names the field.
    """
    try:
        judge = _ASSESS.get(kind_of(body))
        return leaving(body) or (judge(body) if judge else None)
    except Malformed as error:
        return unknown(str(error))


def leaving(body: dict[str, Any]) -> Health | None:
    """The health of an object that is being deleted; None for others. Raises Malformed."""
    if text(body, "metadata", "deletionTimestamp") and HOOK_FINALIZER not in items(
        body, "metadata", "finalizers"
    ):
        return progressing("Pending deletion")
    return None


def kind_of(body: dict[str, Any]) -> tuple[str, str]:
    """Group and kind. Raises Malformed."""
    group, slash, _ = text(body, "apiVersion").partition("/")
    return group if slash else "", text(body, "kind")


class _BuiltIn:
    problems: Mapping[str, str] = MappingProxyType({})

    def judges(self, group: str, kind: str) -> bool:
        return (group, kind) in KINDS_WITH_HEALTH

    def assess(self, body: dict[str, Any]) -> Health | None:
        return assess(body)

    def of(self, _cluster: str) -> Judge:
        return self


BUILT_IN: Final[Judge] = _BuiltIn()
