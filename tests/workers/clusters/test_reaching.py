"""The way to a cluster by its Secret, told on a real API server: with what opens it, with what does not, and
that who does not answer is waited for once."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from devcluster.cluster import Cluster
from mooring.errors import ClusterRefused, ClusterUnavailable, Refused
from mooring.keys import ClusterRef
from mooring.model.project import Cluster as Named
from mooring.model.spec import Destination
from mooring.store.connections import CLUSTERS, Connections
from workers.cluster.api import NAMESPACE
from workers.cluster.identity import MOORING
from workers.clusters.link import Reached
from workers.clusters.named import cluster_of
from workers.clusters.registry import LEAST_S, LOST_S, UNUSED_S, WELL_S, Clusters
from workers.clusters.secret import ClusterSecret, read
from workers.gauges import Installation

pytestmark = pytest.mark.cluster

HOME = ClusterRef("https://home.example.org")
HIDDEN = "hunter2-hunter2"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Fleet:
    """The cluster Secrets of an installation, its clusters as one process has them, and its clock."""

    def __init__(self, client: redis.Redis) -> None:
        self.secrets: list[ClusterSecret] = []
        self.now = 1000.0
        self.asked: list[tuple[str, float]] = []
        self.connections = Connections(client)
        self.programs = frozenset[str]()
        self.clusters = self.process()

    def process(self) -> Clusters:
        """Another process of the same installation."""
        return Clusters(
            HOME,
            lambda: self.secrets,
            self.connections,
            self.programs,
            lambda ref, at: self.asked.append((ref, at)),
            lambda: self.now,
        )

    def put(self, server: str, config: Any, name: str = "prod", version: str = "1", **fields: str) -> None:
        data = {"name": name, "server": server, "config": json.dumps(config), **fields}
        secret = read(f"cluster-{name}", {key: b64(text) for key, text in data.items()}, version=version)
        self.secrets = [one for one in self.secrets if one.name != name] + [secret]


@pytest.fixture
def fleet(redis_client: redis.Redis) -> Fleet:
    return Fleet(redis_client)


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


def trusted(cluster: Cluster) -> dict[str, Any]:
    return {"caData": b64(cluster.ca.read_text())}


def asked(fleet: Fleet) -> Reached:
    """It is asked whether it is back, as it is time."""
    return fleet.clusters.ask(fleet.secrets[-1])


def prod(fleet: Fleet) -> ClusterUnavailable:
    """Why it cannot be reached."""
    with pytest.raises(ClusterUnavailable) as told:
        fleet.clusters.reach(Destination(name="prod"))
    assert HIDDEN not in str(told.value)
    return told.value


def test_a_cluster_whose_secret_came_a_moment_ago_is_known(fleet: Fleet) -> None:
    """Else its apps would be refused by who had read the Secrets before, and wait for beat."""
    fleet.put("https://prod.example.org:6443", {"bearerToken": HIDDEN})
    clusters = Clusters(HOME, tuple, fleet.connections, newest=lambda: fleet.secrets)
    found = clusters.secret(Destination(name="prod"))
    assert found is not None and found.name == "prod"


def test_a_cluster_is_reached_by_its_name_and_by_its_url_with_what_its_secret_says(
    fleet: Fleet, cluster: Cluster
) -> None:
    fleet.put(cluster.server, {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)})
    for destination in (Destination(name="prod"), Destination(server=f"{cluster.server}/")):
        reached = fleet.clusters.reach(destination)
        assert reached is not None
        assert reached.api.get(NAMESPACE, "", "kube-system", metadata_only=True) is not None
        assert fleet.clusters.ref(destination) == cluster.server
        assert cluster_of(destination, HOME, lambda: fleet.secrets) == Named((cluster.server,), ("prod",))
    known = fleet.connections.of(ClusterRef(cluster.server))
    assert known is not None
    assert (known.status, known.title) == ("Successful", "prod") and known.version.startswith("v1.")


def test_one_behind_a_proxy_is_asked_through_one_tunnel(fleet: Fleet, cluster: Cluster) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tunnels) as proxy:
        proxy.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        access = {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)}
        fleet.put(cluster.server, access | {"proxyUrl": f"http://127.0.0.1:{proxy.server_port}"})
        reached = fleet.clusters.reach(Destination(name="prod"))
        assert reached is not None
        for _ in range(2):
            assert reached.api.get(NAMESPACE, "", "kube-system", metadata_only=True) is not None
        assert proxy.asked == [cluster.server.removeprefix("https://")]  # type: ignore[attr-defined]
        reached.close()
        proxy.shutdown()


def test_an_insecure_one_is_reached_without_an_authority_and_the_home_cluster_without_a_secret(
    fleet: Fleet, cluster: Cluster
) -> None:
    fleet.put(cluster.server, {"bearerToken": cluster.token, "tlsClientConfig": {"insecure": True}})
    assert fleet.clusters.reach(Destination(name="prod"))
    fleet.secrets = []
    for home in (Destination(name="in-cluster"), Destination(server=HOME)):
        assert fleet.clusters.reach(home) is None
    fleet.put("https://kubernetes.default.svc", {}, "head-office")
    assert fleet.clusters.reach(Destination(name="head-office")) is None


def test_a_cluster_that_nobody_knows_or_two_are_is_no_cluster(fleet: Fleet, cluster: Cluster) -> None:
    for destination, told in (
        (Destination(name="nowhere"), "there are no clusters with this name: nowhere"),
        (Destination(server="https://nowhere"), "there are no clusters with this server: https://nowhere"),
    ):
        with pytest.raises(Refused, match=told) as refused:
            fleet.clusters.reach(destination)
        assert refused.value.condition == "InvalidSpecError"
        assert fleet.clusters.ref(destination) is None
    fleet.put(cluster.server, {})
    fleet.put(cluster.server, {}, "copy")
    with pytest.raises(Refused, match=r"there are 2 clusters with this server.*cluster-prod, cluster-copy"):
        fleet.clusters.reach(Destination(server=cluster.server))
    assert fleet.clusters.others() == ()


def test_a_secret_that_cannot_be_used_says_so_and_the_others_can(fleet: Fleet, cluster: Cluster) -> None:
    fleet.put(cluster.server, {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)})
    fleet.put("https://other.example.org", {"bearerToken": [HIDDEN]}, "broken")
    with pytest.raises(Refused, match=r"cluster Secret cluster-broken: config\.bearerToken must be a text"):
        fleet.clusters.reach(Destination(name="broken"))
    assert fleet.clusters.reach(Destination(name="prod"))
    assert [one.name for one in fleet.clusters.others()] == ["prod"]


def test_a_wrong_credential_or_authority_is_told_by_the_secrets_name_and_a_new_secret_is_tried_at_once(
    fleet: Fleet, cluster: Cluster
) -> None:
    trust = {"tlsClientConfig": trusted(cluster)}
    fleet.put(cluster.server, {**trust, "bearerToken": HIDDEN})
    assert "does not accept our credential" in str(prod(fleet))
    assert "check the cluster Secret cluster-prod's user" in str(prod(fleet))

    fleet.put(cluster.server, {"bearerToken": HIDDEN}, version="2")
    assert "cannot trust" in str(prod(fleet))
    wrong = b64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    fleet.put(cluster.server, {"tlsClientConfig": {"caData": wrong}}, version="3")
    assert "cannot be used" in str(prod(fleet)) and "check the cluster Secret cluster-prod" in str(
        prod(fleet)
    )

    fleet.put(cluster.server, {**trust, "bearerToken": cluster.token}, version="4")
    assert fleet.clusters.reach(Destination(name="prod"))


def test_a_client_certificate_opens_a_cluster_and_is_never_on_disk(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pair = authority.issue_cert("sailor@example.org")
    trust = {"caData": b64(authority.cert_pem.bytes().decode())}
    cert, key = (b64(blob.bytes().decode()) for blob in (pair.cert_chain_pems[0], pair.private_key_pem))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), _Versions) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}"
        fleet.put(url, {"tlsClientConfig": trust})
        prod(fleet)
        fleet.put(url, {"tlsClientConfig": {**trust, "certData": cert, "keyData": key}}, version="2")
        assert fleet.clusters.reach(Destination(name="prod"))
        server.shutdown()
    assert list(tmp_path.iterdir()) == []


CLOSING = threading.Event()


def test_one_request_that_takes_too_long_is_no_outage(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setattr("workers.clusters.link.READS_S", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Versions) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}"
        fleet.put(url, {"tlsClientConfig": {"caData": b64(authority.cert_pem.bytes().decode())}})
        reached = fleet.clusters.reach(Destination(name="prod"))
        assert reached is not None
        with pytest.raises(ClusterUnavailable, match="did not answer"):
            reached.transport.request("GET", "/api/v1/slow", identity=MOORING)
        known = fleet.connections.of(ClusterRef(url))
        assert known is not None and known.status == "Successful" and fleet.asked == []
        CLOSING.set()
        assert reached.transport.request("GET", "/api/v1/slow", identity=MOORING).status == 200
        server.shutdown()


@pytest.mark.parametrize("late", ["never", "with an error"])
def test_one_without_etcd_is_away_although_it_tells_its_version(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """Whoever has waited for it once has waited for all."""
    monkeypatch.setattr("workers.clusters.link.READS_S", 0.3 if late == "never" else 5.0)
    with _hanging(fleet, late_s=20 if late == "never" else 0.4) as (reached, well):
        well.clear()
        monkeypatch.setattr("workers.clusters.link.PROBE_S", 0.2)
        with pytest.raises(ClusterUnavailable) as told:
            reached.transport.request("GET", "/api/v1/namespaces", identity=MOORING)
        assert told.value.after == LEAST_S
        assert str(prod(fleet)) == str(told.value)
        fleet.now += LEAST_S
        with pytest.raises(ClusterUnavailable, match="etcd"):
            asked(fleet)
        well.set()
        fleet.now += 2 * LEAST_S
        assert asked(fleet)


def test_one_that_answers_nothing_but_how_it_is_is_away(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of its apps would wait for itself."""
    monkeypatch.setattr("workers.clusters.link.READS_S", 0.3)
    with _hanging(fleet, ready=True) as (reached, well):

        def asks() -> None:
            reached.transport.request("GET", "/api/v1/namespaces", identity=MOORING)

        def told() -> str:
            with pytest.raises(ClusterUnavailable) as error:
                asks()
            return str(error.value)

        well.clear()
        assert all("did not answer" in told() for _ in range(2))
        well.set()
        asks()  # what is answered in between tells that it is there
        well.clear()
        assert all("did not answer" in told() and fleet.asked == [] for _ in range(2))
        assert told() == str(prod(fleet))
        assert len(fleet.asked) == 1


