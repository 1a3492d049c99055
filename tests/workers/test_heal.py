"""Self-heal over more than one step, where one object is contested: that is left until its time comes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.keys import AppKey, ObjectKey
from mooring.settings import Settings
from tests.stories.ship import configmap
from tests.workers.skiff import Skiff
from workers import pipeline
from workers.cluster.kinds import Kind

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

SERVICE = Kind("", "v1", "Service", "services", namespaced=True)


def service(**spec: Any) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    return {**body, "spec": {"ports": [{"port": 80}], **spec}}


def balanced(skiff: Skiff, namespace: str) -> None:
    """As a load balancer would, without which the Service is never healthy."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    skiff.engine.api.patch(SERVICE, namespace, "web", status, subresource="status", manager="somebody")


def reconcile(skiff: Skiff) -> None:
    pipeline.reconcile(skiff.engine, "shop", "reconcile")
    skiff.work()


def fought_over(skiff: Skiff, namespace: str, name: str) -> None:
    """As after many rounds."""
    engine, key = skiff.engine, ObjectKey("", "ConfigMap", namespace, name)
    engine.drifts.put_back(AppKey(engine.settings.namespace, "shop"), {key: (12, engine.clock())})
    skiff.drift(namespace, name, "theirs")


def counts(skiff: Skiff) -> dict[str, int]:
    _, _, put_back = skiff.engine.drifts.load(AppKey(skiff.engine.settings.namespace, "shop"))
    return {key.name: count for key, (count, _) in put_back.items()}


@pytest.fixture
def there(skiff: Skiff) -> Iterator[str]:
    """Where the app is deployed."""
    name = f"test-there-{secrets.token_hex(4)}"
    skiff.create_namespace(name)
    yield name
    skiff.delete_namespace(name)


@pytest.fixture
def skiff(skiff_settings: Settings) -> Iterator[Skiff]:
    skiff = Skiff(skiff_settings)
    yield skiff
    skiff.delete_app("shop")


def create_app(skiff: Skiff, repo: Repository, namespace: str) -> None:
    skiff.create_app(
        "shop",
        {
            "source": {"repoURL": repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"selfHeal": True}, "retry": {"limit": 0}},
        },
    )


def test_what_is_contested_waits_for_its_time_though_its_wave_has_come(
    skiff: Skiff, there: str, git_repo: Repository
) -> None:
    later = "metadata:\n  annotations: {argocd.argoproj.io/sync-wave: '1'}\n"
    maps = {f"{name}.yaml": configmap(name, v="1").replace("metadata:\n", later) for name in "ab"}
    git_repo.commit({"web.yaml": json.dumps(service(type="LoadBalancer")), **maps})
    create_app(skiff, git_repo, there)
    skiff.look("shop")
    balanced(skiff, there)
    skiff.settle()
    assert skiff.config_maps(there) == {"a": "1", "b": "1"}

    fought_over(skiff, there, "a")
    skiff.drift(there, "b", "theirs")
    found = skiff.engine.api.get(SERVICE, there, "web")
    assert found is not None
    skiff.engine.api.delete(SERVICE, found, "background")
    reconcile(skiff)
    assert skiff.config_maps(there) == {"a": "theirs", "b": "theirs"}
    assert counts(skiff) == {"a": 12, "web": 1}

    balanced(skiff, there)
    reconcile(skiff)
    assert skiff.config_maps(there) == {"a": "theirs", "b": "1"}
    assert counts(skiff) == {"a": 12, "b": 1, "web": 1}
    state = skiff.app("shop").status.operation_state
    assert state is not None
    assert state.phase == "Succeeded"

    skiff.settle()
    assert skiff.config_maps(there) == {"a": "1", "b": "1"}


def test_what_is_refused_for_good_beside_what_is_contested_is_not_tried_again(
    skiff: Skiff, there: str, git_repo: Repository
) -> None:
    def squatter(address: str = "") -> str:
        body = service(**({"clusterIP": address} if address else {}))
        body["metadata"] = {"name": "squatter", "namespace": there}
        return str((skiff.engine.api.create(SERVICE, body).body or {})["spec"]["clusterIP"])

    def delete(name: str) -> None:
        found = skiff.engine.api.get(SERVICE, there, name)
        assert found is not None
        skiff.engine.api.delete(SERVICE, found, "background")

    address = squatter()
    delete("squatter")
    git_repo.commit({"web.yaml": json.dumps(service(clusterIP=address)), "a.yaml": configmap("a", v="1")})
    create_app(skiff, git_repo, there)
    skiff.settle()
    fought_over(skiff, there, "a")
    delete("web")
    squatter(address)

    reconcile(skiff)
    state = skiff.app("shop").status.operation_state
    assert state is not None
    assert state.phase == "Failed"
    skiff.go_by(1000.0)
    reconcile(skiff)
    assert skiff.app("shop").status.operation_state == state
    assert skiff.config_maps(there) == {"a": "theirs"}
