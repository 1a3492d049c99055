"""In which order objects are applied and pruned: by kind, as Argo CD does it. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/#how-does-it-work
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from mooring.keys import ObjectKey

# By name alone, as Argo CD compares them, whatever the group. Every other kind comes after these.
KINDS: Final = (
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
)
_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}
_CRD: Final = "CustomResourceDefinition"

Groups = tuple[tuple[ObjectKey, ...], ...]


def apply_order(keys: Iterable[ObjectKey]) -> Groups:
    """Groups to apply one after the other; inside a group, sorted by name, any order will do.

    Objects of kinds that are not listed share the last group, for nothing is known that separates them.
    A CRD comes before every object of its group, even one whose kind has a listed kind's name.
    """
    keys = list(keys)
    ranks = {key: float(_RANK.get(key.kind, len(KINDS))) for key in keys}
    for crd in [key for key in keys if key.kind == _CRD]:
        # A CRD is called <plural>.<group>.
        # https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
        group = crd.name.partition(".")[2]
        defined = [ranks[key] for key in keys if group and key.group == group and key.kind != _CRD]
        first = min(defined, default=ranks[crd])
        ranks[crd] = min(ranks[crd], first - 0.5)
    ordered = sorted(keys, key=lambda key: (ranks[key], key.name, key))
    return tuple(tuple(group) for _, group in groupby(ordered, key=ranks.__getitem__))


def prune_order(keys: Iterable[ObjectKey]) -> Groups:
    """Groups to delete one after the other: what depends on something goes before it."""
    return tuple(reversed(apply_order(keys)))
