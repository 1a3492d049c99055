"""What the pages tell people to type for the chart, typed: in a namespace of a test's, on a real cluster."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from charts.generate import CHART, helm
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.charts.chartredis import ChartRedis
from tests.docs.pages import ROOT

pytestmark = pytest.mark.cluster
Type = Callable[[str], str]


def blocks(page: Path) -> list[str]:
    """The commands of a page that are about the chart."""
    found = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in found if "charts/mooring" in block or "kubectl -n mooring" in block]


@pytest.fixture
def typed(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Type]:
    """Types a block as it stands, but for the namespace; what it prints."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("kubectl", cluster.kubectl), ("helm", [helm()])):
        (programs / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(cluster.kubeconfig),
    }

    def run(block: str) -> str:
        # The namespace is there already, and the CRDs are everybody's here.
        block = block.replace("kubectl create namespace mooring", f"kubectl get namespace {namespace}")
        block = block.replace("--force-conflicts", "--force-conflicts --dry-run=server")
        block = re.sub(r"-n mooring\b", f"-n {namespace}", block)
        argv = ["bash", "-euc", block]
        done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("helm uninstall mooring -n mooring --ignore-not-found")


def test_the_page_on_how_to_install_installs_it(typed: Type) -> None:
    (install,) = blocks(ROOT / "docs/install.md")
    told = typed(install)
    assert "STATUS: deployed" in told
    assert "path /webhooks/<github, gitlab, …>" in told


def test_the_readme_of_the_chart_installs_it_and_its_crds(
    typed: Type, cluster: Cluster, namespace: str
) -> None:
    install, crds, _ = blocks(CHART / "README.md")
    assert "https://mooring.example.com/webhooks/<github, gitlab, …>" in typed(install)
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/mooring-web"
    made: Any = devcluster.ask(cluster, path)
    assert made["spec"]["tls"] == [{"hosts": ["mooring.example.com"], "secretName": "mooring-tls"}]
    assert "applications.argoproj.io serverside-applied" in typed(crds)


def test_the_secret_that_it_says_makes_a_redis(typed: Type, tmp_path: Path) -> None:
    *_, secret = blocks(CHART / "README.md")
    typed(secret)
    (tmp_path / "redis").mkdir()
    server = ChartRedis(tmp_path / "redis")
    urls = []
    for key in ("url", "web-url"):
        read = f"kubectl -n mooring get secret mooring-redis -o jsonpath='{{.data.{key}}}' | base64 -d"
        url = typed(read)
        assert url.endswith("@mooring-redis:6379/0")
        (tmp_path / "redis/urls" / key).write_text(url)
        urls.append(url.replace("mooring-redis:6379", f"127.0.0.1:{server.port}"))
    with server:
        for url in urls:
            with redis.Redis.from_url(url) as client:
                assert client.ping()
