"""A cluster that is back has all of its apps looked at, and nobody else waits for that: on a real API server
and Redis."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import redis

from devcluster.cluster import Cluster
from mooring.errors import ClusterUnavailable
from mooring.keys import AppKey, ClusterRef
from mooring.names import RECONCILE, TASK_RECONCILE
from mooring.settings import Settings
from mooring.store.connections import Connections
from mooring.store.due import DUE, Step
from mooring.store.turns import Turns
from workers.apps.home import APPLICATION
from workers.apps.wishes import turn_of
from workers.clusters.registry import LEAST_S, Clusters
from workers.clusters.secret import Access, ClusterSecret
from workers.clusters.there import BACK, ask
from workers.engine import start

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]


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
        spec = {
            "project": "default",
            "source": {"repoURL": "https://git.example.org/a.git", "path": "."},
            "destination": {"name": destination, "namespace": namespace},
        }
        metadata = {"name": name, "namespace": namespace}
        kind = {"apiVersion": APPLICATION.api_version, "kind": APPLICATION.kind}
        engine.api.create(APPLICATION, {**kind, "metadata": metadata, "spec": spec})
    clusters.fell(secret, ClusterUnavailable("gone fishing"))

    ask(engine, url)
    assert redis_client.zcard(DUE) == 0, "it is away yet"
    now += LEAST_S
    ask(engine, url)

    steps = {step.decode(): at for step, at in redis_client.zrange(DUE, 0, -1, withscores=True)}
    assert sent == []
    apps = [AppKey(namespace, name) for name in ("a", "b", "c")]
    assert sorted(at - now for at in steps.values()) == [0.0, 0.25, 0.5]
    assert sorted(steps) == [json.dumps([TASK_RECONCILE, [str(app), BACK], RECONCILE]) for app in apps]
    # Nobody waits for that: neither who has something to be done at once, nor who has time.
    assert engine.turns.want(turn_of(apps[1]), {"push": "x"})
    assert engine.turns.want(turn_of(apps[2]), {"changed": "x"}, background=True)
