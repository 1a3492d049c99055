"""What the control plane promises to the tests, the demo and whoever starts it twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from devcluster import cluster as devcluster
from devcluster import process
from devcluster.cluster import Cluster
from devcluster.errors import DevclusterError

pytestmark = pytest.mark.cluster


def _pods(annotations: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "web", "image": "example/web:1"}], **more},
    }


def _job(name: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    template = _pods(annotations, restartPolicy="Never")
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}


def _until(cluster: Cluster, path: str, wanted: Any) -> Any:
    """Asks until `wanted(object)` is true; the timeout is pytest's."""
    pause = threading.Event()
    while not wanted(found := devcluster.ask(cluster, path)):
        pause.wait(0.05)
    return found


def _condition(found: dict[str, Any], kind: str) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def test_a_deployments_pods_become_ready(cluster: Cluster, namespace: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": _pods()}
    devcluster.ask(cluster, deployments, {"metadata": {"name": "web"}, "spec": spec})

    found = _until(cluster, f"{deployments}/web", lambda web: web["status"].get("readyReplicas") == 3)

    assert _condition(found, "Available")


def test_a_job_completes(cluster: Cluster, namespace: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    devcluster.ask(cluster, jobs, _job("good"))

    found = _until(cluster, f"{jobs}/good", lambda job: _condition(job, "Complete"))

    assert found["status"]["succeeded"] == 1


def test_a_job_fails_when_its_annotation_asks_for_it(cluster: Cluster, namespace: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    devcluster.ask(cluster, jobs, _job("bad", {"devcluster.mooring.dev/pod": "fail"}))

    found = _until(cluster, f"{jobs}/bad", lambda job: _condition(job, "Failed"))

    assert found["status"]["failed"] == 1


def test_a_pod_is_never_ready_when_its_annotation_asks_for_it(cluster: Cluster, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = _pods({"devcluster.mooring.dev/pod": "unready"})
    devcluster.ask(cluster, pods, pod | {"metadata": pod["metadata"] | {"name": "stuck"}})

    found = _until(cluster, f"{pods}/stuck", lambda pod: pod["status"]["phase"] == "Running")

    assert not _condition(found, "Ready")


def test_starting_again_gives_the_same_cluster(cluster: Cluster) -> None:
    before = devcluster.status(cluster.name)

    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: devcluster.start(cluster.name), range(4)))

    assert again == [cluster] * 4
    assert devcluster.status(cluster.name) == before
    assert before.ready


def test_the_kubeconfig_serves_kubectl(cluster: Cluster) -> None:
    asked = subprocess.run(
        [*cluster.kubectl, "auth", "can-i", "*", "*", "--all-namespaces"], capture_output=True, text=True
    )

    assert asked.stdout.strip() == "yes", asked.stderr


def test_nobody_else_may_read_its_secrets(cluster: Cluster) -> None:
    assert cluster.directory.stat().st_mode & 0o077 == 0
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0
    assert cluster.token not in repr(cluster)


def test_a_process_that_only_inherited_the_pid_is_not_ended(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    stranger = subprocess.Popen(argv)
    try:
        created = psutil.Process(stranger.pid).create_time()
        for stale in (
            process.Started(stranger.pid, created - 3600, tuple(argv)),
            process.Started(stranger.pid, created, ("etcd", "--data-dir=etcd")),
        ):
            stale.save(tmp_path / "etcd.pid")
            loaded = process.Started.load(tmp_path / "etcd.pid")
            assert loaded == stale
            process.stop(loaded)

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_started_process_outlives_nothing_but_stop(tmp_path: Path) -> None:
    started = process.start(
        [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log", cwd=tmp_path
    )
    found = started.process()
    assert found is not None
    assert os.getsid(started.pid) == started.pid

    process.stop(started)

    assert started.process() is None


def test_a_damaged_record_is_no_process(tmp_path: Path) -> None:
    for damaged in ("", "{", "[]", '{"pid": 1}', "null"):
        (tmp_path / "etcd.pid").write_text(damaged)
        assert process.Started.load(tmp_path / "etcd.pid") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "UPPER", "a" * 41, "-a"])
def test_a_name_that_would_leave_the_directory_is_refused(name: str) -> None:
    with pytest.raises(DevclusterError, match="not a cluster name"):
        devcluster.stop(name, delete=True)


def test_objects_are_kept_by_a_stop_and_lost_with_the_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = "/api/v1/namespaces/default/configmaps"
    try:
        first = devcluster.start("second")
        devcluster.ask(first, settings, {"metadata": {"name": "kept"}})
        assert devcluster.stop("second")
        assert not devcluster.status("second").ready

        again = devcluster.start("second")
        assert again.token == first.token
        assert devcluster.ask(again, f"{settings}/kept")["metadata"]["name"] == "kept"

        etcd = devcluster.status("second").pids["etcd"]
        assert etcd is not None
        psutil.Process(etcd).kill()
        psutil.wait_procs([psutil.Process(etcd)])
        fresh = devcluster.start("second")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            devcluster.ask(fresh, f"{settings}/kept")
    finally:
        devcluster.stop("second", delete=True)
    assert not fresh.directory.exists()


def test_what_does_not_run_is_said_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    with pytest.raises(DevclusterError, match="mooring devcluster start"):
        devcluster.find()

    assert not devcluster.status().ready
    assert devcluster.stop() is False
