"""The real command, as a user runs it, against the real control plane and Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.model.application import Application
from tests.measured import measured

Mooring = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def mooring(cluster: Cluster, namespace: str, redis_url: str, tmp_path: Path) -> Mooring:
    """Runs `mooring ...` with a fresh namespace for Applications, a fresh Redis and an empty HOME."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TZ": "UTC",
        "MOORING_KUBECONFIG": str(cluster.kubeconfig),
        "MOORING_NAMESPACE": namespace,
        "MOORING_REDIS_URL": redis_url,
        "MOORING_STATE_DIR": str(tmp_path / "state"),
        **measured(),
    }

    def run(*arguments: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *arguments],
            env=env | more,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def shop(mooring: Mooring, namespace: str, git_repo: Repository) -> str:
    """An Application that exists in the namespace, of a repository that exists, never synced."""
    git_repo.commit({"shop/greeting.yaml": GREETING, "shop/password.yaml": PASSWORD})
    assert mooring("crds", "install", "--yes").returncode == 0
    arguments = ["--repo", git_repo.url, "--path", "shop", "--dest-namespace", namespace]
    done = mooring("app", "create", "shop", *arguments, "--revision", "main")
    assert done.returncode == 0, done.stderr
    return "shop"


def application(status: Mapping[str, Any]) -> Application:
    """An Application with this status, as it is read from the cluster."""
    spec = {"project": "default", "destination": {"name": "in-cluster", "namespace": "shop"}}
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"}
    named = {"metadata": {"name": "shop", "namespace": "home"}}
    return Application.parse(head | named | {"spec": spec, "status": status})


GREETING = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {text: hello}\n"
PASSWORD = "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {it: swordfish}\n"