def test_where_nobody_asks_whether_one_is_back_whoever_comes_does(fleet: Fleet, cluster: Cluster) -> None:
    fleet.put(cluster.server, {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)})
    fleet.clusters.fell(fleet.secrets[0], ClusterUnavailable("gone fishing"))
    fleet.now += LEAST_S
    assert str(prod(fleet)) == "cluster prod: gone fishing"
    fleet.now += LOST_S
    assert fleet.clusters.reach(Destination(name="prod"))


def test_one_that_is_away_is_asked_each_time_it_is_due_and_more_seldom_where_it_comes_and_goes(
    fleet: Fleet, cluster: Cluster
) -> None:
    def fails() -> int:
        with pytest.raises(ClusterUnavailable):
            asked(fleet)
        known = fleet.connections.of(ClusterRef(url))
        assert known is not None
        fleet.now = known.until
        return known.failures

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
    fleet.put(url, {})
    assert [fails(), fails(), fails()] == [1, 2, 3]

    ref = ClusterRef(cluster.server)
    fleet.put(ref, {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)})
    (found,) = fleet.secrets
    for well, wait in ((0.0, LEAST_S), (WELL_S / 2, 2 * LEAST_S), (WELL_S + 1, LEAST_S)):
        fleet.now += well
        assert fleet.clusters.fell(found, ClusterUnavailable("gone fishing")) == wait
        fleet.now += wait
        assert asked(fleet)


