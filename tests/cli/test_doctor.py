"""`mooring doctor` on a machine where something is missing: it finds it, and says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.redis import RedisServer
from tests.charts.rendered import golden, objects, of_kind
from tests.cli.conftest import Mooring
from tests.workers.confine.conftest import WITHOUT_LANDLOCK

pytestmark = pytest.mark.cluster


def _found(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    return {one["check"]: one for one in json.loads(done.stdout)}


def _acting_as(cluster: Cluster, user: str, directory: Path) -> Path:
    """A kubeconfig of somebody else."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = user
    limited = directory / "kubeconfig"
    limited.write_text(yaml.safe_dump(config))
    return limited


def test_all_is_well(tools: Path, mooring: Mooring, shop: str) -> None:
    done = mooring("doctor", "-o", "json")
    assert done.returncode == 0, done.stdout
    found = _found(done)
    states = {check: one["state"] for check, one in found.items()}
    assert "problem" not in states.values()
    assert {check for check, state in states.items() if state == "warning"} <= {
        *("redis", "processes", "observer", "webhooks", "ssh"),
    }
    assert found["applications"]["said"] == "1"
    # Where the workers are, nobody can know what the web tier was told.
    assert (
        found["webhooks"]["said"] == "no secret is seen here; the web tier may have an environment of its own"
    )


def test_applications_that_show_an_error_are_named_with_the_next_step(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str
) -> None:
    status = {"status": {"conditions": [{"type": "ComparisonError", "message": "no such path"}]}}
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{shop}"
    devcluster.ask(cluster, path, status, method="PATCH", content_type="application/merge-patch+json")

    done = mooring("doctor", "-o", "json")

    assert done.returncode == 0, "Mooring itself lacks nothing"
    told = _found(done)["applications"]
    assert (told["state"], told["said"]) == ("warning", f"1 of 1 say that something is wrong: {shop}")
    assert told["advice"] == f"`mooring app get {shop}` says what"


def test_without_kinds_namespace_redis_and_git_each_is_found(mooring: Mooring, tmp_path: Path) -> None:
    done = mooring("doctor", "-o", "json", "-N", "no-such-home", MOORING_REDIS_URL="", PATH=str(tmp_path))
    assert done.returncode == 1
    found = _found(done)
    for check in ("redis", "namespace", "git"):
        assert found[check]["state"] == "problem"
        assert found[check]["advice"]
    for check, needed in (("helm", "charts"), ("kustomize", "kustomizations"), ("jsonnet", "Jsonnet")):
        assert found[check]["state"] == "warning"
        assert needed in found[check]["advice"]
    assert found["cluster"]["state"] == "ok"
    assert "MOORING_REDIS_URL_FILE" in found["redis"]["said"]  # as packaged set-ups give it
    listed = mooring("delivery", "list", MOORING_REDIS_URL="")
    assert "MOORING_REDIS_URL_FILE" in listed.stderr


def test_of_a_redis_that_does_not_answer_the_variable_is_named_that_leads_there(
    mooring: Mooring, tmp_path: Path
) -> None:
    file = tmp_path / "redis-url"
    file.write_text(f"unix://{tmp_path}/nowhere.sock")
    done = mooring("doctor", "-o", "json", MOORING_REDIS_URL="", MOORING_REDIS_URL_FILE=str(file))
    found = _found(done)["redis"]
    assert found["state"] == "problem"
    assert found["advice"].endswith("MOORING_REDIS_URL_FILE")


def test_a_password_of_redis_that_is_wrong_is_found_and_not_shown(mooring: Mooring, shop: str) -> None:
    with RedisServer() as server:
        url = server.url.replace(server.url.split(":")[2].split("@")[0], "swordfish")
        done = mooring("doctor", "-o", "json", MOORING_REDIS_URL=url)
    assert done.returncode == 1
    assert _found(done)["redis"]["state"] == "problem"
    assert "swordfish" not in done.stdout + done.stderr


def test_a_user_who_may_not_is_told_what_is_missing(
    mooring: Mooring, shop: str, cluster: Cluster, tmp_path: Path
) -> None:
    limited = _acting_as(cluster, "nobody-in-particular", tmp_path)
    done = mooring("doctor", "-o", "json", MOORING_KUBECONFIG=str(limited))
    assert done.returncode == 1
    found = _found(done)
    assert found["permissions"]["state"] == "problem"
    assert "patch applications" in found["permissions"]["said"]
    assert "get events" in found["permissions"]["said"]
    assert "patch events" in found["permissions"]["said"]
    assert "RoleBinding" in found["permissions"]["advice"]


