"""From a kubeconfig to a cluster, and what is said when that fails."""

from __future__ import annotations

import base64
import copy
import json
import secrets as random
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict
from workers.cluster import transport
from workers.cluster.api import Api, Create
from workers.cluster.client import Configuration
from workers.cluster.connect import Cluster, _from_kubeconfig, connect, server_ref
from workers.cluster.identity import MOORING
from workers.cluster.kinds import Kind
from workers.cluster.transport import Transport, Unreachable

Write = Callable[[Callable[[dict[str, Any]], Any]], str]


@pytest.fixture
def changed(cluster: ControlPlane, tmp_path: Path) -> Write:
    """Writes a kubeconfig like the control plane's own, changed by a function; gives its path."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())

    def write(change: Callable[[dict[str, Any]], Any]) -> str:
        own = copy.deepcopy(config)
        change(own)
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(own))
        return str(path)

    return write


def user(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["users"][0]["user"]
    return found


def server(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["clusters"][0]["cluster"]
    return found


@pytest.mark.cluster
def test_a_kubeconfig_leads_to_the_cluster(cluster: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = connect(str(cluster.kubeconfig), cluster.context)
    assert connected.ref == cluster.server
    assert connected.discovery.server_version.startswith("v1.")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    assert connect().ref == connected.ref


@pytest.mark.cluster
def test_what_a_kubeconfig_holds_of_certificates_is_in_no_file(
    changed: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed would leave it behind, keys and all."""

    def say_where_it_is_from(config: dict[str, Any]) -> None:
        pem = base64.b64decode(server(config)["certificate-authority-data"])
        server(config)["certificate-authority-data"] = base64.b64encode(b"# Ours\n" + pem).decode()

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert connect(changed(say_where_it_is_from)).discovery.server_version
    assert not list(temporary.iterdir())


def test_what_is_wrong_with_a_kubeconfig_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterRefused, match="--kubeconfig"):
        connect()
    with pytest.raises(ClusterRefused, match="--kubeconfig"):
        connect(None, "some")
    with pytest.raises(ClusterRefused, match="does not exist"):
        connect(str(tmp_path / "none"))
    path = tmp_path / "kubeconfig"
    for text in ("", "[]", "{", "a: b", "users: [{name: x, user: {token: hunter2}}", "\x00", "contexts: 1"):
        path.write_text(text)
        with pytest.raises(ClusterRefused, match="kubeconfig") as refused:
            connect(str(path))
        assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ClusterRefused, match="service account"):
        connect()


@pytest.mark.cluster
def test_a_wrong_context_names_the_right_ones(cluster: ControlPlane) -> None:
    with pytest.raises(ClusterRefused, match=cluster.context):
        connect(str(cluster.kubeconfig), "elsewhere")


