"""What is exported comes in again, elsewhere, as it was declared."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.cli.conftest import Mooring

pytestmark = pytest.mark.cluster

PROJECT = """
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: fleet, labels: {team: sea}}
spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}]}
"""


def _documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def test_what_was_exported_is_imported_elsewhere(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str, git_repo: Repository
) -> None:
    assert mooring("admin", "import", "-", given=PROJECT).stdout == f"AppProject {namespace}/fleet created\n"
    added = mooring("repo", "add", git_repo.url, "--username", "u", "--password-stdin", given="swordfish")
    assert added.returncode == 0, added.stderr
    mooring("app", "sync", shop, "--async")  # an operation is no declaration

    plain = mooring("admin", "export")
    assert [body["kind"] for body in _documents(plain.stdout)] == ["AppProject", "Application"]
    assert "c3dvcmRmaXNo" not in plain.stdout
    whole = mooring("admin", "export", "--secrets")
    bodies = _documents(whole.stdout)
    assert [body["kind"] for body in bodies] == ["AppProject", "Secret", "Application"]
    assert "c3dvcmRmaXNo" in whole.stdout
    assert bodies[0]["metadata"] == {"name": "fleet", "labels": {"team": "sea"}}
    assert set(bodies[2]) == {"apiVersion", "kind", "metadata", "spec"}

    elsewhere = f"{namespace}-2"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": elsewhere}})
    try:
        tried = mooring("admin", "import", "-", "--dry-run", "-N", elsewhere, given=whole.stdout)
        assert tried.returncode == 0, tried.stderr
        assert tried.stdout.count("created (dry run)") == 3
        assert mooring("app", "list", "-o", "name", "-N", elsewhere).stdout == ""
        done = mooring("admin", "import", "-", "-N", elsewhere, given=whole.stdout)
        assert done.stdout.count("created\n") == 3
        assert _documents(mooring("admin", "export", "--secrets", "-N", elsewhere).stdout) == bodies
        again = mooring("admin", "import", "-", "-N", elsewhere, given=whole.stdout)
        assert again.stdout.count("unchanged\n") == 3
        bodies[2]["spec"]["source"]["path"] = "other"
        more = mooring("admin", "import", "-", "-N", elsewhere, given=yaml.safe_dump_all(bodies))
        assert more.stdout.splitlines()[2] == f"Application {elsewhere}/shop updated"
        spec = json.loads(mooring("app", "get", shop, "-N", elsewhere, "-o", "json").stdout)["spec"]
        assert spec["source"]["path"] == "other"
    finally:
        devcluster.ask(cluster, f"/api/v1/namespaces/{elsewhere}", method="DELETE")


def test_nothing_is_written_when_some_of_it_cannot_be_read(
    mooring: Mooring, shop: str, namespace: str
) -> None:
    wrong = f"{PROJECT}---\nkind: Secret\nmetadata: {{name: mine}}\nstringData: {{a: swordfish}}\n"
    done = mooring("admin", "import", "-", given=wrong)
    assert done.returncode == 20
    assert done.stdout == ""
    assert "stdin:7: kind Secret is not imported" in done.stderr
    assert "swordfish" not in done.stderr
    assert mooring("project", "get", "fleet").returncode == 13
