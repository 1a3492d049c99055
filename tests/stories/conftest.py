"""One Mooring a test module: starting five processes for each test would be most of its time."""

from __future__ import annotations

import contextlib
import secrets
import urllib.error
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.redis import RedisServer
from mooring.model.crd import crds, is_ours
from tests.stories.line import Line
from tests.stories.ship import APPS, Ship, until


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A story that fails shows what its processes said last, and what was still wanted of them."""
    report = yield
    ship = getattr(item, "funcargs", {}).get("ship")
    if report.failed and isinstance(ship, Ship):
        report.sections.append(("what is wanted", ship.wanted()))
        report.sections += [(f"the end of {name}'s log", ship.log(name)[-4000:]) for name in ship.children]
    return report


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that a story may kill."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    """Variables for the workers and beat of this module's ship: for a module to override."""
    return {}


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    """The processes of this module's ship, all by default: for a module to override."""
    return ()


@pytest.fixture(scope="module")
def ship_config() -> dict[str, str]:
    """The data of ConfigMap argocd-cm in this module's home namespace: for a module to override."""
    return {}


@pytest.fixture(scope="module")
def ship(
    cluster: Cluster,
    own_redis: RedisServer,
    ship_settings: dict[str, str],
    ship_processes: tuple[str, ...],
    ship_config: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ship]:
    """A running Mooring with a home namespace of its own."""
    home = f"home-{secrets.token_hex(4)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": home}})
    install_crds(cluster)
    if ship_config:
        config = {"metadata": {"name": "argocd-cm"}, "data": ship_config}
        devcluster.ask(cluster, f"/api/v1/namespaces/{home}/configmaps", config)
    directory: Path = tmp_path_factory.mktemp("ship")
    found = Ship(cluster, home, own_redis.url, directory, settings=ship_settings)
    try:
        found.start(*ship_processes)
        yield found
    finally:  # also when it did not come up
        found.stop()
        with contextlib.suppress(TimeoutError):  # it was told, and a story may have left it with much to do
            devcluster.ask(cluster, f"/api/v1/namespaces/{home}", method="DELETE")


@pytest.fixture(scope="module")
def api_line(cluster: Cluster) -> Iterator[Line]:
    """The processes' line to the API server; the stories have one of their own."""
    with Line(urlsplit(cluster.server).port or 443) as line:
        yield line


@pytest.fixture(autouse=True)
def _nothing_outlives_its_story(request: pytest.FixtureRequest) -> Iterator[None]:
    """An app whose namespace is gone fails again and again, and a later story would wait for that."""
    if "ship" not in request.fixturenames:
        yield
        return
    if "namespace" in request.fixturenames:
        request.getfixturevalue("namespace")  # it goes after the apps
    ship: Ship = request.getfixturevalue("ship")
    yield
    ship.ask(APPS.format(ship.home), method="DELETE")


def install_crds(cluster: Cluster) -> None:
    """Ours, as they are now, unless the cluster has Argo CD's; other tests may be doing the same."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for crd in crds():
        with contextlib.suppress(urllib.error.HTTPError):
            devcluster.ask(cluster, path, crd)
            continue
        there = f"{path}/{crd['metadata']['name']}"
        if is_ours(devcluster.ask(cluster, there)):
            how = {"method": "PATCH", "content_type": "application/apply-patch+yaml"}
            devcluster.ask(cluster, f"{there}?fieldManager=mooring&force=true", crd, **how)

    def served() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            for plural in ("applications", "appprojects"):
                # None of them: another test may have one that is nested deeper than our parser goes.
                none = "?fieldSelector=metadata.name=none"
                devcluster.ask(cluster, f"/apis/argoproj.io/v1alpha1/{plural}{none}")
            return True
        return False

    until("the CRDs to be served", served)
