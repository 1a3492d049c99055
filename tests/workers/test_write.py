"""Objects written as their sync options ask for it, on a real API server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mooring.errors import ClusterRefused, Superseded
from mooring.keys import AppKey
from mooring.names import APPLYSET_PART_OF
from tests.workers.test_apply import (
    CONFIG_MAP,
    DEPLOYMENT,
    App,
    client_side,
    config_map,
    deployment,
    meta,
    results,
)
from workers.apply import Outcome, Result
from workers.applyset.inventory import Entry, Inventory
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.compare import Compared, compare
from workers.ownership import why_not_ours

pytestmark = pytest.mark.cluster

JOB = Kind("batch", "v1", "Job", "jobs", namespaced=True)
SERVICE = Kind("", "v1", "Service", "services", namespaced=True)
SECRET = Kind("", "v1", "Secret", "secrets", namespaced=True)
CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True)
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets", namespaced=True)
OPTIONS = "argocd.argoproj.io/sync-options"


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def job(name: str, image: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}
        },
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def claim(name: str, size: str, access: str = "ReadWriteOnce", **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "storageClassName": "none",
            "accessModes": [access],
            "resources": {"requests": {"storage": size}},
        },
    }


def failure(app: App, body: Mapping[str, Any], *options: str) -> Outcome:
    """The one object's failure."""
    (found,) = app.syncs(dict(body), options=options).failures
    return found


def compared(app: App, *bodies: dict[str, Any], options: tuple[str, ...] = ()) -> Compared:
    return compare(app.plans(*bodies, options=options), app.api, app.executor, lambda _: "")


# --- Replace --------------------------------------------------------------------------------------


def test_what_is_replaced_becomes_the_manifest_and_keeps_what_others_wait_for(app: App) -> None:
    options = ["Replace=true"]
    assert results(app.syncs(config_map("a", n="1"), options=options)) == {"a": Result.CREATED}
    patch = {"data": {"by": "hand"}, "metadata": {"labels": {"by": "hand"}, "finalizers": ["example.org/a"]}}
    app.api.patch(CONFIG_MAP, app.namespace, "a", patch)
    (outcome,) = app.syncs(config_map("a", n="2"), options=options).outcomes
    assert (outcome.result, outcome.message) == (Result.CONFIGURED, "configmap/a replaced")
    live = app.has(CONFIG_MAP, "a")
    assert app.data("a") == {"n": "2"}
    assert "by" not in live.labels
    assert live.finalizers == ("example.org/a",)
    app.api.patch(CONFIG_MAP, app.namespace, "a", {"metadata": {"finalizers": None}})


def test_a_replaced_object_is_ours_by_what_the_inventory_says_of_its_writer_and_may_be_pruned(
    app: App,
) -> None:
    app.syncs(config_map("a", n="1"), options=["Replace=true"])
    live = app.has(CONFIG_MAP, "a")
    assert not live.owns_label(APPLYSET_PART_OF)
    entry = app.inventory.entries[live.key]
    assert entry == Entry("created", "replace")
    assert why_not_ours(live, app.key, "here", app.stamping.applyset, entry) == ""
    assert why_not_ours(live, app.key, "here", app.stamping.applyset, Entry("created", "apply"))
    assert results(app.syncs(options=["Replace=true"])) == {"a": Result.PRUNED}


def test_drift_of_what_is_replaced_is_whatever_git_does_not_have(app: App) -> None:
    options = ("Replace=true",)
    app.syncs(config_map("a", n="1"), options=options)
    assert not compared(app, config_map("a", n="1"), options=options).drifted
    app.api.patch(CONFIG_MAP, app.namespace, "a", {"data": {"by": "hand"}})
    assert compared(app, config_map("a", n="1"), options=options).drifted
    assert not compared(app, config_map("a", n="1")).drifted


def test_an_object_may_ask_to_be_replaced_by_itself_and_be_applied_again_later(app: App) -> None:
    asks = config_map("a", n="1", gone="soon")
    asks["metadata"]["annotations"] = {OPTIONS: "Replace=true"}
    app.syncs(asks, config_map("b"))
    assert {key.name: entry.writer for key, entry in app.inventory.entries.items()} == {
        "a": "replace",
        "b": "apply",
    }
    app.syncs(config_map("a", n="1"))
    live = app.has(CONFIG_MAP, "a")
    assert live.owns_label(APPLYSET_PART_OF)
    assert app.data("a") == {"n": "1"}, "what left Git is gone, although it was written by a replace"


