"""What people read on their terminals, kept in `golden/`: a change of it is seen and meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.cli.conftest import Mooring
from tests.cli.transcript import Transcript

pytestmark = pytest.mark.cluster


def test_help(mooring: Mooring) -> None:
    shown = Transcript(mooring)
    shown.type("--help")
    for group in ("app", "repo", "project", "cluster", "admin", "delivery", "crds", "devcluster"):
        shown.type(group, "--help")
    shown.type("app", "sync", "--help")
    shown.type("app", "actions", "run", "--help")
    shown.type("repo", "add", "--help")
    shown.is_as("help")


def test_an_application_that_was_never_synced(mooring: Mooring, shop: str) -> None:
    shown = Transcript(mooring)
    shown.type("app", "list")
    shown.type("app", "list", "-o", "wide")
    shown.type("app", "get", shop)
    shown.type("app", "diff", shop)
    shown.type("app", "manifests", shop)
    shown.type("app", "set", shop, "--sync-policy", "auto", "--self-heal", "--sync-option", "Prune=false")
    shown.type("app", "set", shop, "--self-heal")
    shown.type("app", "get", shop)
    shown.type("app", "set", shop, "--sync-option", "!Prune=false", "--sync-policy", "none")
    shown.type("app", "get", shop, "-o", "name")
    shown.type("app", "sync", shop, "--async")
    shown.type("app", "terminate-op", shop)
    shown.type("app", "get", shop)
    shown.type("app", "delete", shop, "--yes")
    shown.is_as("application")


def test_failures_are_one_line_and_say_what_next(
    mooring: Mooring, shop: str, git_repo: Repository, tmp_path: Path
) -> None:
    shown = Transcript(mooring, {str(tmp_path): "/tmp"})
    shown.type("app", "get", "nobody")
    shown.type("app", "sync")
    shown.type("app", "sync", "-l", "team in sea")
    shown.type("app", "sync", "-l", "team=sea")
    shown.type("app", "sync", shop, "--timeout", "0.1")
    shown.type("app", "sync", shop)
    shown.type("app", "rollback", shop)
    shown.type("app", "terminate-op", shop)
    shown.type("app", "terminate-op", shop)
    shown.type("app", "rollback", shop, "7")
    shown.type("app", "logs", shop)
    shown.type("app", "actions", "run", shop, "restart")
    shown.type("app", "actions", "run", shop, "restart", "--kind", "Deployment", "--param", "replicas")
    shown.type("app", "actions", "run", shop, "restart", "--kind", "Deployment", "--timeout", "0.1")
    shown.type("app", "set", shop)
    shown.type("app", "set", shop, "--auto-prune")
    shown.type("app", "create", shop, "--repo", git_repo.url)
    shown.type("app", "create", "-f", str(tmp_path / "nowhere.yaml"))
    shown.type("app", "create", "-f", "-", given="a: b: c\n")
    shown.type("project", "get", "nobody")
    shown.type("repo", "rm", "https://git.example.com/nobody.git", "--yes")
    shown.type("repo", "add", "https://u:p@git.example.com/a.git")
    shown.type("repo", "add", "https://git.example.com/a.git", "--username", "sailor")
    shown.type("repo", "add", "https://git.example.com/a.git", "--password", "visible")
    shown.type("admin", "import", "-", given="kind: ConfigMap\nmetadata: {name: a}\n")
    shown.type("delivery", "get", "1-0")
    shown.is_as("failures")


def test_projects_clusters_and_repositories(mooring: Mooring, shop: str, git_repo: Repository) -> None:
    shown = Transcript(mooring, {r"\brepo-\d{6,10}(?![\d.a-f])": "repo-1234567890"})
    shown.type("project", "list")
    shown.type("project", "get", "default")
    shown.type("cluster", "list")
    git_repo.commit({"a.yaml": "kind: A\n"})
    shown.type("repo", "list")
    shown.type(
        "repo",
        "add",
        git_repo.url,
        "--name",
        "shop",
        "--username",
        "sailor",
        "--password-stdin",
        given="swordfish\n",
    )
    shown.type("repo", "add", git_repo.url)
    shown.type("repo", "list", "--check", "-o", "json")
    shown.type("repo", "rm", git_repo.url, "--yes")
    assert "swordfish" not in shown.text
    shown.is_as("projects-clusters-repositories")


def test_a_doctor_who_finds_everything(
    tools: Path, mooring: Mooring, shop: str, tmp_path: Path, cluster: Cluster
) -> None:
    secret = {"MOORING_WEBHOOK_GITHUB_SECRET": "0123456789abcdef"}
    shown = Transcript(
        lambda *words, given="": mooring(*words, given=given, **secret), _MACHINE | {str(tmp_path): "/tmp"}
    )
    shown.type("doctor")
    shown.is_as("doctor")


_MACHINE = {
    r"(v\d[\w.]*) at \S+/(helm|jsonnet|kustomize)\S*": r"\1 at /usr/local/bin/\2",
    r"[\d.]+ (ms|s)\b": "N ms",
    r"(?<=redis         )[\d.]+": "7.2.4",
    r"(?<=git           )\S+ at \S+": "2.45.0 at /usr/bin/git",
    r"(?<=ssh           )\S+": "/usr/bin/ssh",
    r"\d+ GiB free": "99 GiB free",
    r"(?<=tools that render run under ).*": "Landlock 7 and seccomp",
}