class _Tunnels(BaseHTTPRequestHandler):
    """A proxy that lets everybody through."""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            to = {self.connection: there, there: self.connection}
            while True:
                for one in select.select(to, [], [])[0]:
                    if not (data := one.recv(1 << 16)):
                        return
                    to[one].sendall(data)

    def log_message(self, *_: Any) -> None:
        pass


class _Versions(BaseHTTPRequestHandler):
    """An API server as far as anybody asks whether it is there."""

    def do_GET(self) -> None:
        if self.path not in ("/version", "/readyz"):
            CLOSING.wait(10)
        body = b'{"gitVersion": "v1.30.0"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Hanging(_Versions):
    """An API server that hangs, and says that its etcd is gone unless it is `ready`, as long as it is not
    `well`."""

    def do_GET(self) -> None:
        status, body, server = 200, b'{"gitVersion": "v1.30.0"}', self.server
        assert isinstance(server, _Server)
        if not (self.path == "/version" or server.well.is_set() or (server.ready and self.path == "/readyz")):
            status, body = 500, b"[+]ping ok\n[-]etcd failed: reason withheld\n"
            if self.path != "/readyz":
                server.well.wait(server.late_s)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    well: threading.Event
    ready: bool
    late_s: float


@contextlib.contextmanager
def _hanging(
    fleet: Fleet, *, ready: bool = False, late_s: float = 20.0
) -> Iterator[tuple[Reached, threading.Event]]:
    """The way to a cluster that answers as long as the event is set."""
    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with _Server(("127.0.0.1", 0), _Hanging) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.well, server.ready, server.late_s = threading.Event(), ready, late_s
        server.well.set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}"
        fleet.put(url, {"tlsClientConfig": {"caData": b64(authority.cert_pem.bytes().decode())}})
        reached = fleet.clusters.reach(Destination(name="prod"))
        assert reached is not None
        yield reached, server.well
        server.well.set()
        server.shutdown()