def test_what_cannot_be_replaced_and_does_not_differ_is_left_as_it_is(app: App) -> None:
    app.syncs(job("work", "example.org/a:1"))
    options = ["Replace=true"]
    assert results(app.syncs(job("work", "example.org/a:1"), options=options)) == {"work": Result.UNCHANGED}
    assert "spec.template" in failure(app, job("work", "example.org/a:2"), *options).message


def test_a_replace_that_comes_late_overwrites_nothing(app: App) -> None:
    options = ["Replace=true"]
    app.syncs(config_map("a", n="1"), options=options)
    late = app.plans(config_map("a", n="late"), options=options)
    app.syncs(config_map("a", n="2"), options=options)
    with pytest.raises(Superseded):
        app.applies(late, lambda: False)
    assert app.data("a") == {"n": "2"}


# --- what cannot be changed -----------------------------------------------------------------------


def test_a_field_that_cannot_be_changed_is_named_with_what_differs_and_the_next_step(app: App) -> None:
    app.syncs(job("work", "example.org/a:1"))
    found = failure(app, job("work", "example.org/a:2"))
    assert found.message == (
        "app.yaml:1: what is there cannot be changed: spec.template (spec.containers[0].image is "
        '"example.org/a:1", Git has "example.org/a:2"); set the sync option Force=true to have it deleted '
        "and created anew, or delete it by hand"
    )
    assert not found.retry


def test_each_kind_says_which_of_its_fields_cannot_be_changed(app: App) -> None:
    app.syncs(service("door"))
    text = failure(app, service("door", clusterIP="None")).message
    assert "cannot be changed: spec.clusterIPs[0]" in text

    app.syncs(deployment("web"))
    other = deployment("web")
    other["spec"]["selector"]["matchLabels"] = {"app": "other"}
    other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    assert 'spec.selector (matchLabels.app is "web", Git has "other")' in failure(app, other).message

    app.syncs(claim("disk", "1Gi"))
    text = failure(app, claim("disk", "1Gi", "ReadWriteMany")).message
    assert 'spec (accessModes[0] is "ReadWriteOnce", Git has "ReadWriteMany")' in text

    app.syncs(stateful("db", "1Gi"))
    changed = stateful("db", "2Gi")
    changed["spec"]["replicas"] = 3
    text = failure(app, changed).message
    assert 'volumeClaimTemplates ([0].spec.resources.requests.storage is "1Gi", Git has "2Gi")' in text


def stateful(name: str, size: str) -> dict[str, Any]:
    template = claim("data", size)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": deployment(name)["spec"]["template"],
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": template["spec"]}],
        },
    }


def test_a_secret_that_cannot_be_changed_is_told_without_its_values(app: App) -> None:
    def secret(value: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key"},
            "stringData": {"password": value},
            "immutable": True,
        }

    app.syncs(secret("old-and-hidden"))
    text = failure(app, secret("new-and-hidden")).message
    assert "cannot be changed: data" in text
    assert "hidden" not in text
    assert "b2xkLWFuZC1oaWRkZW4" not in text
    assert results(app.syncs(secret("new-and-hidden"), options=["Force=true"])) == {"key": Result.CONFIGURED}
    assert (app.has(SECRET, "key").body or {})["data"] == {"password": "bmV3LWFuZC1oaWRkZW4="}


def test_what_is_wrong_in_itself_is_told_as_it_is_and_force_deletes_nothing_for_it(app: App) -> None:
    app.syncs(deployment("web"))
    before = app.has(DEPLOYMENT, "web")
    bad = deployment("web", image="")
    found = failure(app, bad, "Force=true")
    assert "spec.template.spec.containers[0].image: Required value" in found.message
    assert app.has(DEPLOYMENT, "web").uid == before.uid


# --- Force ----------------------------------------------------------------------------------------


