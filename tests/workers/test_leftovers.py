"""What was kept of a deleted app's renders goes, once nothing can need it: never for want of a list, and not
while the app's inventory says that what it had deployed may still be there. Its hooks are kept by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from devcluster.cluster import Cluster as ControlPlane
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.model.hooks import Phase
from mooring.settings import Settings
from mooring.store.connections import Connections
from workers.applyset import store as parents
from workers.applyset.inventory import Entry
from workers.applyset.store import Listed
from workers.apps.home import APPLICATION
from workers.apps.store import Broken, Listing
from workers.cluster.api import Create
from workers.cluster.kinds import Kind
from workers.clusters.registry import Clusters
from workers.clusters.secret import Access, ClusterSecret
from workers.desired import Stamp
from workers.engine import Engine, start
from workers.health import HOOK_FINALIZER
from workers.hooks.wanted import hooks_of, occasion, places, runs
from workers.leftovers import let_go
from workers.pipeline import reconcile
from workers.render.manifest import Manifest, manifests_of
from workers.render.yaml_reader import Document

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

CONTENT = "c" * 32
SECRET = ObjectKey("", "Secret", "", "drawn")
JOB = Kind("batch", "v1", "Job", "jobs", namespaced=True)


@pytest.fixture
def engine(skiff_settings: Settings) -> Engine:
    return start(skiff_settings, lambda step: None)


def deployed(engine: Engine, name: str, cluster: ClusterRef | None = None) -> AppKey:
    """What was kept of an app's render, as at its first write."""
    key = AppKey(engine.settings.namespace, name)
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "drawn"}}
    made = Manifest(SECRET, "v1", body, "secret.yaml", 1)
    engine.bundles.write(key, CONTENT, {"what the source read": (made,)}, cluster)
    return key


def kept(engine: Engine, key: AppKey) -> bool:
    return engine.bundles.open(key, CONTENT, engine.bundles.parts(key)) is not None


def create(engine: Engine, name: str) -> None:
    namespace = engine.settings.namespace
    engine.api.create(
        APPLICATION,
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "project": "default",
                "source": {"repoURL": "https://git.example.org/a.git", "path": "."},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            },
        },
    )


def test_it_goes_with_the_app_and_its_inventory_and_stays_with_either(engine: Engine) -> None:
    gone, there, deployed_still = (deployed(engine, name) for name in ("gone", "there", "deployed"))
    create(engine, "there")
    parent = parents.read(engine.api, engine.settings.namespace, deployed_still, engine.installation)
    parents.grow(engine.api, parent, {SECRET: Entry()})

    reconcile(engine, "", "reconcile")

    assert not kept(engine, gone)
    assert kept(engine, there)
    assert kept(engine, deployed_still)


def test_nothing_goes_on_doubt(engine: Engine) -> None:
    key = deployed(engine, "doubtful")
    let_go(engine, Listing((), (Broken(None, "a file that is no YAML"),)), Listed())
    assert kept(engine, key), "the broken one may be it"
    let_go(engine, Listing((), (Broken(key, "no destination"),)), Listed())
    assert kept(engine, key), "it is there, and broken"
    create(engine, "doubtful")
    let_go(engine, Listing(()), Listed())
    assert kept(engine, key), "it came after the list"


def test_nothing_goes_while_a_cluster_may_have_the_inventory_and_cannot_be_asked(
    engine: Engine, cluster: ControlPlane, redis_client: redis.Redis
) -> None:
    url = cluster.server.replace("127.0.0.1", "localhost")
    assert url != engine.api.cluster
    key, secrets = deployed(engine, "away", ClusterRef(url)), list[ClusterSecret]()
    clusters = Clusters(engine.api.cluster, lambda: secrets, Connections(redis_client))
    engine = replace(engine, clusters=clusters)
    let_go(engine, Listing(()), Listed())
    assert kept(engine, key), "its Secret was taken away"

    good = ClusterSecret("prod", url, "", access=Access(token=cluster.token, insecure=True))
    wrong = replace(good, name="broken", server="https://broken.example.org", secret="b", wrong="no JSON")
    secrets[:] = good, wrong
    let_go(engine, Listing(()), Listed())
    assert kept(engine, key), "nobody knows which cluster the broken one is"
    secrets[:] = (
        good,
        replace(good, server="https://a", secret="1"),
        replace(good, server="https://a", secret="2"),
    )
    let_go(engine, Listing(()), Listed())
    assert kept(engine, key), "nor which of two it is"

    secrets[:] = (good,)
    let_go(engine, Listing(()), Listed())
    assert not kept(engine, key)


def held(engine: Engine, name: str) -> AppKey:
    """A hook of the app runs, and keeps our finalizer."""
    key, namespace = AppKey(engine.settings.namespace, name), engine.settings.namespace
    parent = parents.read(engine.api, namespace, key, engine.installation)
    annotations = {"argocd.argoproj.io/hook": "PreSync"}
    container = {"name": "main", "image": "example.org/tool"}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    manifests, _ = manifests_of([Document(body, 1)], "job.yaml")
    wanted = hooks_of(manifests, engine.api.discovery.find, {}, namespace, ())
    of = occasion(Stamp(engine.installation.id, key, parent.applyset), "uid", "2026-11-25T12:00:00Z")
    (run,) = runs(wanted, of, [Phase.PRE_SYNC])
    parents.grow(engine.api, parent, {}, places(wanted))
    engine.api.apply(run.kind, run.body, guard=Create())
    return key


def finalizers(engine: Engine, key: AppKey) -> tuple[str, ...]:
    live = engine.api.get(JOB, key.namespace, key.name)
    assert live is not None
    assert live.deletion_timestamp is None
    return live.finalizers


def test_a_hook_that_ran_when_its_app_went_stays_and_nothing_keeps_it(engine: Engine) -> None:
    gone, there = held(engine, "gone"), held(engine, "there")
    create(engine, "there")

    reconcile(engine, "", "reconcile")

    assert finalizers(engine, gone) == ()
    assert finalizers(engine, there) == (HOOK_FINALIZER,)


def test_a_hook_is_waited_for_on_doubt(engine: Engine) -> None:
    key = held(engine, "doubtful")
    let_go(engine, Listing((), (Broken(None, "a file that is no YAML"),)), Listed())
    assert finalizers(engine, key) == (HOOK_FINALIZER,), "the broken one may be it"
    let_go(engine, Listing((), (Broken(key, "no destination"),)), Listed())
    assert finalizers(engine, key) == (HOOK_FINALIZER,), "it is there, and broken"
    create(engine, "doubtful")
    let_go(engine, Listing(()), Listed())
    assert finalizers(engine, key) == (HOOK_FINALIZER,), "it came after the list"
