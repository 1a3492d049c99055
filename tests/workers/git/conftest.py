"""A Git host of one's own: these stories break it, lock it and look at its requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import GitServer, Repository
from workers.git.credentials import Credential
from workers.git.mirror import Mirror


@pytest.fixture
def host() -> Iterator[GitServer]:
    with GitServer() as server:
        yield server


@pytest.fixture
def repo(host: GitServer) -> Repository:
    repository = host.create("team/app")
    repository.commit({"apps/web/a.yaml": "a: 1\n", "apps/web/b.yaml": "b: 1\n", "README.md": "hello\n"})
    return repository


@pytest.fixture
def mirror_of(tmp_path: Path) -> Iterator[Callable[[Repository], Mirror]]:
    def mirror(repository: Repository) -> Mirror:
        return Mirror.open(tmp_path / "mirrors", repository.url, Credential())

    yield mirror
    Mirror.close_all()