def test_who_does_not_answer_is_waited_for_once_by_all_and_asked_again_when_it_is_time(
    fleet: Fleet, cluster: Cluster, silent: str, redis_client: redis.Redis
) -> None:
    access = {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)}
    fleet.put(silent, access)
    assert "did not answer in 3 s" in str(prod(fleet))
    assert fleet.asked == [(silent, fleet.now + LEAST_S)]

    fleet.clusters = fleet.process()
    first = prod(fleet)
    assert "cluster prod: " in str(first) and first.after == LEAST_S
    known = fleet.connections.of(ClusterRef(silent))
    assert known is not None and known.failures == 1  # nobody has waited a second time

    # It moves, by another Secret, and is back.
    fleet.put(cluster.server, access, version="2")
    assert fleet.clusters.reach(Destination(name="prod"))
    assert cluster.token not in str(redis_client.hvals(CLUSTERS))
    (gauge,) = [one for one in Installation(redis_client).collect() if one.name == "mooring_cluster_up"]
    assert {tuple(one.labels.values()): one.value for one in gauge.samples} == {
        ("prod", silent): 0.0,
        ("prod", cluster.server): 1.0,
    }
    fleet.clusters.tidy()
    assert list(fleet.connections.all()) == [cluster.server]


def test_an_outage_is_asked_about_by_one_process_at_a_time_and_its_end_is_told(
    fleet: Fleet, cluster: Cluster
) -> None:
    ref = ClusterRef(cluster.server)
    access = {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)}
    fleet.put(cluster.server, access)
    (found,) = fleet.secrets
    assert fleet.clusters.fell(found, ClusterUnavailable("gone fishing")) == LEAST_S
    assert fleet.clusters.fell(found, ClusterUnavailable("still away")) == LEAST_S
    fleet.now += LEAST_S
    assert fleet.clusters.fell(found, ClusterUnavailable("still away")) == 2 * LEAST_S
    assert str(prod(fleet)) == "cluster prod: still away"

    fleet.now += 2 * LEAST_S
    assert fleet.connections.only_me(ref, 10.0)  # another process asks now
    assert str(prod(fleet)) == "cluster prod: still away"
    fleet.connections._redis.delete(f"{CLUSTERS}:asked:{ref}")
    fleet.asked.clear()
    assert str(prod(fleet)) == "cluster prod: still away", "who has other work asks nobody"
    assert asked(fleet)
    assert fleet.clusters.reach(Destination(name="prod"))
    assert fleet.asked == [(ref, fleet.now)]