def test_force_deletes_and_creates_anew_only_what_cannot_be_changed(app: App) -> None:
    app.syncs(job("work", "example.org/a:1"), config_map("a", n="1"), service("door"))
    before = app.has(CONFIG_MAP, "a")
    old = app.has(JOB, "work")
    applied = app.syncs(
        job("work", "example.org/a:2"),
        config_map("a", n="2"),
        service("door", clusterIP="None"),
        options=["Force=true"],
    )
    assert not applied.failures
    assert {outcome.key.kind: outcome.message for outcome in applied.outcomes} == {
        "ConfigMap": "configmap/a configured",
        "Job": "job/work deleted and created anew",
        "Service": "service/door deleted and created anew",
    }
    assert app.has(CONFIG_MAP, "a").uid == before.uid
    work = app.has(JOB, "work")
    assert work.uid != old.uid
    assert (work.body or {})["spec"]["template"]["spec"]["containers"][0]["image"] == "example.org/a:2"
    assert app.has(SERVICE, "door").owns_label(APPLYSET_PART_OF)
    assert not app.syncs(job("work", "example.org/a:2"), config_map("a", n="2")).failures


def test_force_with_replace_creates_anew_whatever_differs_and_leaves_what_does_not(app: App) -> None:
    both = ["Replace=true", "Force=true"]
    app.syncs(job("work", "example.org/a:1"), config_map("a", n="1", gone="soon"), options=both)
    work, a = app.has(JOB, "work"), app.has(CONFIG_MAP, "a")
    applied = app.syncs(job("work", "example.org/a:1"), config_map("a", n="1"), options=both)
    assert results(applied) == {"work": Result.UNCHANGED, "a": Result.CONFIGURED}
    assert app.has(JOB, "work").uid == work.uid, "nothing differs: lost proofs must not run a Job again"
    assert app.has(CONFIG_MAP, "a").uid != a.uid
    assert app.data("a") == {"n": "1"}
    app.syncs(job("work", "example.org/a:2"), options=both)
    assert app.has(JOB, "work").uid != work.uid


def test_a_comparison_says_that_what_force_would_create_anew_differs(app: App) -> None:
    app.syncs(job("work", "example.org/a:1"))
    found = compared(app, job("work", "example.org/a:2"), options=("Force=true",))
    assert [key.name for key in found.drifted] == ["work"]
    assert not found.notices
    plain = compared(app, job("work", "example.org/a:2"))
    assert not plain.drifted
    assert "spec.template" in plain.notices[0].message


@pytest.mark.parametrize("option", ["Prune=false", "Delete=false", "Delete=confirm"])
def test_force_deletes_nothing_whose_deletion_its_options_forbid(app: App, option: str) -> None:
    app.syncs(job("work", "example.org/a:1"))
    before = app.has(JOB, "work")
    kept = job("work", "example.org/a:2", **{OPTIONS: option})
    for options in (("Force=true",), ("Force=true", "Replace=true")):
        found = failure(app, kept, *options)
        assert f"Force=true does not delete it, since its sync option {option} keeps it" in found.message
    assert app.has(JOB, "work").uid == before.uid


def test_force_deletes_what_holds_data_only_where_that_itself_says_so(app: App) -> None:
    app.syncs(claim("disk", "1Gi"))
    before = app.has(CLAIM, "disk")
    found = failure(app, claim("disk", "1Gi", "ReadWriteMany"), "Force=true")
    assert "a PersistentVolumeClaim holds data" in found.message
    assert app.has(CLAIM, "disk").uid == before.uid
    asks = claim("disk", "1Gi", "ReadWriteMany", **{OPTIONS: "Force=true"})
    assert results(app.syncs(asks)) == {"disk": Result.CONFIGURED}
    assert app.has(CLAIM, "disk").uid != before.uid


def test_force_never_deletes_a_namespace(app: App) -> None:
    name = f"{app.namespace}-more"
    metadata = {"name": name, "labels": {"a": "1"}}
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    namespaces = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
    try:
        both = ["Replace=true", "Force=true"]
        app.syncs(body, options=both)
        before = app.has(namespaces, name)
        body["metadata"]["labels"] = {"a": "2"}
        assert results(app.syncs(body, options=both)) == {name: Result.CONFIGURED}
        assert app.has(namespaces, name).uid == before.uid
    finally:
        app.api.delete(namespaces, app.has(namespaces, name), "background", any_version=True)


