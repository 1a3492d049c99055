"""What a real API server says of the chart, and what a real Helm makes of it there."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.generate import CHART, NAMESPACE, helm
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.charts.rendered import NAMES, golden, objects

pytestmark = pytest.mark.cluster


@pytest.fixture
def strict_namespace(cluster: Cluster, namespace: str) -> str:
    """A namespace whose API server says what the strictest of the Pod Security Standards would refuse."""
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}
    merge = {"method": "PATCH", "content_type": "application/merge-patch+json"}
    devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}", label, **merge)
    return namespace


def dry_run(cluster: Cluster, text: str) -> subprocess.CompletedProcess[str]:
    argv = [*cluster.kubectl, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_accepted_and_every_pod_is_restricted(
    name: str, cluster: Cluster, strict_namespace: str
) -> None:
    text = golden(name).replace(NAMESPACE, strict_namespace)
    for elsewhere in ("shop", "billing"):
        text = text.replace(f"namespace: {elsewhere}\n", f"namespace: {strict_namespace}\n")

    done = dry_run(cluster, text)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning either: nothing deprecated, nothing that Pod Security would refuse
    assert len(done.stdout.splitlines()) == len(objects(text))


def test_pod_security_would_have_said_so(cluster: Cluster, strict_namespace: str) -> None:
    text = golden("default").replace(NAMESPACE, strict_namespace)
    done = dry_run(cluster, text.replace("runAsNonRoot: true", "runAsNonRoot: false"))
    assert 'would violate PodSecurity "restricted:latest"' in done.stderr


class Release:
    """One release in a namespace of its own, by `helm` itself."""

    def __init__(self, cluster: Cluster, namespace: str, home: Path) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(cluster.kubeconfig)}

    def helm(self, *words: str) -> str:
        argv = [helm(), *words, "--namespace", self.namespace]
        done = subprocess.run(argv, env=self._environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def secret(self, name: str) -> dict[str, str]:
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{name}"
        found: Any = devcluster.ask(self._cluster, path)
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


@pytest.fixture
def release(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Release]:
    found = Release(cluster, namespace, tmp_path)
    yield found
    found.helm("uninstall", "mooring", "--ignore-not-found")


def test_installed_by_hand_it_makes_its_passwords_once(release: Release) -> None:
    flower = ("--set", "flower.enabled=true", "--skip-crds")
    release.helm("install", "mooring", str(CHART), *flower)
    made = release.secret("mooring-redis"), release.secret("mooring-flower")
    assert made[0].keys() == {"url", "web-url"}
    user, password = made[0]["web-url"].removeprefix("redis://").partition("@")[0].split(":")
    assert user == "mooring-web" and len(password) == 48
    assert made[0]["web-url"].endswith("@mooring-redis:6379/0")
    assert password not in made[0]["url"]

    told = release.helm("upgrade", "mooring", str(CHART), *flower, "--set", "beat.replicas=2")

    assert (release.secret("mooring-redis"), release.secret("mooring-flower")) == made
    assert "All deliveries are refused, as no host has a secret" in told
    assert "password in Secret mooring-flower" in told
    assert password not in told


def test_a_secret_of_ones_own_is_left_alone(release: Release, cluster: Cluster) -> None:
    token = secrets.token_hex(16)
    own = {"metadata": {"name": "own"}, "stringData": {"url": token, "web-url": token}}
    devcluster.ask(cluster, f"/api/v1/namespaces/{release.namespace}/secrets", own)

    release.helm("install", "mooring", str(CHART), "--skip-crds", "--set", "redis.existingSecret=own")

    assert release.secret("own") == {"url": token, "web-url": token}
    found: Any = devcluster.ask(cluster, f"/api/v1/namespaces/{release.namespace}/secrets")
    kept = [item["metadata"]["name"] for item in found["items"] if item["type"] == "Opaque"]
    assert kept == ["own"]
    assert token not in json.dumps(release.helm("get", "manifest", "mooring"))
