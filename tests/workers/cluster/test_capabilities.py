"""A chart is told what the cluster serves, in the words of Argo CD."""

from __future__ import annotations

import pytest

from workers.cluster.api import Api
from workers.cluster.capabilities import capabilities

pytestmark = pytest.mark.cluster


@pytest.mark.usefixtures("argo_kinds")
def test_versions_and_kinds_are_told(api: Api) -> None:
    found = capabilities(api.discovery)
    assert {"v1", "v1/ConfigMap", "apps/v1", "apps/v1/Deployment"} <= set(found.api_versions)
    assert "argoproj.io/v1alpha1/Application" in found.api_versions
    # Nothing that can only be asked, and no subresource.
    assert not any(version.endswith(("/SubjectAccessReview", "/Scale")) for version in found.api_versions)
    assert list(found.api_versions) == sorted(found.api_versions)
    assert f"v{found.kube_version}" == api.discovery.server_version