def test_force_deletes_nothing_that_is_not_this_apps_own_yet(app: App) -> None:
    strange = job("work", "example.org/a:1")
    strange["metadata"] = meta(app, "work")
    before = app.api.create(JOB, strange)
    found = failure(app, job("work", "example.org/a:2"), "Force=true", "Replace=true")
    assert "it does not carry mooring.dev/id" in found.message
    assert app.has(JOB, "work").uid == before.uid
    # What can be changed is adopted, and from then on is this app's.
    assert not app.syncs(job("work", "example.org/a:1"), options=["Force=true"]).failures
    assert not app.syncs(job("work", "example.org/a:2"), options=["Force=true"]).failures
    assert app.has(JOB, "work").uid != before.uid


def test_force_is_no_way_round_a_policy_of_the_clusters_owners(app: App) -> None:
    group, kind = "admissionregistration.k8s.io", "ValidatingAdmissionPolicy"
    policies = Kind(group, "v1", kind, "validatingadmissionpolicies", namespaced=False)
    bindings = Kind(group, "v1", f"{kind}Binding", "validatingadmissionpolicybindings", namespaced=False)
    name = f"frozen-{secrets.token_hex(4)}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": app.namespace}}
    policy = {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["configmaps"],
                    }
                ],
                "namespaceSelector": selector,
            },
            "validations": [{"expression": "object.data == oldObject.data", "message": "it is frozen"}],
        },
    }
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    app.syncs(config_map("a", n="1"))
    before = app.has(CONFIG_MAP, "a")
    made = [app.api.create(policies, policy), app.api.create(bindings, binding)]
    try:
        _denied(app)
        assert "it is frozen" in failure(app, config_map("a", n="2"), "Force=true").message
        assert app.has(CONFIG_MAP, "a").uid == before.uid
    finally:
        for one in made:
            app.api.delete(one.kind, one, "background", any_version=True)


def _denied(app: App) -> None:
    """Waits until the policy is in force: the API server takes a moment."""
    for _ in range(600):
        try:
            app.api.patch(CONFIG_MAP, app.namespace, "a", {"data": {"n": "3"}}, dry_run=True)
        except ClusterRefused:
            return
        time.sleep(0.05)
    raise AssertionError("the policy never came into force")


def test_what_cannot_be_created_after_all_is_put_back_as_it_was(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.syncs(service("door", clusterIP="None"))
    # An address out of no range of the cluster: a trial under another name leaves it out.
    found = failure(app, service("door", clusterIP="192.0.2.1"), "Force=true")
    assert "192.0.2.1" in found.message
    assert (app.has(SERVICE, "door").body or {})["spec"]["clusterIP"] == "None"


# --- Validate, ClientSideApplyMigration -----------------------------------------------------------


def test_without_validation_an_unknown_field_is_dropped_instead_of_refused(app: App) -> None:
    unknown = config_map("a", n="1") | {"colour": "red"}
    for way in ("ServerSideApply=true", "ServerSideApply=false", "Replace=true"):
        assert "colour" in failure(app, unknown, way).message
    assert app.reads(CONFIG_MAP, "a") is None
    for number, way in enumerate(("ServerSideApply=false", "Replace=true", "Validate=false")):
        body = config_map("a", n=str(number)) | {"colour": "red"}
        assert not app.syncs(body, options=[way, "Validate=false"]).failures
        assert app.data("a") == {"n": str(number)}


def test_without_migration_fields_of_kubectl_stay_theirs(app: App) -> None:
    client_side(app, config_map("a", kept="1", dropped="2"), "kubectl-client-side-apply")
    app.syncs(config_map("a", kept="1"), options=["ClientSideApplyMigration=false"])
    assert app.data("a") == {"kept": "1", "dropped": "2"}
    live = app.has(CONFIG_MAP, "a")
    assert live.manager_entry("kubectl-client-side-apply", "Update") is not None


def test_fields_of_the_manager_that_an_object_names_are_migrated_whenever_there_are_some(app: App) -> None:
    named = config_map("a", kept="1")
    named["metadata"]["annotations"] = {"argocd.argoproj.io/client-side-apply-migration-manager": "rigging"}
    client_side(app, config_map("a", kept="1", dropped="2"), "rigging")
    app.syncs(config_map("a", kept="1"))
    assert app.data("a") == {"kept": "1", "dropped": "2"}, "not known as one that applies manifests"
    app.syncs(named)
    assert app.data("a") == {"kept": "1"}
