"""What a namespace holds that is nobody's is told where the project asks for it, and never otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.client import Configuration

from devcluster.gitserver import GitServer
from mooring.errors import ClusterRefused
from mooring.keys import IN_CLUSTER, AppKey, ObjectKey
from mooring.model.project import AppProject, OrphanedResources
from mooring.names import TRACKING_ID
from mooring.settings import Settings
from tests.stories.ship import configmap, until
from tests.workers.objects import APP, HERE, OTHER_APP, key, live
from tests.workers.skiff import CONFIG_MAP, Skiff
from workers import orphans, pipeline
from workers.applyset.identity import object_id
from workers.apps.home import HomeApplications
from workers.cluster.api import Api
from workers.cluster.kinds import Discovery, Kind
from workers.cluster.transport import Transport
from workers.installation import SECRET_NAME

PROJECT = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects", namespaced=True)
ORPHANED = "OrphanedResourceWarning"


def project(**spec: Any) -> AppProject:
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"}
    return AppProject.parse(head | {"metadata": {"name": "crew", "namespace": "mooring"}, "spec": spec})


# --- whose is it? ---------------------------------------------------------------------------------
def nobodys(*objects: Any, had: tuple[ObjectKey, ...] = ()) -> list[str]:
    """Names of what is nobody's, where the app `shop` is the only one."""
    alive = {str(APP), APP.name}.__contains__
    return [found.name for found in orphans.nobodys(objects, set(had), alive, HERE)]


def test_what_is_in_every_namespace_is_no_orphan() -> None:
    assert not nobodys(
        live(key("default", "ServiceAccount")),
        live(key("kube-root-ca.crt")),
        live(key("kubernetes", "Service", namespace="default")),
        live(key("leader", "Lease", "coordination.k8s.io")),
        live(key("web", "EndpointSlice", "discovery.k8s.io")),
    )
    assert nobodys(live(key("default")), live(key("kubernetes", "Service"))) == ["default", "kubernetes"]


def test_what_says_that_it_is_a_living_apps_is_no_orphan_and_a_clone_is_one() -> None:
    mine, gone, copy, theirs = key("mine"), key("gone"), key("copy"), key("theirs")
    argo = {TRACKING_ID: "shop:/ConfigMap:shop/tracked"}
    assert nobodys(
        live(mine, id=object_id(HERE, APP, mine)),
        live(gone, id=object_id(HERE, OTHER_APP, gone)),
        live(copy, id=object_id(HERE, APP, mine)),
        live(theirs, id=object_id("elsewhere", OTHER_APP, theirs)),
        live(key("wanted")),
        live(key("tracked"), annotations=argo),
        live(key("clone"), annotations=argo),
        had=(key("wanted"),),
    ) == ["gone", "copy", "clone"]


def test_what_has_an_owner_is_no_orphan_whether_that_is_there_or_not() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1"}
    claim = {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}
    db = key("db", "StatefulSet", "apps")
    assert nobodys(
        live(key("web-1", "ReplicaSet", "apps"), owner_references=(owner,)),
        live(db, body=claim, id=object_id(HERE, APP, db)),
        live(key("data-db-0", "PersistentVolumeClaim")),
        live(key("other-db-0", "PersistentVolumeClaim")),
    ) == ["other-db-0"]


def test_what_mooring_keeps_for_itself_is_no_orphan() -> None:
    parent = key(f"mooring-{HERE}-mooring.shop")
    assert not nobodys(live(key(SECRET_NAME, "Secret")), live(parent))


def test_a_project_is_not_told_of_what_it_ignores_or_does_not_permit() -> None:
    found = [key("a"), key("b"), key("a", "Secret"), key("a", "Deployment", "apps"), key("c", "Job", "batch")]

    def titles(*ignore: Mapping[str, str], **spec: Any) -> list[str]:
        crew = project(orphanedResources={"ignore": list(ignore)}, **spec)
        return [f"{one.kind} {one.name}" for one in orphans.counted(crew, found)]

    everything = ["ConfigMap a", "ConfigMap b", "Secret a", "Deployment a", "Job c"]
    assert titles() == everything
    assert titles({"kind": "ConfigMap", "name": "a*"}) == everything[1:]
    assert titles({"name": "a"}) == ["ConfigMap b", "Deployment a", "Job c"], "no group is the core group"
    assert titles({"group": "*", "name": "[ac]"}) == ["ConfigMap b"]
    assert titles({"group": "{apps,batch}"}) == everything[:3]
    assert titles(namespaceResourceBlacklist=[{"group": "", "kind": "Secret"}]) == [
        one for one in everything if one != "Secret a"
    ]