@pytest.mark.cluster
def test_a_refused_token_is_said_and_not_shown(changed: Write) -> None:
    path = changed(lambda config: user(config).update(token="hunter2"))
    with pytest.raises(ClusterRefused, match="credential") as refused:
        connect(path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_with_another_certificate_is_not_trusted(changed: Write) -> None:
    def forget_the_authority(config: dict[str, Any]) -> None:
        server(config).pop("certificate-authority-data", None)
        server(config).pop("certificate-authority", None)

    with pytest.raises(ClusterRefused, match="cannot trust"):
        connect(changed(forget_the_authority))

    def do_not_care(config: dict[str, Any]) -> None:
        forget_the_authority(config)
        server(config)["insecure-skip-tls-verify"] = True

    assert connect(changed(do_not_care)).discovery.server_version

    def spoil(config: dict[str, Any]) -> None:
        forget_the_authority(config)
        server(config)["certificate-authority-data"] = base64.b64encode(b"no certificate").decode()

    with pytest.raises(ClusterRefused, match=r"certificates .* cannot be used"):
        connect(changed(spoil))


@pytest.mark.cluster
def test_a_server_that_is_not_there_may_come_back(changed: Write) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = unused.getsockname()[1]
        with pytest.raises(ClusterUnavailable, match=f"127.0.0.1:{port}.*refused"):
            connect(changed(lambda config: server(config).update(server=f"https://127.0.0.1:{port}")))


@contextmanager
def answered_by(meet: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that does with each connection what `meet` does, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ends = threading.Event()

        def serve() -> None:
            while not ends.is_set():
                connection, _ = listener.accept()
                with connection:
                    meet(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port
        ends.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


@pytest.mark.cluster
def test_a_server_that_hangs_up_is_asked_again_only_for_reads(changed: Write) -> None:
    """A listener that accepts and closes at once, as a server that is being restarted."""
    with answered_by(lambda connection: None) as port:
        path = changed(lambda config: server(config).update(server=f"http://127.0.0.1:{port}"))
        pool = transport.Transport(_from_kubeconfig(path, None))
        for method, tries in (("GET", 2), ("PATCH", 1), ("POST", 1), ("DELETE", 1)):
            with pytest.raises(ClusterUnavailable):
                pool.request(method, "/api", identity=MOORING)
            assert pool.count[method] == tries


@pytest.mark.cluster
@pytest.mark.parametrize("alert", [50, 20], ids=["decode_error", "bad_record_mac"])
def test_a_server_that_cannot_make_sense_of_a_handshake_is_asked_again_only_for_reads(
    changed: Write, alert: int
) -> None:
    """Something on the way has garbled it, as it seems: that says nothing of whom to trust."""

    def complain(connection: socket.socket) -> None:
        if connection.recv(1 << 16):
            connection.sendall(bytes((21, 3, 3, 0, 2, 2, alert)))
            connection.recv(1 << 16)

    with answered_by(complain) as port:
        path = changed(lambda config: server(config).update(server=f"https://127.0.0.1:{port}"))
        pool = transport.Transport(_from_kubeconfig(path, None))
        for method, tries in (("GET", 2), ("PATCH", 1)):
            with pytest.raises(Unreachable, match="hung up"):
                pool.request(method, "/api", identity=MOORING)
            assert pool.count[method] == tries


@pytest.mark.cluster
def test_what_each_handshake_says_of_protocols_is_never_written_anew(changed: Write) -> None:
    """Another thread may be reading it just then, in C, for a handshake of its own."""
    pool, _ = transport._pool(_from_kubeconfig(changed(lambda config: None), None)(), "kubeconfig")
    context = pool.conn_kw["ssl_context"]
    context.set_alpn_protocols(["garbage"])
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(heard, said, server_hostname="localhost").do_handshake()
    hello = said.read()
    assert b"\x08http/1.1" in hello
    assert b"garbage" not in hello


@pytest.mark.cluster
def test_a_rotated_token_is_read_again(
    cluster: ControlPlane, changed: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "RELOAD_EVERY", 0.0)
    monkeypatch.setattr(transport, "_ASKED_EVERY", 0.0)
    token = tmp_path / "token"
    token.write_text(cluster.token)

    def from_a_file(config: dict[str, Any]) -> None:
        user(config).pop("token")
        user(config)["tokenFile"] = str(token)

    connected = connect(changed(from_a_file))
    kinds = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
    expire(connected)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: connected.api().get(kinds, "", "default"), range(16)))
    assert all(found)
    token.unlink()  # as while it is being replaced
    expire(connected)
    with pytest.raises(ClusterUnavailable, match="cannot be read"):
        connected.api().get(kinds, "", "default")
    token.write_text("revoked")
    expire(connected)
    with pytest.raises(ClusterRefused, match="credential"):
        connected.api().get(kinds, "", "default")


def expire(connected: Cluster) -> None:
    """As if the token that was read at the start had been valid until now."""
    configuration = connected.transport._configuration
    configuration.api_key["BearerToken"] = "Bearer expired"
    configuration.refresh_api_key_hook = None


@pytest.mark.cluster
def test_an_exec_plugin_gives_the_credential(cluster: ControlPlane, changed: Write, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": cluster.token},
    }

    def by_plugin(config: dict[str, Any]) -> None:
        user(config).pop("token")
        user(config)["exec"] = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }

    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(stat.S_IRWXU)
    assert connect(changed(by_plugin)).discovery.server_version
    plugin.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ClusterRefused, match="exec plugin"):
        connect(changed(by_plugin))


class _Provider(HTTPServer):
    """An OpenID provider that gives whoever asks a new token, that of the cluster."""

    def __init__(self, fresh: str) -> None:
        super().__init__(("127.0.0.1", 0), _OpenId)
        self.fresh = fresh


