"""A connection to the shared control plane, as Mooring itself."""

from __future__ import annotations

import pytest

from workers.cluster.connect import Cluster
from workers.cluster.kinds import Kind


@pytest.fixture(scope="session")
def config_maps(connection: Cluster) -> Kind:
    return _kind(connection, "v1", "ConfigMap")


@pytest.fixture(scope="session")
def secrets(connection: Cluster) -> Kind:
    return _kind(connection, "v1", "Secret")


@pytest.fixture(scope="session")
def deployments(connection: Cluster) -> Kind:
    return _kind(connection, "apps/v1", "Deployment")


@pytest.fixture(scope="session")
def services(connection: Cluster) -> Kind:
    return _kind(connection, "v1", "Service")


@pytest.fixture(scope="session")
def cluster_roles(connection: Cluster) -> Kind:
    return _kind(connection, "rbac.authorization.k8s.io/v1", "ClusterRole")


@pytest.fixture(scope="session")
def definitions(connection: Cluster) -> Kind:
    return _kind(connection, "apiextensions.k8s.io/v1", "CustomResourceDefinition")


def _kind(connection: Cluster, api_version: str, kind: str) -> Kind:
    found = connection.discovery.find(api_version, kind)
    assert found is not None
    return found