# --- as people see it -----------------------------------------------------------------------------
class Harbour:
    """Two apps of a project in one namespace, and one of the project `default` beside them."""

    def __init__(self, skiff: Skiff, git: GitServer, home: str) -> None:
        self.skiff, self.home = skiff, home
        self.namespace = f"{home}-apps"
        self.repo = git.create(f"harbour-{home}")
        names = ("one", "two", "plain")
        self.repo.commit({f"{name}/a.yaml": configmap(f"of-{name}", v="1") for name in names})
        skiff.create_namespace(self.namespace)
        self.patch_project(None)
        for name in names:
            skiff.create_app(
                name,
                {
                    "project": "default" if name == "plain" else "crew",
                    "source": {"repoURL": self.repo.url, "path": name, "targetRevision": "main"},
                    "destination": {"server": IN_CLUSTER, "namespace": self.namespace},
                    "syncPolicy": {"automated": {"prune": True}},
                },
            )
        skiff.settle()

    def patch_project(self, orphaned: Any) -> None:
        everything = {"group": "*", "kind": "*"}
        spec = {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [everything],
            "orphanedResources": orphaned if orphaned is None else {"warn": None, "ignore": None, **orphaned},
        }
        api = self.skiff.engine.api
        if api.get(PROJECT, self.home, "crew") is None:
            api.create(PROJECT, {**_HEAD, "metadata": {"name": "crew", "namespace": self.home}, "spec": spec})
        else:
            api.patch(PROJECT, self.home, "crew", {"spec": spec})
        wanted = None if orphaned is None else OrphanedResources.model_validate(orphaned)

        def read() -> bool:
            self.skiff.engine.applications.forget_rules()
            found = self.skiff.engine.applications.projects().get("crew")
            return found is not None and found.spec.orphaned_resources == wanted

        until("the project in the server's cache", read)

    def create(self, name: str) -> None:
        body = {"metadata": {"name": name, "namespace": self.namespace}, "data": {"v": "1"}}
        self.skiff.engine.api.create(CONFIG_MAP, body, manager="somebody")
        until(f"{name} in the server's cache", lambda: name in self._cached())

    def delete(self, name: str) -> None:
        api = self.skiff.engine.api
        found = api.get(CONFIG_MAP, self.namespace, name)
        assert found is not None
        api.delete(CONFIG_MAP, found, "background")
        until(f"{name} out of the server's cache", lambda: name not in self._cached())

    def gone(self, name: str) -> bool:
        return self.skiff.engine.applications.get(AppKey(self.home, name)) is None

    def _cached(self) -> set[str]:
        found = self.skiff.engine.api.list(CONFIG_MAP, self.namespace, metadata_only=True, cached=True)
        return {live.key.name for live in found}

    def reconcile(self) -> None:
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.work()
        self.skiff.settle()

    def said(self) -> dict[str, list[str]]:
        """By app, what its conditions say of orphans; others there are none."""
        found = {}
        for name in ("one", "two", "plain"):
            conditions = self.skiff.app(name).status.conditions
            assert all(one.type == ORPHANED for one in conditions)
            found[name] = [one.message for one in conditions]
        return found


_HEAD = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"}


def count(number: int) -> dict[str, list[str]]:
    said = [f"Application has {number} orphaned resources"] if number else []
    return {"one": said, "two": said, "plain": []}


@pytest.fixture
def harbour(skiff_settings: Settings, namespace: str, git_server: GitServer) -> Iterator[Harbour]:
    # Each object's turn for a dry-run is hardly ever.
    found = Harbour(Skiff(replace(skiff_settings, reconcile_s=0.01)), git_server, namespace)
    yield found
    found.skiff.delete_namespace(found.namespace)


