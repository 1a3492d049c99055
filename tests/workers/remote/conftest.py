"""Hosts of one's own: these stories lock them, replace what they hold, and make them lie."""

from __future__ import annotations

import itertools
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from devcluster.chartserver import ChartServer
from mooring.settings import Settings
from workers.git.credentials import Credential
from workers.remote.remotes import Remotes

Serve = Callable[..., ChartServer]


@pytest.fixture
def remotes(tmp_path: Path) -> Remotes:
    return Remotes(tmp_path / "state", Settings())


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """web 1.2.3 and 1.3.0 and their index, as Helm makes them."""
    with ChartServer(tmp_path_factory.mktemp("packaged") / "charts") as server:
        server.chart("web", "1.2.3", {"templates/cm.yaml": "kind: ConfigMap\n", "values.yaml": "a: 1\n"})
        server.chart("web", "1.3.0")
        server.index()
        return server.root


@pytest.fixture
def charts(packaged: Path, tmp_path: Path) -> Iterator[ChartServer]:
    """A chart repository over plain HTTP."""
    with ChartServer(shutil.copytree(packaged, tmp_path / "charts")) as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def known(authority: trustme.CA) -> Credential:
    """No credential, but what vouches for the servers of `secured`."""
    return Credential(authorities=authority.cert_pem.bytes().decode())


@pytest.fixture
def secured(authority: trustme.CA, packaged: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts chart repositories that speak https."""
    numbers = itertools.count()
    with ExitStack() as stack:

        def serve(*, user: str = "", password: str = "") -> ChartServer:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
            root = shutil.copytree(packaged, tmp_path / f"secured-{next(numbers)}")
            return stack.enter_context(ChartServer(root, tls=context, user=user, password=password))

        yield serve
