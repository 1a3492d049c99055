"""A cluster that is back has all of its apps looked at. Nobody else waits for that, nor for one that hangs:
on a real API server and Redis."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

import pytest
import redis
import trustme

from devcluster.cluster import Cluster
from mooring.errors import ClusterUnavailable
from mooring.keys import AppKey, ClusterRef
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.settings import Settings
from mooring.store.connections import Connections
from mooring.store.due import DUE, Step
from mooring.store.turns import Turns
from workers import pipeline
from workers.apps.home import APPLICATION
from workers.apps.wishes import turn_of
from workers.clusters.registry import LEAST_S, Clusters
from workers.clusters.secret import Access, ClusterSecret
from workers.clusters.there import BACK, ask
from workers.engine import Engine, start

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]


def create(engine: Engine, namespace: str, name: str, destination: str) -> None:
    spec = {
        "project": "default",
        "source": {"repoURL": "https://git.example.org/a.git", "path": "."},
        "destination": {"name": destination, "namespace": namespace},
    }
    metadata = {"name": name, "namespace": namespace}
    kind = {"apiVersion": APPLICATION.api_version, "kind": APPLICATION.kind}
    engine.api.create(APPLICATION, {**kind, "metadata": metadata, "spec": spec})


class Hanging(ThreadingHTTPServer):
    """An API server that is ready, and takes its time for all else."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.held: list[str] = []  # what was asked of it
        self.mended = threading.Event()


class Answers(BaseHTTPRequestHandler):
    server: Hanging

    def do_GET(self) -> None:
        status, body = 200, b'{"gitVersion": "v1.30.0"}'
        if self.path not in ("/version", "/readyz"):
            self.server.held.append(self.path)
            self.server.mended.wait()
            status, body = 503, b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_full_reconciliation_leaves_a_cluster_that_hangs_to_itself(
    cluster: Cluster,
    namespace: str,
    skiff_settings: Settings,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.clusters.link.READS_S", 30.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Hanging() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}"
        secret = ClusterSecret("sick", url, "", "s", "1", access=Access(token="t", insecure=True))
        sent = SimpleQueue[Step]()
        engine = start(skiff_settings, sent.put)
        clusters = Clusters(engine.api.cluster, lambda: (secret,), Connections(redis_client))
        engine = replace(engine, clusters=clusters)
        create(engine, namespace, "well", "in-cluster")
        create(engine, namespace, "ill", "sick")

        def looked_at(name: str) -> bool:
            return sent.get(timeout=60).args == (turn_of(AppKey(namespace, name)),)

        pipeline.reconcile(engine, "", RECONCILE)
        assert looked_at("well") and sent.empty()
        assert server.held

        turn = engine.turns.take(turn_of(AppKey(namespace, "well")))
        assert turn is not None
        engine.turns.release(turn, done=True)
        before = list(server.held)
        pipeline.reconcile(engine, "", RECONCILE)
        assert looked_at("well") and sent.empty()
        assert server.held == before, "a second thread waits for it"

        server.mended.set()
        assert looked_at("ill")
        server.shutdown()


def test_the_apps_of_a_cluster_that_is_back_are_looked_at_one_after_the_other(
    cluster: Cluster, namespace: str, skiff_settings: Settings, redis_client: redis.Redis
) -> None:
    url = ClusterRef(cluster.server.replace("127.0.0.1", "localhost"))
    secret = ClusterSecret("prod", url, "", "s", "1", access=Access(token=cluster.token, insecure=True))
    sent, now = list[Step](), 1000.0
    engine = start(skiff_settings, sent.append)
    connections = Connections(redis_client)
    clusters = Clusters(engine.api.cluster, lambda: (secret,), connections, clock=lambda: now)
    every_turn = Turns(redis_client, lambda: now)
    engine = replace(engine, clusters=clusters, clock=lambda: now, turns=every_turn)
    for name, destination in (("a", "prod"), ("home", "in-cluster"), ("b", "prod"), ("c", "prod")):
        create(engine, namespace, name, destination)
    clusters.fell(secret, ClusterUnavailable("gone fishing"))

    ask(engine, url)
    assert redis_client.zcard(DUE) == 0, "it is away yet"
    now += LEAST_S
    ask(engine, url)

    steps = {step.decode(): at for step, at in redis_client.zscan_iter(DUE)}
    assert sent == []
    apps = [AppKey(namespace, name) for name in ("a", "b", "c")]
    assert sorted(at - now for at in steps.values()) == [0.0, 0.25, 0.5]
    assert sorted(steps) == [json.dumps([TASK_RECONCILE, [str(app), BACK], RECONCILE]) for app in apps]
    # Nobody waits for that: neither who has something to be done at once, nor who has time.
    assert engine.turns.want(turn_of(apps[1]), {"push": "x"})
    assert engine.turns.want(turn_of(apps[2]), {"changed": "x"}, background=True)
