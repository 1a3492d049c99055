"""`mooring repo`: Argo CD's Secrets, written only when the host lets us in, and never shown."""

from __future__ import annotations

import base64
import json

import pytest

from cli.repo import secret_name
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.cli.conftest import Mooring

pytestmark = pytest.mark.cluster


def test_a_password_is_read_from_where_it_is_and_shown_nowhere(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str, git_repo: Repository
) -> None:
    flags = ["--username", "sailor", "--project", "fleet"]
    done = mooring("repo", "add", git_repo.url, *flags, "--password-stdin", given="swordfish\n")
    assert done.returncode == 0, done.stderr
    listed = mooring("repo", "list", "-o", "json")
    (repo,) = json.loads(listed.stdout)
    assert repo["url"] == git_repo.url
    assert repo["credential"] == "password"
    path = f"/api/v1/namespaces/{namespace}/secrets/{repo['secret']}"
    secret = devcluster.ask(cluster, path)
    assert secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
    data = {field: base64.b64decode(value).decode() for field, value in secret["data"].items()}
    assert data == {
        "type": "git",
        "url": git_repo.url,
        "username": "sailor",
        "password": "swordfish",
        "project": "fleet",
    }
    again = mooring("repo", "add", git_repo.url, *flags, "--password-env", "PASS", PASS="swordfish")
    assert "unchanged" in again.stdout
    changed = mooring(
        *("repo", "add", git_repo.url, "--project", "fleet", "--bearer", "--upsert"),
        *("--password-env", "TOKEN", "-o", "json"),
        TOKEN="catfish",
    )
    assert changed.returncode == 0, changed.stderr
    assert json.loads(changed.stdout)["credential"] == "token"
    data = devcluster.ask(cluster, path)["data"]
    assert "password" not in data
    assert base64.b64decode(data["bearerToken"]) == b"catfish"
    wide = mooring("repo", "list", "--check")
    for shown in (done, listed, again, changed, wide):
        assert "swordfish" not in shown.stdout + shown.stderr
        assert "catfish" not in shown.stdout + shown.stderr
        assert "c3dvcmRmaXNo" not in shown.stdout + shown.stderr
    assert mooring("repo", "rm", git_repo.url, "--yes").returncode == 13  # that is another project's
    assert mooring("repo", "rm", git_repo.url, "--project", "fleet", "--yes").returncode == 0
    assert json.loads(mooring("repo", "list", "-o", "json").stdout) == []


def test_a_host_that_lets_nobody_in_is_not_made_known(
    mooring: Mooring, shop: str, git_repo: Repository
) -> None:
    url = git_repo.url.replace("/repo-", "/nobody-")
    done = mooring("repo", "add", url, "--username", "sailor", "--password-stdin", given="swordfish")
    assert done.returncode == 20
    assert "swordfish" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert mooring("repo", "list", "-o", "url").stdout == ""


def test_a_secret_is_called_as_argo_cd_calls_it() -> None:
    # https://datatracker.ietf.org/doc/html/draft-eastlake-fnv: FNV-1a of "foobar" is 0xbf9cf968
    assert secret_name("repo", "foo", "bar") == f"repo-{0xBF9CF968}"
