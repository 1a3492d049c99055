"""Mooring deploys Mooring: the chart's render from a Git repository, by a Mooring of the chart."""

from __future__ import annotations

import contextlib
import secrets
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.generate import CHART, NAMESPACE
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.charts.charted import Charted, ship_of
from tests.charts.rendered import golden, objects, of_kind
from tests.corpus.hosts import files_of
from tests.stories.ship import until

pytestmark = pytest.mark.cluster


@pytest.fixture
def text(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The committed render, for this test's namespace; what has no namespace goes in the end."""
    found = golden("default").replace(NAMESPACE, namespace)
    yield found
    for item in of_kind(objects(found), "ClusterRole", "ClusterRoleBinding"):
        kind = f"{item['kind'].lower()}s/{item['metadata']['name']}"
        with contextlib.suppress(urllib.error.HTTPError):
            devcluster.ask(cluster, f"/apis/rbac.authorization.k8s.io/v1/{kind}", method="DELETE")


@pytest.fixture
def volume(cluster: Cluster, namespace: str) -> Iterator[None]:
    """A volume for Redis, as a cluster with a storage class would make it."""
    name = f"redis-{secrets.token_hex(4)}"
    spec = {
        "capacity": {"storage": "4Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": namespace, "name": "data-mooring-redis-0"},
        "hostPath": {"path": f"/nowhere/{name}"},
    }
    devcluster.ask(cluster, "/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})
    yield
    devcluster.ask(cluster, f"/api/v1/persistentvolumes/{name}", method="DELETE")


def healthy(ship: Charted, app: str, commit: str) -> Any:
    """Waits until the app is Synced at the commit and Healthy."""
    ship.synced(app, commit)

    def look() -> Any:
        found = ship.app(app)
        return found if found["status"].get("health", {}).get("status") == "Healthy" else None

    return until(f"{app} to be healthy", look)


def test_a_mooring_of_the_chart_deploys_the_chart_and_its_next_version(
    cluster: Cluster, git_repo: Repository, namespace: str, text: str, volume: None, tmp_path: Path
) -> None:
    with ship_of(cluster, tmp_path) as ship:
        ship.create_app("mooring", git_repo, namespace, path="clusters/here")
        commit = git_repo.commit({"clusters/here/mooring.yaml": text})

        app = healthy(ship, "mooring", commit)

        assert {r["status"] for r in app["status"]["resources"]} == {"Synced"}
        deployed = {(r["kind"], r["name"]) for r in app["status"]["resources"]}
        assert deployed == {(item["kind"], item["metadata"]["name"]) for item in objects(text)}
        assert not app["status"].get("conditions")
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/mooring-web"
        assert ship.find(path)["status"]["readyReplicas"] == 2

        # The next version has a third pod, and no budget: what left Git leaves the cluster.
        kept = [part for part in text.split("\n---\n") if "kind: PodDisruptionBudget" not in part]
        following = "\n---\n".join(kept).replace("replicas: 2\n", "replicas: 3\n")
        ship.pushed(git_repo, {"clusters/here/mooring.yaml": following})
        commit = git_repo.commit({"readme.md": "done"})
        ship.finished(ship.deliver(git_repo, commit))
        healthy(ship, "mooring", commit)
        assert ship.find(path)["status"]["readyReplicas"] == 3
        for item in of_kind(objects(text), "PodDisruptionBudget"):
            where = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
            assert ship.find(f"{where}/{item['metadata']['name']}") is None


def test_a_mooring_deploys_the_chart_itself_from_git(
    cluster: Cluster,
    git_repo: Repository,
    namespace: str,
    text: str,
    volume: None,
    tools: Path,
    tmp_path: Path,
) -> None:
    named = {"redis": {"existingSecret": "mooring-redis"}, "web": {"existingSecret": "mooring-webhooks"}}
    source = {
        "repoURL": git_repo.url,
        "path": "charts/mooring",
        "targetRevision": "main",
        # The cluster has the CRDs, and every other story needs them.
        "helm": {"valuesObject": named, "skipCrds": True},
    }
    files = {f"charts/mooring/{path}": content for path, content in files_of(CHART).items()}
    with ship_of(cluster, tmp_path) as ship:
        commit = git_repo.commit(files)
        ship.create_app("mooring", git_repo, namespace, spec={"source": source})

        app = healthy(ship, "mooring", commit)

        assert app["status"]["sourceType"] == "Helm"
        deployed = {(r["kind"], r["name"]) for r in app["status"]["resources"]}
        assert deployed == {(item["kind"], item["metadata"]["name"]) for item in objects(text)}
        [told] = app["status"]["conditions"]
        assert "templates call `lookup`, which finds nothing" in told["message"]