@pytest.mark.cluster
@pytest.mark.usefixtures("argo_kinds")
def test_orphans_are_counted_by_each_app_of_the_project_until_they_are_gone(harbour: Harbour) -> None:
    harbour.create("stray")
    harbour.reconcile()
    assert harbour.said() == count(0), "nobody asks for it"

    harbour.patch_project({"warn": True})
    harbour.skiff.settle()
    assert harbour.said() == count(1), "an edit of the project is enough"
    harbour.create("stray-2")
    harbour.reconcile()
    assert harbour.said() == count(2)

    # Whoever says so is proved like others, and left alone.
    engine = harbour.skiff.engine
    assert harbour.skiff.unproved() == set()
    assert orphans.news(engine, engine.applications.list().apps) == []

    harbour.patch_project({"ignore": [{"kind": "ConfigMap", "name": "*-2"}]})
    harbour.skiff.settle()
    assert harbour.said() == count(1), "warns unless it says that it does not"
    harbour.patch_project({"warn": False})
    harbour.skiff.settle()
    assert harbour.said() == count(0)
    harbour.patch_project({})
    harbour.skiff.settle()
    assert harbour.said() == count(2)

    harbour.delete("stray")
    harbour.skiff.patch_app("one", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
    harbour.skiff.settle()
    assert harbour.said()["one"] == count(1)["one"], "a refresh looks"
    harbour.delete("stray-2")
    harbour.reconcile()
    assert harbour.said() == count(0)


@pytest.mark.cluster
@pytest.mark.usefixtures("argo_kinds")
def test_an_app_that_is_deleted_leaves_orphans_behind(harbour: Harbour) -> None:
    harbour.patch_project({})
    harbour.reconcile()
    assert harbour.said() == count(0), "what belongs to an app of any project is none"

    harbour.skiff.delete_app("plain")
    until("the Application to be gone", lambda: harbour.gone("plain"))
    harbour.reconcile()
    said = harbour.skiff.app("one").status.conditions
    assert [one.message for one in said] == count(1)["one"]


@pytest.mark.cluster
@pytest.mark.usefixtures("argo_kinds")
def test_what_cannot_be_listed_says_nothing_false(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    harbour.create("stray")
    harbour.patch_project({})
    harbour.skiff.settle()
    assert harbour.said() == count(1)

    engine = harbour.skiff.engine
    harbour.delete("stray")
    away = Configuration()
    away.host = "https://127.0.0.1:1"
    lost = replace(engine, api=replace(engine.api, transport=Transport(lambda: away)))
    apps = engine.applications.list().apps
    assert orphans.news(lost, apps) == []
    blind = HomeApplications(lost.api, harbour.home)  # nor can be told which project asks
    assert orphans.news(replace(engine, applications=blind), apps) == []
    shown = engine.views.orphans(AppKey(harbour.home, "one"))
    assert shown is not None and [one.name for one in shown.found] == ["stray"]
    known = engine.orphans.of(engine.api.cluster, [harbour.namespace])[harbour.namespace]
    assert [one.name for one in known if isinstance(one, ObjectKey)] == ["stray"], "as it was last seen"

    # Redis forgets: what is said stays said until somebody has looked.
    engine.redis.flushdb()
    turn = engine.turns.take(_wanted(harbour, "one"))
    assert turn is not None
    pushed = replace(turn, deliveries=("1-0",))
    crew = engine.applications.project("crew")
    (still,) = orphans.notices(engine, harbour.skiff.app("one"), crew, pushed)
    assert still.message == count(1)["one"][0]
    assert orphans.notices(engine, harbour.skiff.app("one"), crew, turn) == ()


@pytest.mark.cluster
@pytest.mark.usefixtures("argo_kinds")
def test_an_api_that_is_down_has_nobody_list_what_does_not_count(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = harbour.skiff.engine
    engine = replace(engine, settings=replace(engine.settings, reconcile_s=600))
    harbour.patch_project({})
    turn = engine.turns.take(_wanted(harbour, "one"))
    assert turn is not None
    asked, lists = list[str](), list[str]()
    served, list_ = Discovery.served, Api.list

    def down(self: Discovery) -> Any:
        asked.append("what is served")
        kinds, stale = served(self)
        return kinds, stale | {"gone.example.com/v1"}

    def listed(self: Api, kind: Kind, namespace: str = "", **how: Any) -> Any:
        lists.append(kind.kind)
        return list_(self, kind, namespace, **how)

    monkeypatch.setattr(Discovery, "served", down)
    monkeypatch.setattr(Api, "list", listed)
    app, crew = harbour.skiff.app("one"), engine.applications.project("crew")
    for _ in range(3):
        assert orphans.notices(engine, app, crew, turn) == ()
    assert lists == [], "what all of them find would not count"
    assert len(asked) == 1, "whoever looks next waits for the full reconciliation"
    monkeypatch.undo()
    harbour.create("stray")
    assert harbour.skiff.app("one").key in orphans.news(engine, engine.applications.list().apps)


@pytest.mark.cluster
@pytest.mark.usefixtures("argo_kinds")
def test_a_kind_that_may_not_be_listed_is_named(harbour: Harbour) -> None:
    harbour.patch_project({})
    engine = harbour.skiff.engine
    nobody = replace(engine.api, identity=replace(engine.api.identity, user="somebody"))
    with pytest.raises(ClusterRefused, match=r"cannot be listed: .*somebody"):
        orphans.look(
            nobody, engine.executor, engine.applications, engine.installation.id, [harbour.namespace]
        )
    orphans.news(replace(engine, api=nobody), engine.applications.list().apps)
    harbour.skiff.work()
    found = engine.orphans.of(engine.api.cluster, [harbour.namespace])[harbour.namespace]
    assert isinstance(found, str)
    turn = engine.turns.take(_wanted(harbour, "one"))
    assert turn is not None
    pushed = replace(turn, deliveries=("1-0",))
    (said,) = orphans.notices(engine, harbour.skiff.app("one"), engine.applications.project("crew"), pushed)
    assert said.type == ORPHANED
    assert said.message.startswith("orphaned resources cannot be counted: ")


def _wanted(harbour: Harbour, name: str) -> str:
    turn = f"app:{AppKey(harbour.home, name)}"
    harbour.skiff.engine.turns.want(turn, {"look": "1"})
    return turn
