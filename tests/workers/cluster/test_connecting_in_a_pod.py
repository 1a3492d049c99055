"""In a pod: the service account's files and the two variables are all there is."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kubernetes.config import incluster_config

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import ClusterRefused
from mooring.keys import IN_CLUSTER
from workers.cluster import transport
from workers.cluster.connect import Cluster, connect
from workers.cluster.identity import MOORING
from workers.cluster.kinds import Kind

pytestmark = pytest.mark.cluster

Account = Callable[[str], str]


@pytest.fixture
def account(cluster: ControlPlane, namespace: str) -> Account:
    """Makes a service account of that name; gives a token for it, as the kubelet asks for one."""

    def make(name: str) -> str:
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        devcluster.ask(cluster, accounts, {"metadata": {"name": name}})
        answer = devcluster.ask(cluster, f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 600}})
        token: str = answer["status"]["token"]
        return token

    return make


class Mount:
    """The service account's directory as the kubelet keeps it: every change is the swap of one link."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._versions = itertools.count()
        directory.mkdir()
        for name in ("token", "ca.crt"):
            (directory / name).symlink_to(f"..data/{name}")

    def write(self, token: str, ca: str) -> None:
        fresh, link = self.directory / f"..{next(self._versions)}", self.directory / "..data_tmp"
        fresh.mkdir()
        (fresh / "token").write_text(token)
        (fresh / "ca.crt").write_text(ca)
        link.symlink_to(fresh.name)
        link.rename(self.directory / "..data")


@pytest.fixture
def pod(cluster: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """This process is told of the cluster as one in a pod is, and in no other way."""
    mount = Mount(tmp_path / "serviceaccount")
    server = urlsplit(cluster.server)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    # /var/run/secrets/kubernetes.io/serviceaccount is not ours to write on the machine of a test.
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(mount.directory / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(mount.directory / "ca.crt"))
    return mount


def who(connected: Cluster) -> str:
    """The name that the API server knows us by."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = connected.transport.request("POST", path, identity=MOORING, body={}).json()
    name: str = review["status"]["userInfo"]["username"]
    return name


def test_a_pods_service_account_leads_to_its_cluster(
    cluster: ControlPlane, namespace: str, account: Account, pod: Mount, config_maps: Kind
) -> None:
    pod.write(account("mooring"), cluster.ca.read_text())

    connected = connect()

    assert connected.ref == IN_CLUSTER
    assert connected.discovery.server_version.startswith("v1.")
    assert who(connected) == f"system:serviceaccount:{namespace}:mooring"
    with pytest.raises(ClusterRefused, match="forbidden"):
        connected.api().get(config_maps, namespace, "kube-root-ca.crt")
    grant = {
        "metadata": {"name": "mooring"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "mooring", "namespace": namespace}],
    }
    devcluster.ask(cluster, f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", grant)
    while not readable(connected, namespace, config_maps):  # the authorizer takes a moment to hear of it
        pass


def readable(connected: Cluster, namespace: str, config_maps: Kind) -> bool:
    try:
        return connected.api().get(config_maps, namespace, "kube-root-ca.crt") is not None
    except ClusterRefused:
        return False


def test_a_pods_token_that_was_replaced_is_read_again(
    cluster: ControlPlane,
    namespace: str,
    account: Account,
    pod: Mount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "RELOAD_EVERY", 0.0)
    old, new = account("old"), account("new")  # two, so that the server can tell which token it was given
    pod.write(old, cluster.ca.read_text())
    connected = connect()
    assert who(connected).endswith(":old")
    pause = threading.Event()

    pod.write(new, cluster.ca.read_text())
    devcluster.ask(
        cluster, f"/api/v1/namespaces/{namespace}/serviceaccounts/old", method="DELETE"
    )  # which ends its tokens, as time would
    while (name := who(connected)).endswith(":old"):  # the server remembers for seconds that it was valid
        pause.wait(0.1)
    assert name == f"system:serviceaccount:{namespace}:new"


def test_a_pods_token_or_authority_that_is_wrong_is_said_and_not_shown(
    cluster: ControlPlane, account: Account, pod: Mount
) -> None:
    token, authority = account("mooring"), cluster.ca.read_text()
    pod.write("hunter2", authority)
    with pytest.raises(ClusterRefused, match="credential") as refused:
        connect()
    assert "hunter2" not in str(refused.value)
    pod.write("", authority)
    with pytest.raises(ClusterRefused, match="service account"):
        connect()
    pod.write(token, "no certificate")
    with pytest.raises(ClusterRefused, match="certificate"):
        connect()
    pod.write(token, authority)
    assert connect().discovery.server_version
