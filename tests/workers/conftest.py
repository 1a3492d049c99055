"""What stories on the real control plane begin with: a connection to it, and our CRDs."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import Conflict
from mooring.model.crd import crds, is_ours
from mooring.settings import Settings
from workers.cluster.api import Api, Update
from workers.cluster.connect import Cluster, connect
from workers.cluster.kinds import Kind

CRD = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)


@pytest.fixture(scope="session")
def connection(cluster: ControlPlane) -> Cluster:
    return connect(str(cluster.kubeconfig), cluster.context)


@pytest.fixture
def api(connection: Cluster) -> Api:
    return connection.api()


@pytest.fixture
def skiff_settings(cluster: ControlPlane, namespace: str, redis_url: str, tmp_path: Path) -> Settings:
    """Those of a Skiff whose Applications are in `namespace`."""
    return Settings(
        redis_url=redis_url,
        kubeconfig=str(cluster.kubeconfig),
        context=cluster.context,
        namespace=namespace,
        state_dir=str(tmp_path),
    )


@pytest.fixture(scope="session")
def argo_kinds(connection: Cluster) -> None:
    """Application and AppProject are served, whichever test process came first."""
    api = connection.api()
    for crd in crds():
        for _ in range(20):
            live = api.get(CRD, "", crd["metadata"]["name"])
            try:
                if live is None:
                    api.create(CRD, crd)
                elif is_ours(live.body or {}):
                    api.apply(CRD, crd, guard=Update(live.uid, live.resource_version))
                break
            except Conflict:
                continue
        connection.discovery.await_kind("argoproj.io/v1alpha1", crd["spec"]["names"]["kind"])
