"""Applications of one Mooring in two clusters: two real control planes."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socketserver
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.names import RECONCILE, TASK_RECONCILE
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_permissions import CLUSTER_ROLE

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def other() -> Iterator[Cluster]:
    """A second control plane, of this module alone."""
    name = f"other-{secrets.token_hex(4)}"
    try:
        yield devcluster.start(name, say=print)
    finally:
        for component in ("etcd", "kube-apiserver"):
            resumed(name, component)
        devcluster.stop(name, delete=True)


@pytest.fixture(scope="module")
def fleet(ship: Ship, other: Cluster) -> Ship:
    """The ship, which knows the second cluster by the name `other`."""
    declare(ship, "other", other)
    return ship


@pytest.fixture
def there(other: Cluster, namespace: str) -> str:
    """The test's namespace, in the second cluster, too."""
    devcluster.ask(other, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    return namespace


def declare(ship: Ship, name: str, cluster: Cluster, **fields: str) -> None:
    tls = {"caData": base64.b64encode(cluster.ca.read_bytes()).decode(), "serverName": "127.0.0.1"}
    config = json.dumps({"bearerToken": cluster.token, "tlsClientConfig": tls})
    secret = {
        "metadata": {"name": f"cluster-{name}", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": name, "server": cluster.server, "config": config} | fields,
    }
    ship.ask(f"/api/v1/namespaces/{ship.home}/secrets", secret)


def change(ship: Ship, name: str, **fields: str) -> None:
    ship.ask(f"/api/v1/namespaces/{ship.home}/secrets/cluster-{name}", {"stringData": fields}, **MERGE)


def found(cluster: Cluster, namespace: str, name: str) -> Any:
    try:
        return devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def paused(name: str, component: str = "kube-apiserver") -> None:
    pid = devcluster.status(name).pids[component]
    assert pid
    os.kill(pid, signal.SIGSTOP)


def resumed(name: str, component: str = "kube-apiserver") -> None:
    pid = devcluster.status(name).pids[component]
    if pid:
        os.kill(pid, signal.SIGCONT)


def listed(ship: Ship, name: str) -> Any:
    done = ship.mooring("cluster", "list", "-o", "json")
    assert done.returncode == 0, done.stderr
    return next(one for one in json.loads(done.stdout) if one["name"] == name)


def delete(ship: Ship, name: str) -> None:
    finalizers = {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}
    ship.patch_app(name, finalizers)
    ship.ask(f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/applications/{name}", method="DELETE")
    until(f"{name} to be gone", lambda: ship.app(name) is None)


def test_the_same_manifests_are_deployed_by_name_and_by_url_and_each_cluster_is_kept_by_itself(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")})
    fleet.create_app("here", git_repo, there, selfHeal=True)
    fleet.create_app(
        "there", git_repo, there, selfHeal=True, spec={"destination": {"name": "other", "namespace": there}}
    )
    url = {"server": f"{other.server}/", "namespace": f"{there}-url"}
    policy = {"syncOptions": ["CreateNamespace=true"]}
    fleet.create_app("by-url", git_repo, there, policy=policy, spec={"destination": url})
    for app in ("here", "there", "by-url"):
        fleet.synced(app, commit)
    assert fleet.configmap(there, "a")["data"] == {"v": "1"}
    assert found(other, there, "a")["data"] == {"v": "1"}
    assert found(other, f"{there}-url", "a") and fleet.configmap(f"{there}-url", "a") is None
    assert found(other, there, "a")["metadata"]["uid"] != fleet.configmap(there, "a")["metadata"]["uid"]

    # The command shows what is there, and not what is here.
    devcluster.ask(other, f"/api/v1/namespaces/{there}/configmaps/a", {"data": {"v": "edited"}}, **MERGE)
    differs = fleet.mooring("app", "diff", "there").stdout
    assert "edited" in differs and "edited" not in fleet.mooring("app", "diff", "here").stdout
    assert "edited" in fleet.mooring("app", "manifests", "there", "--source", "live").stdout

    # What drifts in one is seen and put back there.
    fleet.reconcile("there")
    assert found(other, there, "a")["data"] == {"v": "1"}

    # What leaves Git leaves both, and what is deleted with one app stays with the other.
    fleet.pushed(git_repo, {"b.yaml": None})
    until("b to be gone there", lambda: found(other, there, "b") is None)
    until("b to be gone here", lambda: fleet.configmap(there, "b") is None)
    delete(fleet, "there")
    assert found(other, there, "a") is None and fleet.configmap(there, "a")
    delete(fleet, "here")
    assert fleet.configmap(there, "a") is None and found(other, f"{there}-url", "a")
    delete(fleet, "by-url")
    assert found(other, f"{there}-url", "a") is None


def test_a_cluster_that_nobody_knows_is_told_and_nothing_is_applied_pruned_or_forgotten(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a")})
    fleet.create_app("moves", git_repo, there, spec={"destination": {"name": "other", "namespace": there}})
    fleet.synced("moves", commit)

    fleet.patch_app("moves", {"spec": {"destination": {"name": "nowhere"}}})

    told = fleet.condition("moves", "there are no clusters with this name: nowhere")
    assert told["type"] == "InvalidSpecError"
    assert fleet.app("moves")["status"]["sync"]["status"] == "Unknown"
    assert found(other, there, "a") and fleet.configmap(there, "a") is None
    fleet.patch_app("moves", {"spec": {"destination": {"name": "other"}}})
    fleet.synced("moves", commit)
    fleet.unsaid("moves", "nowhere")
    delete(fleet, "moves")
    assert found(other, there, "a") is None


def test_a_cluster_that_hangs_holds_up_no_other_and_its_apps_converge_when_it_is_back(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    apart = {"destination": {"name": "other", "namespace": there}}
    fleet.create_app("afloat", git_repo, there)
    fleet.create_app("adrift", git_repo, there, spec=apart)
    fleet.synced("afloat", first)
    fleet.synced("adrift", first)
    assert listed(fleet, "other")["status"] == "Successful"

    paused(other.name)
    try:
        second = git_repo.commit({"a.yaml": configmap("a", v="2")})
        fleet.deliver(git_repo, second)
        fleet.synced("afloat", second)
        assert fleet.configmap(there, "a")["data"] == {"v": "2"}

        fleet.condition("adrift", "cluster other: ")
        away = listed(fleet, "other")
        assert away["status"] == "Failed" and "did not answer" in away["message"]
        assert other.token not in json.dumps(away)
        # Whoever comes now is told at once: nobody waits for it a second time.
        third = git_repo.commit({"a.yaml": configmap("a", v="3")})
        fleet.deliver(git_repo, third)
        fleet.synced("afloat", third)
    finally:
        resumed(other.name)

    fleet.synced("adrift", third)
    assert found(other, there, "a")["data"] == {"v": "3"}
    fleet.unsaid("adrift", "cluster other: ")
    assert listed(fleet, "other")["status"] == "Successful"
    for log in fleet.children:
        assert other.token not in fleet.log(log)


class Silent(socketserver.BaseRequestHandler):
    """Takes a connection, and says nothing until the other end goes."""

    def handle(self) -> None:
        while self.request.recv(1 << 16):
            pass


class Failing(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_GET(self) -> None:
        self.send_error(500)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serving(kind: type[socketserver.TCPServer], answers: Any, tls: trustme.LeafCert | None) -> Iterator[str]:
    """The URL of a server that answers so, with this certificate."""
    with kind(("127.0.0.1", 0), answers) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.configure_cert(context)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True, name="sick").start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def sick() -> Iterator[dict[str, tuple[str, dict[str, Any], str]]]:
    """Clusters that are sick, by name: the URL, who is trusted, and what is to be heard of it."""
    authority, long_ago = trustme.CA(), datetime(2001, 1, 1, tzinfo=UTC)
    valid = authority.issue_cert("127.0.0.1")
    expired = authority.issue_cert("127.0.0.1", not_before=long_ago, not_after=long_ago + timedelta(days=1))
    trust = {"caData": base64.b64encode(authority.cert_pem.bytes()).decode()}
    with (
        serving(socketserver.ThreadingTCPServer, Silent, None) as silent,
        serving(ThreadingHTTPServer, Failing, valid) as failing,
        serving(ThreadingHTTPServer, Failing, expired) as outdated,
    ):
        yield {
            "silent": (silent, trust, "did not answer"),
            "failing": (failing, trust, "the API server asks to come back"),
            "outdated": (outdated, trust, "certificate has expired"),
        }


def test_drift_is_put_back_in_one_cluster_while_others_are_sick_in_every_way(
    fleet: Ship,
    other: Cluster,
    git_repo: Repository,
    there: str,
    sick: dict[str, tuple[str, dict[str, Any], str]],
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    apart = {"destination": {"name": "other", "namespace": there}}
    fleet.create_app("keeps", git_repo, there, selfHeal=True)
    fleet.create_app("loses-etcd", git_repo, there, selfHeal=True, spec=apart)
    fleet.synced("keeps", first)
    fleet.synced("loses-etcd", first)
    for name, (url, trust, _) in sick.items():
        declare(fleet, name, other, server=url, config=json.dumps({"tlsClientConfig": trust}))
        fleet.create_app(name, git_repo, there, spec={"destination": {"server": url, "namespace": there}})

    paused(other.name, "etcd")
    try:
        second = git_repo.commit({"a.yaml": configmap("a", v="2")})
        fleet.deliver(git_repo, second)
        for value in ("edited", "edited again"):
            fleet.synced("keeps", second)
            fleet.ask(f"/api/v1/namespaces/{there}/configmaps/a", {"data": {"v": value}}, **MERGE)
            fleet.send(RECONCILE, TASK_RECONCILE)  # a full one
            until(f"{value} to be put back", lambda: fleet.configmap(there, "a")["data"] == {"v": "2"})
        for name, (_, _, says) in sick.items():
            assert says in fleet.condition(name, f"cluster {name}: ")["message"]
            assert listed(fleet, name)["status"] == "Failed"
        fleet.condition("loses-etcd", "cluster other: ")
        assert listed(fleet, "other")["status"] == "Failed"
    finally:
        resumed(other.name, "etcd")

    fleet.synced("loses-etcd", second)
    fleet.unsaid("loses-etcd", "cluster other: ")
    assert found(other, there, "a")["data"] == {"v": "2"}
    for name in sick:
        fleet.ask(f"/api/v1/namespaces/{fleet.home}/secrets/cluster-{name}", method="DELETE")


def test_a_password_in_a_clusters_url_is_shown_by_no_list_of_clusters(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    declare(fleet, "leaky", other, server="https://sailor:hunter2@127.0.0.1:6443")
    git_repo.commit({"a.yaml": configmap("a")})
    fleet.create_app("leaks", git_repo, there, spec={"destination": {"name": "leaky", "namespace": there}})
    told = fleet.condition("leaks", "cluster Secret cluster-leaky: server must be a URL alone")
    for output in ("wide", "server", "json", "yaml"):
        shown = fleet.mooring("cluster", "list", "-o", output).stdout
        assert "https://***@127.0.0.1:6443" in shown and "hunter2" not in shown
    assert "hunter2" not in json.dumps(told) + json.dumps(fleet.app("leaks")["status"])
    for log in fleet.children:
        assert "hunter2" not in fleet.log(log)
    fleet.ask(f"/api/v1/namespaces/{fleet.home}/secrets/cluster-leaky", method="DELETE")


def test_a_cluster_that_is_managed_in_namespaces_has_nothing_elsewhere(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    role = f"role-{there}"
    body = f"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {role}}}\n"
    port = other.server.rpartition(":")[2]
    declare(fleet, "part", other, server=f"https://localhost:{port}", namespaces=there)
    git_repo.commit({"a.yaml": configmap("a")})
    outside = {"destination": {"name": "part", "namespace": "default"}}
    fleet.create_app("outside", git_repo, there, spec=outside)

    def told() -> Any:
        found = fleet.refresh("outside")["status"].get("conditions", [])
        text = "namespace default of cluster part is not managed"
        return next((one for one in found if text in one["message"]), None)

    assert until("a condition that says so", told)["type"] == "InvalidSpecError"
    assert found(other, "default", "a") is None

    def synced(app: str) -> bool:
        status = fleet.refresh(app)["status"]
        return bool(status.get("sync", {}).get("status") == "Synced")

    fleet.create_app("inside", git_repo, there, spec={"destination": {"name": "part", "namespace": there}})
    until("what is inside", lambda: synced("inside"))
    assert found(other, there, "a")

    fleet.pushed(git_repo, {"role.yaml": body + "rules: []\n"})
    fleet.condition("inside", "cluster part is managed in namespaces only")
    roles = f"/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.name={role}"
    assert devcluster.ask(other, roles)["items"] == []
    change(fleet, "part", clusterResources="true")
    until("the cluster's role", lambda: synced("inside"))
    assert len(devcluster.ask(other, roles)["items"]) == 1


def test_orphans_are_counted_in_each_cluster_and_one_that_hangs_holds_up_no_count_and_takes_back_none(
    fleet: Ship, other: Cluster, git_repo: Repository, there: str
) -> None:
    projects = f"/apis/argoproj.io/v1alpha1/namespaces/{fleet.home}/appprojects"
    anywhere, everything = {"server": "*", "namespace": "*"}, {"group": "*", "kind": "*"}
    spec = {"sourceRepos": ["*"], "destinations": [anywhere], "namespaceResourceWhitelist": [everything]}
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "crew"}}
    fleet.ask(projects, head | {"spec": spec | {"orphanedResources": {}}})
    commit = git_repo.commit({"a.yaml": configmap("a")})
    crew = {"project": "crew"}
    apart = crew | {"destination": {"name": "other", "namespace": there}}
    fleet.create_app("counts-here", git_repo, there, spec=crew)
    fleet.create_app("counts-there", git_repo, there, spec=apart)
    fleet.synced("counts-here", commit)
    fleet.synced("counts-there", commit)

    def stray(cluster: Cluster, name: str) -> None:
        path = f"/api/v1/namespaces/{there}/configmaps"
        devcluster.ask(cluster, path, {"metadata": {"name": name}})

    def counted(app: str, count: int) -> None:
        fleet.send(RECONCILE, TASK_RECONCILE)  # a full one
        fleet.condition(app, f"Application has {count} orphaned resources")

    for name in ("one", "two"):
        stray(other, name)
    counted("counts-there", 2)
    stray(fleet.cluster, "one")
    counted("counts-here", 1)
    told = json.loads(fleet.mooring("app", "resources", "counts-there", "--orphaned", "-o", "json").stdout)
    assert [one["name"] for one in told] == ["one", "two"]
    _, by_web = fleet.api(f"applications/{fleet.home}/counts-there/orphans")
    assert (by_web["orphans"], by_web["moreOrphans"], by_web["why"]) == (told, 0, "")

    paused(other.name)
    try:
        stray(fleet.cluster, "two")
        counted("counts-here", 2)
        fleet.condition("counts-there", "cluster other: ")
        fleet.condition("counts-there", "Application has 2 orphaned resources")
        assert fleet.api(f"applications/{fleet.home}/counts-there/orphans") == (200, by_web)
        (cluster,) = [one for one in fleet.api("clusters")[1] if one["name"] == "other"]
        assert (cluster["server"], cluster["status"]) == (other.server, "Failed")
        assert other.token not in json.dumps(cluster)
    finally:
        resumed(other.name)
    fleet.unsaid("counts-there", "cluster other: ")
    path = f"/api/v1/namespaces/{there}/configmaps"
    devcluster.ask(other, f"{path}/one", method="DELETE")
    counted("counts-there", 1)
    counted("counts-here", 2)


def test_the_home_cluster_is_managed_in_the_namespaces_that_its_secret_names(
    fleet: Ship, git_repo: Repository, namespace: str
) -> None:
    role = f"role-{namespace}"
    body = CLUSTER_ROLE.format(role)
    home = {"server": "https://kubernetes.default.svc", "namespaces": namespace, "shard": "1"}
    declare(fleet, "head-office", fleet.cluster, **home)
    try:
        git_repo.commit({"a.yaml": configmap("a"), "role/role.yaml": body})
        outside = {"destination": {"name": "in-cluster", "namespace": "default"}}
        fleet.create_app("beyond", git_repo, namespace, spec=outside)
        told = fleet.condition("beyond", "namespace default of cluster head-office is not managed")
        assert told["type"] == "InvalidSpecError" and fleet.configmap("default", "a") is None

        fleet.create_app("within", git_repo, namespace)
        until("what is within", lambda: fleet.configmap(namespace, "a"))
        fleet.create_app("role", git_repo, namespace, path="role")
        fleet.condition("role", "cluster head-office is managed in namespaces only")
        roles = f"/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.name={role}"
        assert fleet.ask(roles)["items"] == []

        change(fleet, "head-office", clusterResources="true")

        def made() -> bool:
            fleet.refresh("role")
            return bool(fleet.ask(roles)["items"])

        until("the cluster's role", made)

        change(fleet, "head-office", namespaces=f"{namespace}\nelsewhere")

        def refused() -> bool:
            refresh = {"argocd.argoproj.io/refresh": "normal"}
            app = fleet.patch_app("beyond", {"metadata": {"annotations": refresh}})
            told = [one["message"] for one in app.get("status", {}).get("conditions", [])]
            return any(
                "cluster Secret cluster-head-office: namespaces has a line break" in one for one in told
            )

        until("the word on what cannot be read", refused)
        assert fleet.configmap("default", "a") is None
    finally:
        fleet.ask(f"/api/v1/namespaces/{fleet.home}/secrets/cluster-head-office", method="DELETE")