def test_the_account_that_the_chart_gives_the_workers_lacks_nothing(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (role,) = (
        one
        for one in of_kind(objects(golden("namespaced")), "Role")
        if not one["metadata"]["name"].endswith(("-destination", "-observer"))
    )
    role["metadata"] = {"name": "worker"}
    user = {"kind": "User", "name": f"worker-{namespace}", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {
        "metadata": {"name": "worker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
        "subjects": [user],
    }
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    devcluster.ask(cluster, f"{rbac}/roles", role)
    devcluster.ask(cluster, f"{rbac}/rolebindings", binding)
    limited = _acting_as(cluster, user["name"], tmp_path)

    done = mooring("doctor", "-o", "json", MOORING_KUBECONFIG=str(limited))

    assert done.returncode == 0, done.stdout
    found = _found(done)
    for check in ("kinds", "namespace", "permissions", "applications"):
        assert found[check]["state"] == "ok", found[check]


def test_whom_projects_name_and_nobody_may_act_as_is_said(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    assert "impersonation" not in _found(mooring("doctor", "-o", "json"))  # no project names anybody
    account = {"server": "*", "namespace": "*", "defaultServiceAccount": "deployer"}
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "destinationServiceAccounts": [account],
    }
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "crew"},
        "spec": spec,
    }
    argo = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}"
    devcluster.ask(cluster, f"{argo}/appprojects", body)
    patch = {"method": "PATCH", "content_type": "application/merge-patch+json"}
    devcluster.ask(cluster, f"{argo}/applications/shop", {"spec": {"project": "crew"}}, **patch)
    found = _found(mooring("doctor", "-o", "json"))["impersonation"]
    assert (found["state"], found["said"]) == ("ok", "may act as all 1 that projects name")

    rules = [
        {"apiGroups": ["argoproj.io"], "resources": ["applications", "appprojects"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]
    user = {"kind": "User", "name": f"reader-{namespace}", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [user],
    }
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    devcluster.ask(cluster, f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    devcluster.ask(cluster, f"{rbac}/rolebindings", binding)
    limited = _acting_as(cluster, user["name"], tmp_path)
    found = _found(mooring("doctor", "-o", "json", MOORING_KUBECONFIG=str(limited)))["impersonation"]
    assert found["state"] == "problem"
    assert found["said"] == f"not permitted to act as service account {namespace}/deployer"
    assert "rbac.impersonate" in found["advice"]


def test_of_applications_in_files_it_looks_and_makes_nothing(
    mooring: Mooring, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    nowhere = f"{namespace}-not-yet"

    done = mooring("doctor", "-o", "json", "-N", nowhere, MOORING_APPS_DIR=str(apps))
    found = _found(done)
    assert done.returncode == 0, done.stdout
    assert found["namespace"]["state"] == "warning"
    assert "none yet" in found["installation"]["said"]
    names = [one["metadata"]["name"] for one in devcluster.ask(cluster, "/api/v1/namespaces")["items"]]
    assert nowhere not in names

    assert mooring("doctor", MOORING_APPS_DIR=str(apps)).returncode == 0
    assert devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/secrets")["items"] == []


def test_a_secret_that_was_lost_is_named_and_the_way_to_the_cluster_is_not_blamed(
    mooring: Mooring, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    inventory = {
        "metadata": {
            "name": "applyset.shop",
            "labels": {"applyset.kubernetes.io/id": "applyset-of-shop"},
            "annotations": {"applyset.kubernetes.io/tooling": "mooring/v1"},
        }
    }
    devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/configmaps", inventory)

    done = mooring("doctor", "-o", "json", MOORING_APPS_DIR=str(tmp_path))

    assert done.returncode == 1
    found = _found(done)
    assert found["cluster"]["state"] == "ok"
    assert found["installation"]["state"] == "problem"
    assert "restore the Secret from a backup" in found["installation"]["said"]


def test_a_cluster_that_does_not_answer_and_a_wrong_setting_are_found(
    mooring: Mooring, tmp_path: Path
) -> None:
    done = mooring(
        *("doctor", "-o", "json"),
        MOORING_KUBECONFIG=str(tmp_path / "nowhere"),
        MOORING_ALLOW_UNSIGNED="nobody",
    )
    assert done.returncode == 1
    found = _found(done)
    assert found["cluster"]["state"] == "problem"
    assert "clock" not in found
    assert "MOORING_ALLOW_UNSIGNED" in found["webhooks"]["said"]


@pytest.mark.parametrize(("setting", "state"), [("", "problem"), ("1", "warning")])
def test_where_nothing_confines_what_renders_that_is_found(tmp_path: Path, setting: str, state: str) -> None:
    """As in a container whose runtime knows nothing of Landlock."""
    code = WITHOUT_LANDLOCK + "from cli.main import main; main(['doctor', '-o', 'json'])"
    env = {"PATH": "/nowhere", "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    setting_up = {"MOORING_RENDER_UNCONFINED": setting, "MOORING_KUBECONFIG": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | setting_up, capture_output=True, text=True, check=False
    )
    found = _found(done)["confinement"]
    assert found["state"] == state
    assert "seccomp, without Landlock" in found["said"]
    assert "5.13" in found["advice"]