class _OpenId(BaseHTTPRequestHandler):
    server: _Provider

    def do_GET(self) -> None:
        self._answer({"token_endpoint": f"http://127.0.0.1:{self.server.server_port}/token"})

    def do_POST(self) -> None:
        fresh = self.server.fresh
        self._answer({"access_token": "a", "token_type": "Bearer", "refresh_token": "r", "id_token": fresh})

    def _answer(self, told: dict[str, str]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.mark.cluster
def test_a_token_of_an_openid_provider_is_renewed(
    cluster: ControlPlane, changed: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode().rstrip("=")
    with _Provider(cluster.token) as provider:
        serving = threading.Thread(target=provider.serve_forever)
        serving.start()
        issued = {
            "client-id": "mooring",
            "client-secret": "s",
            "idp-issuer-url": f"http://127.0.0.1:{provider.server_port}",
            "id-token": f"e30.{payload}.signed",
            "refresh-token": "r",
        }

        def by_provider(config: dict[str, Any]) -> None:
            user(config).clear()
            user(config)["auth-provider"] = {"name": "oidc", "config": issued}

        try:
            assert connect(changed(by_provider)).discovery.server_version.startswith("v1.")
        finally:
            provider.shutdown()
            serving.join()


@pytest.mark.cluster
def test_whom_the_kubeconfig_acts_as_is_obeyed(changed: Write, namespace: str, config_maps: Kind) -> None:
    path = changed(lambda config: user(config).update({"as": "deckhand", "as-groups": ["crew"]}))
    with pytest.raises(ClusterRefused, match="deckhand"):
        connect(path).api().get(config_maps, namespace, "settings")
    with pytest.raises(ClusterRefused, match="as-uid"):
        connect(changed(lambda config: user(config).update({"as": "deckhand", "as-uid": "7"})))


@pytest.mark.cluster
def test_an_api_service_that_is_down_hides_no_kind(connection: Cluster, api: Api) -> None:
    services = connection.discovery.find("apiregistration.k8s.io/v1", "APIService")
    assert services is not None
    group = f"x{random.token_hex(5)}.example.com"
    body = {
        "metadata": {"name": f"v1.{group}"},
        "spec": {
            "group": group,
            "version": "v1",
            "service": {"name": "absent", "namespace": "default"},
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    down = api.apply(services, body, guard=Create())
    own = connect_anew(connection)
    try:
        found: Any = None
        while found is None:  # the aggregator takes a moment to notice; pytest's time limit ends it
            own.discovery.invalidate()
            try:
                found = own.discovery.find(f"{group}/v1", "Boat")
            except ClusterUnavailable as error:
                found = error
        assert isinstance(found, ClusterUnavailable)
        with pytest.raises(ClusterUnavailable, match="down"):
            own.discovery.preferred(group, "Boat")
        assert own.discovery.find("apps/v1", "Boat") is None
        assert own.discovery.preferred("apps", "Deployment") is not None
    finally:
        delete(api, services, down.key.name)


def connect_anew(connection: Cluster) -> Cluster:
    """A connection with a discovery of its own, which no other test invalidates."""
    pool = transport.Transport(connection.transport._load)
    return Cluster(connection.ref, pool, type(connection.discovery)(pool))


def delete(api: Api, kind: Kind, name: str) -> None:
    """Deletes what a controller keeps writing to."""
    while (live := api.get(kind, "", name)) is not None:
        try:
            api.delete(kind, live, "background")
        except Conflict:
            continue


@pytest.mark.cluster
def test_connections_are_kept(connection: Cluster, config_maps: Kind) -> None:
    own = connect_anew(connection)
    for _ in range(20):
        own.api().get(config_maps, "default", "kube-root-ca.crt", metadata_only=True)
    pool = own.transport._pool
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    assert own.transport.count["GET"] == 20
    assert pool.num_connections == 1


@pytest.mark.cluster
def test_an_unknown_kind_costs_one_refresh_a_second_at_most(connection: Cluster) -> None:
    own = connect_anew(connection)
    assert own.discovery.find("apps/v1", "Boat") is None
    asked = own.transport.count["GET"]
    for _ in range(20):
        assert own.discovery.find("apps/v1", "Deployment") is not None
    assert own.transport.count["GET"] == asked


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        ("https://Kubernetes.Default.SVC:443/", "https://kubernetes.default.svc"),
        ("https://127.0.0.1:6443", "https://127.0.0.1:6443"),
        ("https://[::1]:6443/", "https://[::1]:6443"),
        ("https://rancher.example.com/k8s/clusters/c-1/", "https://rancher.example.com/k8s/clusters/c-1"),
        ("http://localhost:80", "http://localhost"),
    ],
)
def test_a_server_has_one_spelling(url: str, ref: str) -> None:
    assert server_ref(url) == ref


class _Recorder(HTTPServer):
    """Notes what it is asked for; lets nobody through."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.asked: list[str] = []


class _Recording(BaseHTTPRequestHandler):
    server: _Recorder

    def do_GET(self) -> None:
        self._note(200, b"{}")

    def do_CONNECT(self) -> None:
        self._note(403, b"")

    def _note(self, status: int, body: bytes) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def recording() -> Iterator[_Recorder]:
    server = _Recorder()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_server_below_a_path_is_asked_there(recording: _Recorder) -> None:
    asking = Transport(lambda: Configuration(f"http://127.0.0.1:{recording.server_port}/k8s/clusters/c-1/"))
    assert asking.request("GET", "/version", identity=MOORING).json() == {}
    with asking.stream("/api/v1/pods", identity=MOORING, query=[("watch", "1")]) as chunks:
        assert b"".join(chunks) == b"{}"
    assert recording.asked == [
        "GET /k8s/clusters/c-1/version",
        "GET /k8s/clusters/c-1/api/v1/pods?watch=1",
    ]


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("http://api.example:8080/c-1", "GET http://api.example:8080/c-1/version"),
        ("https://api.example:6443/c-1", "CONNECT api.example:6443"),
    ],
)
def test_a_server_behind_a_proxy_is_asked_through_it(recording: _Recorder, host: str, asked: str) -> None:
    settings = Configuration(host)
    settings.proxy = f"http://127.0.0.1:{recording.server_port}"
    with suppress(ClusterUnavailable):  # the tunnel is refused
        assert Transport(lambda: settings).request("GET", "/version", identity=MOORING).json() == {}
    assert set(recording.asked) == {asked}
