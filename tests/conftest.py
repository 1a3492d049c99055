"""The real parts that stories are told on: a Kubernetes control plane, Redis, a Git host.

The control plane is started once and left running: the next run takes it as it is. Every test has
its own namespace, logical database and repository, so tests run side by side and again.
"""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from devcluster import build
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from devcluster.redis import RedisServer
from tests.built import TOOLS

_databases = itertools.count()
# An example that takes long says nothing of what it is about: this machine may have other work.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The shared control plane, reached as its administrator."""
    return devcluster.start(say=print)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the programs that renderers run: on PATH here, and for whatever starts after it."""
    directory = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        (directory / name).symlink_to(build.tool(name, print))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(directory), prepend=os.pathsep)
        yield directory


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace in which pods can be created, and in which the control plane itself has no more to
    create; the cluster deletes it in its own time."""
    name = f"test-{secrets.token_hex(5)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    for own in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        _there(cluster, f"/api/v1/namespaces/{name}/{own}")
    yield name
    devcluster.ask(cluster, f"/api/v1/namespaces/{name}", method="DELETE")


def _there(cluster: Cluster, path: str) -> None:
    """Waits until the object is there."""
    pause = threading.Event()
    for _ in range(2400):
        try:
            devcluster.ask(cluster, path)
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        pause.wait(0.05)
    raise AssertionError(f"waited in vain for {path}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this test process."""
    with RedisServer(databases=256) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """URL of an empty logical database that no other test uses meanwhile."""
    url = redis_server.url_of(next(_databases) % redis_server.databases)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of `redis_url`; answers are bytes."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def git_server() -> Iterator[GitServer]:
    """A Git host over HTTP, open to anybody on this machine."""
    with GitServer() as server:
        yield server


@pytest.fixture
def git_repo(git_server: GitServer) -> Repository:
    """A fresh, empty repository."""
    return git_server.create(f"repo-{secrets.token_hex(5)}")
