"""A host that a stranger has named is asked at the addresses that were judged, and at no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.errors import GitFailed, GitRefused
from workers.git.credentials import Credential
from workers.git.mirror import Mirror, checkout
from workers.git.pins import pinned


@pytest.fixture
def mirror(git_repo: Repository, tmp_path: Path) -> Mirror:
    return Mirror.open(tmp_path, git_repo.url.replace("127.0.0.1", "localhost"), Credential())


def test_at_its_address_it_is_asked(mirror: Mirror, git_repo: Repository) -> None:
    commit = git_repo.commit({"a.yaml": "a: 1\n"})
    with pinned(["127.0.0.1", "::1"]):
        assert checkout(mirror, "main").commit == commit


def test_where_its_name_leads_elsewhere_a_moment_later_nothing_is_asked(
    mirror: Mirror, git_repo: Repository, git_server: GitServer
) -> None:
    git_repo.commit({"a.yaml": "a: 1\n"})
    git_server.requests.clear()
    with pinned(["203.0.113.7"]), pytest.raises(GitRefused, match="which it was not a moment ago"):
        checkout(mirror, "main")
    assert not git_server.requests


def test_a_connection_that_was_kept_is_looked_at_again(mirror: Mirror, git_repo: Repository) -> None:
    git_repo.commit({"a.yaml": "a: 1\n"})
    checkout(mirror, "main")
    with pinned(["203.0.113.7"]), pytest.raises(GitRefused, match="which it was not a moment ago"):
        mirror.list_refs()


def test_git_itself_looks_for_the_host_nowhere_else(
    mirror: Mirror, git_repo: Repository, git_server: GitServer
) -> None:
    commit = git_repo.commit({"a.yaml": "a: 1\n"})
    with pinned(["127.0.0.1"]):
        mirror.fetch_refs()  # by git, always
    assert mirror.has(commit)
    second = git_repo.commit({"a.yaml": "a: 2\n"})
    git_server.requests.clear()
    with pinned(["127.0.0.2"]), pytest.raises(GitFailed):  # where nobody listens
        mirror.fetch_refs()
    assert not mirror.has(second)
    assert not git_server.requests
