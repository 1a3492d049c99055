"""What whoever asks the web tier for a tree, which asks nobody who he is, can have a worker look at."""

from __future__ import annotations

import pytest

from mooring.model.project import AppProject, Cluster
from mooring.model.status import ResourceStatus
from mooring.names import LONGEST_TASK_S
from mooring.store import trees
from workers.branches import shown
from workers.permitted import Permitted

CLUSTER = Cluster(("https://kubernetes.default.svc",), ("in-cluster",))


def permitted(*namespaces: str) -> Permitted:
    destinations = [{"server": "*", "namespace": namespace} for namespace in namespaces]
    spec = {"destinations": destinations, "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}]}
    metadata = {"name": "team", "namespace": "mooring"}
    kind = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"}
    manifest = {**kind, "metadata": metadata, "spec": spec}
    return Permitted(AppProject.parse(manifest), CLUSTER)


def resource(kind: str, namespace: str, name: str = "a") -> ResourceStatus:
    return ResourceStatus(version="v1", kind=kind, namespace=namespace, name=name)


def test_what_the_project_does_not_permit_is_looked_at_for_nobody() -> None:
    """Whoever may edit an Application writes into its status what he likes."""
    own = [resource("ConfigMap", "shop"), resource("Namespace", "")]
    foreign = [resource("Secret", "kube-system"), resource("PersistentVolume", "")]
    assert shown([*own, *foreign], permitted("shop")) == own


@pytest.mark.parametrize("namespaced", [True, False])
def test_what_is_looked_at_has_an_end(namespaced: bool) -> None:
    kind = "ConfigMap" if namespaced else "Namespace"
    told = [resource(kind, f"n{n:04}" if namespaced else "", f"c{n}") for n in range(5000)]
    assert len(shown(told, permitted("*"))) == (10 if namespaced else 2000)


def test_no_look_outlives_what_keeps_others_from_looking() -> None:
    assert trees._LONGEST_LOOK_S > LONGEST_TASK_S
