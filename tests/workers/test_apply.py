"""Plans carried out on a real API server: what is written, what is not, and what is taken back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import pytest

from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import ClusterUnavailable, Superseded
from mooring.keys import AppKey, ObjectKey
from mooring.model.status import HealthStatus, ResourceStatus
from mooring.names import APPLYSET_PART_OF, LAST_APPLIED, TRACKING_ID
from tests.definitions import definition
from tests.stories.ship import until
from workers.apply import Applied, Fence, Result, apply
from workers.applyset.identity import applyset_id
from workers.applyset.inventory import Entry, Inventory
from workers.cluster.api import Api, Create, Update
from workers.cluster.connect import connect
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import Desired, Stamp, desired
from workers.observe import Begun, Observed, Place, begin, observe
from workers.ownership import Whose, owner, why_not_ours
from workers.plan import Permission, Plan, Viewpoint, plan
from workers.render.manifest import Manifest

pytestmark = pytest.mark.cluster

BY_HAND = Permission(prune=True, by_hand=True, approved=False)
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)


def always() -> bool:
    return True


def never() -> bool:
    return False


@dataclass
class App:
    """An app of its own in a namespace of its own; `inventory` is what it has written down."""

    api: Api
    executor: Executor
    namespace: str
    key: AppKey
    inventory: Inventory

    @property
    def stamping(self) -> Stamp:
        return Stamp("here", self.key, applyset_id(f"mooring-here-{self.key.namespace}.{self.key.name}", "m"))

    @property
    def view(self) -> Viewpoint:
        return Viewpoint(self.key, "here", self.stamping.applyset, lambda app, key: True, lambda key: False)

    def wants(self, *bodies: dict[str, Any], options: Sequence[str] = ()) -> tuple[Desired, ...]:
        manifests = [manifest(body) for body in bodies]
        found, _ = desired(manifests, self.api.discovery.find, self.namespace, options, self.stamping)
        return found

    def observes(self, wanted: Sequence[Desired], begun: Mapping[Place, Begun] | None = None) -> Observed:
        find, entries = self.api.discovery.preferred, self.inventory.entries
        return observe(self.api, self.executor, wanted, entries, find, self.stamping.applyset, begun)

    def plans(self, *bodies: dict[str, Any], options: Sequence[str] = ()) -> Plan:
        wanted = self.wants(*bodies, options=options)
        found = plan(
            wanted, self.observes(wanted), self.inventory, {}, lambda _: "", self.view, options, BY_HAND
        )
        self.inventory = self.inventory.with_(found.grow)
        return found

    def applies(self, found: Plan, holds: Callable[[], bool] = always) -> Applied:
        return apply(found, self.api, self.executor, self.view, Fence(holds))

    def syncs(self, *bodies: dict[str, Any], options: Sequence[str] = ()) -> Applied:
        return self.applies(self.plans(*bodies, options=options))

    def reads(self, kind: Kind, name: str) -> Live | None:
        return self.api.get(kind, self.namespace if kind.namespaced else "", name)

    def has(self, kind: Kind, name: str) -> Live:
        found = self.reads(kind, name)
        assert found is not None
        return found

    def data(self, name: str) -> Any:
        body = self.has(CONFIG_MAP, name).body
        assert body is not None
        return body.get("data")


def manifest(body: dict[str, Any]) -> Manifest:
    metadata = body["metadata"]
    group = body["apiVersion"].rpartition("/")[0]
    key = ObjectKey(group, body["kind"], metadata.get("namespace", ""), metadata["name"])
    return Manifest(key, body["apiVersion"], body, "app.yaml", 1)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str, **container: Any) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10", **container}]
                },
            },
        },
    }


@pytest.fixture(scope="module")
def api(cluster: ControlPlane) -> Api:
    return connect(str(cluster.kubeconfig), cluster.context).api()


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def results(applied: Applied) -> dict[str, Result]:
    return {outcome.key.name: outcome.result for outcome in applied.outcomes}


def test_objects_are_created_configured_left_and_pruned(app: App) -> None:
    assert results(app.syncs(config_map("a", n="1"), config_map("b"))) == {
        "a": Result.CREATED,
        "b": Result.CREATED,
    }
    assert results(app.syncs(config_map("a", n="2"), config_map("b"))) == {
        "a": Result.CONFIGURED,
        "b": Result.UNCHANGED,
    }
    assert results(app.syncs(config_map("a", n="2"))) == {"a": Result.UNCHANGED, "b": Result.PRUNED}
    gone = app.reads(CONFIG_MAP, "b")
    assert gone is None or gone.deletion_timestamp, "deleted in the foreground"
    assert app.data("a") == {"n": "2"}
    live = app.has(CONFIG_MAP, "a")
    entry = app.inventory.entries[live.key]
    assert why_not_ours(live, app.key, "here", app.stamping.applyset, entry) == ""


# --- fencing --------------------------------------------------------------------------------------


def test_a_late_worker_takes_back_what_it_created_and_changes_nothing_that_exists(app: App) -> None:
    app.syncs(config_map("a", commit="old"))
    late = app.plans(config_map("a", commit="late"), config_map("made"), deployment("web"))
    app.syncs(config_map("a", commit="new"))
    stranger = app.api.create(CONFIG_MAP, config_map("theirs") | {"metadata": meta(app, "theirs")})
    with pytest.raises(Superseded):
        app.applies(late, never)
    # What was planned on an older state was planned anew, as the same app's newer worker would.
    assert app.reads(CONFIG_MAP, "made") is None
    web = app.reads(DEPLOYMENT, "web")
    assert web is None or web.deletion_timestamp
    assert app.has(CONFIG_MAP, "theirs").resource_version == stranger.resource_version


def meta(app: App, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": app.namespace, **more}


def test_a_lost_claim_prunes_nothing(app: App) -> None:
    app.syncs(config_map("a"), config_map("b"))
    found = app.plans(config_map("a"))
    assert len(found.prunes) == 1
    with pytest.raises(Superseded):
        app.applies(found, never)
    assert app.reads(CONFIG_MAP, "b") is not None


def test_a_claim_lost_between_two_groups_takes_back_the_first(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.apply._FENCE_S", 0.0)  # asked before each group
    with pytest.raises(Superseded):
        app.applies(app.plans(config_map("a"), deployment("web")), asked_about(True, False))
    assert app.reads(CONFIG_MAP, "a") is None
    assert app.reads(DEPLOYMENT, "web") is None


def unasked() -> bool:
    raise AssertionError("the claim was read")


def test_the_write_of_the_status_tells_whether_the_claim_that_was_just_made_was_held(app: App) -> None:
    fence = Fence(unasked)
    found = app.plans(config_map("a"), deployment("web"))
    applied = apply(found, app.api, app.executor, app.view, fence)
    with fence.around(app.api):
        pass
    assert results(applied) == {"a": Result.CREATED, "web": Result.CREATED}
    assert app.reads(CONFIG_MAP, "a") is not None


def test_where_the_status_is_anothers_what_was_created_is_taken_back_and_what_he_wants_too_stays(
    app: App,
) -> None:
    app.syncs(config_map("old", n="1"))
    found = app.plans(config_map("old", n="2"), config_map("his"), config_map("mine"), deployment("web"))
    fence = Fence(unasked, lambda key: key.name == "his")
    apply(found, app.api, app.executor, app.view, fence)
    with pytest.raises(Superseded), fence.around(app.api):
        raise Superseded("the status is another's")
    assert app.reads(CONFIG_MAP, "mine") is None
    web = app.reads(DEPLOYMENT, "web")
    assert web is None or web.deletion_timestamp
    assert app.reads(CONFIG_MAP, "his") is not None
    assert app.data("old") == {"n": "2"}


# --- conflicts ------------------------------------------------------------------------------------


def test_a_conflict_is_planned_anew_on_what_is_there_now(app: App) -> None:
    app.syncs(config_map("a", n="1"))
    found = app.plans(config_map("a", n="2"))
    app.api.patch(CONFIG_MAP, app.namespace, "a", {"data": {"by": "hand"}})
    assert results(app.applies(found)) == {"a": Result.CONFIGURED}
    assert app.data("a") == {"n": "2", "by": "hand"}


def test_what_was_deleted_meanwhile_is_created_and_what_came_meanwhile_is_not_overwritten(app: App) -> None:
    app.syncs(config_map("a", n="1"))
    found = app.plans(config_map("a", n="2"))
    app.api.delete(CONFIG_MAP, app.has(CONFIG_MAP, "a"), "background")
    assert results(app.applies(found)) == {"a": Result.CREATED}

    found = app.plans(config_map("a", n="2"), config_map("b", n="ours"))
    body = config_map("b", n="theirs") | {"metadata": meta(app, "b")}
    theirs = app.api.create(CONFIG_MAP, body)
    applied = app.applies(found)
    # Adopting it is for a plan that says so in the inventory first: an automated prune asks for that.
    (failure,) = applied.failures
    assert (failure.key.name, failure.retry) == ("b", True)
    assert app.has(CONFIG_MAP, "b").resource_version == theirs.resource_version
    again = app.plans(config_map("a", n="2"), config_map("b", n="ours"))
    assert app.inventory.entries[theirs.key] == Entry("adopted", "apply")
    assert results(app.applies(again))["b"] is Result.CONFIGURED
    assert app.data("b") == {"n": "ours"}


def test_what_another_app_took_meanwhile_is_not_written(app: App) -> None:
    app.syncs(config_map("a", n="1"))
    found = app.plans(config_map("a", n="2"))
    other = replace_key(app)
    live = app.has(CONFIG_MAP, "a")
    (theirs,) = other.wants(config_map("a", n="theirs"))
    app.api.apply(CONFIG_MAP, theirs.body, guard=Update(live.uid, live.resource_version))
    (failure,) = app.applies(found).failures
    assert "belongs to app" in failure.message
    assert app.data("a") == {"n": "theirs"}


def replace_key(app: App) -> App:
    return App(app.api, app.executor, app.namespace, AppKey("mooring", "other"), Inventory())


def test_nobody_asks_for_each_object_of_a_namespace_that_does_not_exist(app: App) -> None:
    app.namespace = f"nowhere-{secrets.token_hex(4)}"
    wanted = app.wants(config_map("a"), config_map("b"), config_map("c"))
    before = app.api.transport.count["GET"]

    found = app.observes(wanted)

    assert app.api.transport.count["GET"] == before + 1
    assert not found.objects
    assert found.absent == {item.key for item in wanted}
    assert found.nowhere == {app.namespace}


def had(*kinds: tuple[str, str, str], namespace: str, health: str = "") -> tuple[ResourceStatus, ...]:
    """What a status says that an app had: group, kind and name of each."""
    told = HealthStatus(status=health) if health else None
    return tuple(
        ResourceStatus(group=group, version="v1", kind=kind, namespace=namespace, name=name, health=told)
        for group, kind, name in kinds
    )


def test_what_was_asked_while_git_was_read_is_not_asked_again(app: App) -> None:
    app.syncs(config_map("a"), deployment("web"))
    wanted = app.wants(config_map("a"), config_map("new"), deployment("web"))
    told = had(("", "ConfigMap", "a"), ("apps", "Deployment", "web"), namespace=app.namespace)

    def asked() -> Mapping[Place, Begun] | None:
        begun = begin(app.api, app.executor, told, app.stamping.applyset)
        return begun if all(one.found.result() for one in begun.values()) else None

    begun = until("the server's cache to have both", asked)
    (new,) = app.wants(config_map("new"))
    app.api.apply(CONFIG_MAP, new.body, guard=Create())
    before = app.api.transport.count["GET"]

    found = app.observes(wanted, begun)

    assert app.api.transport.count["GET"] == before + 1, "only for what those lists did not show"
    assert found.objects.keys() == {item.key for item in wanted}


def test_what_was_asked_long_before_git_answered_is_asked_again(app: App) -> None:
    app.syncs(config_map("a"))
    begun = begin(app.api, app.executor, had(("", "ConfigMap", "a"), namespace=app.namespace), "other")
    wait([one.found for one in begun.values()])
    old = {place: replace(one, at=one.at - 2.0) for place, one in begun.items()}
    assert all(one.found.result() == () for one in old.values())
    before = app.api.transport.count["GET"]

    found = app.observes(app.wants(config_map("a")), old)

    assert app.api.transport.count["GET"] == before + 1
    assert [key.name for key in found.objects] == ["a"]


def test_a_list_that_failed_while_git_was_read_is_no_list_of_nothing(app: App) -> None:
    app.syncs(config_map("a"))
    failed = Future[tuple[Live, ...]]()
    failed.set_exception(ClusterUnavailable("the API server went away"))
    kind = app.api.discovery.find("v1", "ConfigMap")
    assert kind is not None

    with pytest.raises(ClusterUnavailable, match="went away"):
        app.observes((), {(kind, app.namespace): Begun(failed, time.monotonic())})


def test_nothing_is_asked_ahead_of_what_was_missing_or_is_not_served(app: App) -> None:
    asked = app.api.transport.count["GET"]
    missing = had(("", "ConfigMap", "a"), namespace="nowhere", health="Missing")
    unserved = had(("", "Unheard", "b"), namespace="nowhere")

    assert begin(app.api, app.executor, missing, app.stamping.applyset) == {}
    assert app.api.transport.count["GET"] == asked
    assert begin(app.api, app.executor, unserved, app.stamping.applyset) == {}


def test_a_prune_spares_what_somebody_changed_and_goes_through_a_moved_status(app: App) -> None:
    app.syncs(config_map("a"), config_map("b"))
    found = app.plans(config_map("a"))
    app.api.patch(
        CONFIG_MAP,
        app.namespace,
        "b",
        {"metadata": {"annotations": {"mooring.dev/sync-options": "Prune=false"}}},
    )
    assert results(app.applies(found))["b"] is Result.SKIPPED
    assert app.reads(CONFIG_MAP, "b") is not None

    app.syncs(config_map("a"), deployment("web"))
    app.inventory = app.inventory.without([app.has(CONFIG_MAP, "b").key])
    found = app.plans(config_map("a"))
    conditions = [{"type": "Tested", "status": "True"}]
    app.api.patch(
        DEPLOYMENT, app.namespace, "web", {"status": {"conditions": conditions}}, subresource="status"
    )
    assert results(app.applies(found))["web"] is Result.PRUNED


# --- failures -------------------------------------------------------------------------------------


def test_a_failure_spares_the_groups_after_it_and_all_prunes_but_not_its_own_group(app: App) -> None:
    app.syncs(config_map("old"))
    broken = config_map("b") | {"data": {"not/a/key": "x"}}
    applied = app.syncs(config_map("a"), broken, config_map("c"), deployment("web"))
    assert results(applied) == {
        "a": Result.CREATED,
        "b": Result.FAILED,
        "c": Result.CREATED,
        "web": Result.SKIPPED,
    }
    (failure,) = applied.failures
    assert failure.message.startswith("app.yaml:1: ")
    assert not failure.retry
    assert app.reads(CONFIG_MAP, "old") is not None
    assert app.reads(DEPLOYMENT, "web") is None


def test_another_apps_object_fails_alone_and_nothing_is_pruned(app: App) -> None:
    other = replace_key(app)
    other.syncs(config_map("shared", by="other"))
    app.syncs(config_map("old"))
    applied = app.syncs(config_map("shared", by="us"), config_map("a"))
    assert results(applied) == {"shared": Result.FAILED, "a": Result.CREATED}
    assert app.data("shared") == {"by": "other"}
    assert app.reads(CONFIG_MAP, "old") is not None


# --- adoption and removed fields ------------------------------------------------------------------


def client_side(app: App, body: dict[str, Any], manager: str, **annotations: str) -> Live:
    """`body` as a client-side manager of the name would have created it."""
    metadata = meta(app, body["metadata"]["name"], annotations={LAST_APPLIED: "{}", **annotations})
    kind = CONFIG_MAP
    created = app.api.create(kind, {**body, "metadata": metadata})
    entries = [{**entry, "manager": manager} for entry in created.managed_fields]
    return app.api.patch(kind, app.namespace, created.key.name, {"metadata": {"managedFields": entries}})


def test_what_kubectl_applied_is_adopted_and_loses_what_git_does_not_have(app: App) -> None:
    client_side(app, config_map("a", kept="1", dropped="2"), "kubectl-client-side-apply")
    found = app.plans(config_map("a", kept="1"))
    assert [step.adopts for group in found.writes for step in group] == [True]
    assert results(app.applies(found)) == {"a": Result.CONFIGURED}
    assert app.data("a") == {"kept": "1"}
    assert app.inventory.entries[app.has(CONFIG_MAP, "a").key] == Entry("adopted", "apply")
    assert owner(app.has(CONFIG_MAP, "a"), app.key, "here").whose is Whose.OURS


def test_what_argo_applied_for_this_app_loses_what_git_does_not_have(app: App) -> None:
    tracking = f"{app.key.name}:/ConfigMap:{app.namespace}/a"
    client_side(app, config_map("a", kept="1", dropped="2"), "argocd-controller", **{TRACKING_ID: tracking})
    app.syncs(config_map("a", kept="1"))
    assert app.data("a") == {"kept": "1"}
    assert app.inventory.entries[app.has(CONFIG_MAP, "a").key] == Entry("created", "apply")


def test_a_field_dropped_from_git_that_somebody_keeps_is_told_with_its_keeper(app: App) -> None:
    app.syncs(config_map("a", color="red", size="L"))
    live = app.has(CONFIG_MAP, "a")
    hand = app.api.patch(CONFIG_MAP, app.namespace, "a", {"data": {"color": "blue"}})
    entries = [
        {**entry, "manager": "kubectl-edit"} if entry["operation"] == "Update" else entry
        for entry in hand.managed_fields
    ]
    app.api.patch(CONFIG_MAP, app.namespace, "a", {"metadata": {"managedFields": entries}})
    assert live.uid == hand.uid
    app.syncs(config_map("a", color="blue", size="L"))  # both own it now
    (outcome,) = app.syncs(config_map("a")).outcomes
    assert outcome.warning == "data.color left Git and is kept by kubectl-edit"
    assert app.data("a") == {"color": "blue"}


# --- kinds and schemas ----------------------------------------------------------------------------


def test_a_definition_and_its_resources_come_and_go_in_one_sync(app: App) -> None:
    group = f"x{secrets.token_hex(5)}.example.com"
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = definition(group, "Anchor", free)
    anchor = {
        "apiVersion": f"{group}/v1",
        "kind": "Anchor",
        "metadata": {"name": "bow"},
        "spec": {"depth": 3},
    }
    try:
        assert set(results(app.syncs(anchor, crd)).values()) == {Result.CREATED}
        assert set(results(app.syncs(anchor, crd)).values()) == {Result.UNCHANGED}
        # A server that has just started does not know the kind yet: that does not make the object gone.
        bow = ObjectKey(group, "Anchor", app.namespace, "bow")
        seen = observe(app.api, app.executor, (), [bow], lambda *_: None, app.stamping.applyset)
        assert bow not in seen.absent
        assert bow not in seen.objects
        never_was = ObjectKey(group, "Rudder", app.namespace, "bow")
        seen = observe(app.api, app.executor, (), [never_was], lambda *_: None, app.stamping.applyset)
        assert seen.absent == {never_was}
        pruned = app.syncs()
        assert [outcome.key.kind for outcome in pruned.outcomes] == ["Anchor", "CustomResourceDefinition"]
        assert set(results(pruned).values()) == {Result.PRUNED}
    finally:
        definitions = Kind(
            "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
        )
        if left := app.reads(definitions, f"anchors.{group}"):
            app.api.delete(definitions, left, "background", any_version=True)


# --- an API server that goes away -----------------------------------------------------------------


def asked_about(*answers: bool | Exception) -> Callable[[], bool]:
    """The claim, as the API server tells it from question to question."""
    left = iter(answers)

    def holds() -> bool:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return holds


AWAY = ClusterUnavailable("the API server does not answer")


def test_what_was_written_before_the_claim_could_not_be_asked_about_is_told_and_nothing_is_pruned(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.syncs(config_map("old"), config_map("kept"))
    found = app.plans(config_map("kept", n="2"), config_map("new"))
    monkeypatch.setattr("workers.apply._FENCE_S", 0.0)
    applied = app.applies(found, asked_about(True, AWAY))
    assert results(applied) == {"kept": Result.CONFIGURED, "new": Result.FAILED}
    (failure,) = applied.failures
    assert failure.retry
    assert failure.message.startswith("configmap/new created, but ")
    assert "the API server does not answer" in failure.message
    assert app.reads(CONFIG_MAP, "new") is not None
    assert app.reads(CONFIG_MAP, "old") is not None


def test_a_prune_that_may_not_be_asked_about_is_left_for_the_next_try(app: App) -> None:
    app.syncs(config_map("a"), config_map("b"))
    applied = app.applies(app.plans(config_map("a", n="2")), asked_about(AWAY))
    assert results(applied) == {"a": Result.CONFIGURED, "b": Result.FAILED}
    assert [failure.retry for failure in applied.failures] == [True]
    assert app.reads(CONFIG_MAP, "b") is not None


def test_the_groups_after_a_question_without_an_answer_are_left_and_the_first_ones_outcome_is_kept(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.apply._FENCE_S", 0.0)  # asked before each group
    found = app.plans(config_map("a"), deployment("web"))
    applied = app.applies(found, asked_about(True, AWAY, True))
    assert results(applied) == {"a": Result.CREATED, "web": Result.FAILED}
    assert applied.failures[0].retry
    assert app.reads(DEPLOYMENT, "web") is None


def test_what_server_side_apply_cannot_take_is_merged_with_a_warning(app: App) -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    (outcome,) = app.syncs(deployment("web", env=twice)).outcomes
    assert outcome.result is Result.CREATED
    assert "merged client-side" in outcome.warning
    strict = app.syncs(deployment("web2", env=twice), options=["ServerSideApply=true"])
    assert results(strict)["web2"] is Result.FAILED


def test_what_shall_be_merged_is_merged_and_may_be_pruned(app: App) -> None:
    body = config_map("a", n="1")
    assert results(app.syncs(body, options=["ServerSideApply=false"])) == {"a": Result.CREATED}
    live = app.has(CONFIG_MAP, "a")
    assert not live.owns_label(APPLYSET_PART_OF)
    assert app.inventory.entries[live.key] == Entry("created", "merge")
    assert results(app.syncs(config_map("a", n="2"), options=["ServerSideApply=false"])) == {
        "a": Result.CONFIGURED
    }
    assert results(app.syncs(options=["ServerSideApply=false"])) == {"a": Result.PRUNED}


# --- what is not ours -----------------------------------------------------------------------------


def _cached(app: App, name: str) -> Live:
    """As a plan may see it, a few milliseconds late."""
    found = app.api.list(CONFIG_MAP, app.namespace, cached=True)
    return next(live for live in found if live.key.name == name)


def test_clones_children_and_strangers_survive_a_prune(app: App) -> None:
    app.syncs(config_map("a"), config_map("b"))
    original = app.has(CONFIG_MAP, "a")
    marks = {"labels": dict(original.labels), "annotations": dict(original.annotations)}
    clone = app.api.create(CONFIG_MAP, config_map("clone") | {"metadata": meta(app, "clone", **marks)})
    owned = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": original.uid, "controller": True}]
    child = app.has(CONFIG_MAP, "b")
    app.api.patch(CONFIG_MAP, app.namespace, "b", {"metadata": {"ownerReferences": owned}})
    app.inventory = app.inventory.with_({clone.key: Entry(), child.key: Entry()})
    until("the server's cache", lambda: bool(_cached(app, "b").owner_references))
    found = app.plans(config_map("a"))
    assert found.prunes == ()
    app.applies(found)
    assert app.reads(CONFIG_MAP, "clone") is not None
    assert app.reads(CONFIG_MAP, "b") is not None