def test_no_program_is_run_for_a_credential_unless_the_operator_says_so(
    fleet: Fleet, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_REDIS_URL", f"redis://:{HIDDEN}@nowhere")
    program, seen = tmp_path / "login", tmp_path / "environ"
    answer = {"kind": "ExecCredential", "status": {"token": cluster.token}}
    program.write_text(f"#!/bin/sh\nenv > {seen}\ncat <<'E'\n{json.dumps(answer)}\nE\n")
    program.chmod(0o700)
    config = {
        "execProviderConfig": {"command": str(program), "env": {"REGION": "eu"}},
        "tlsClientConfig": trusted(cluster),
    }
    fleet.put(cluster.server, config)
    assert "name it in MOORING_CLUSTER_EXEC" in str(prod(fleet))
    assert not seen.exists()

    fleet.programs = frozenset((str(program),))
    fleet.clusters = fleet.process()
    fleet.now += LEAST_S
    assert asked(fleet)
    environ = seen.read_text()
    assert "REGION=eu" in environ and "KUBERNETES_EXEC_INFO=" in environ and HIDDEN not in environ

    for text, told in (("exit 3", "has failed (exit status 3)"), ("echo '[]'", "gave no credential")):
        program.write_text(f"#!/bin/sh\necho {HIDDEN} >&2\n{text}\n")
        fleet.now += 60
        fleet.put(cluster.server, config, version=text)
        assert told in str(prod(fleet))


def test_a_scoped_one_lists_what_is_in_its_namespaces_alone(
    fleet: Fleet, cluster: Cluster, namespace: str
) -> None:
    access = {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)}
    fleet.put(cluster.server, access, namespaces=f"{namespace},kube-system")
    reached = fleet.clusters.reach(Destination(name="prod"))
    assert reached is not None
    kind = reached.api.discovery.preferred("", "ConfigMap")
    assert kind is not None
    found = {live.key.namespace for live in reached.api.list(kind)}
    assert found == {namespace, "kube-system"}
    with pytest.raises(ClusterRefused):
        reached.api.get(kind, "", "x")


def credentials() -> int:
    """How many this process keeps in memory."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += "mooring-credential" in str(one.readlink())
    return found


def test_a_way_that_nobody_uses_any_more_is_closed_whatever_has_become_of_its_secret(
    fleet: Fleet, cluster: Cluster
) -> None:
    gc.collect()  # what other tests have left is not to go meanwhile
    before = credentials()
    access = {"bearerToken": cluster.token, "tlsClientConfig": trusted(cluster)}
    fleet.put(cluster.server, access)
    used: list[Reached] = []
    for version in ("1", "2"):  # which were rotated
        fleet.put(cluster.server, access, version=version)
        reached = fleet.clusters.reach(Destination(name="prod"))
        assert reached is not None
        used.append(reached)
        assert reached.executor.submit(reached.transport.version, thorough=True).result().startswith("v1.")
    assert credentials() == before + 2
    fleet.secrets = []

    assert fleet.clusters.close_unused(time.monotonic()), "somebody may be at work there"
    assert used[0].executor.submit(used[0].transport.version, thorough=False).result()
    assert not fleet.clusters.close_unused(time.monotonic() + UNUSED_S + 1)

    for one in used:
        with pytest.raises(RuntimeError):
            one.executor.submit(print)
        with pytest.raises(ClusterUnavailable):
            one.transport.request("GET", "/version", identity=MOORING)
    known = fleet.connections.of(ClusterRef(cluster.server))
    assert known is not None and known.status == "Successful"
    del used, reached, one
    gc.collect()
    assert credentials() == before
