"""What is not done yet is said, and stops the sync where leaving it out would do something else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mooring.model import support
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.model.spec import Operation
from mooring.model.support import (
    unsupported_annotations,
    unsupported_manifests,
    unsupported_operation,
    unsupported_project,
    unsupported_spec,
)
from tests.mooring.model.manifests import EVERYTHING, PROJECT, SHOP


def _app(**spec: Any) -> Application:
    raw = copy.deepcopy(SHOP)
    raw["spec"].update(spec)
    return Application.parse(raw)


def _object(name: str = "a", **annotations: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}}


def test_a_plain_directory_is_all_supported() -> None:
    assert unsupported_spec(_app()) == ()


@pytest.mark.parametrize(
    ("spec", "path", "blocks"),
    [
        (
            {"sources": [{"repoURL": "https://a/b"}, {"repoURL": "x", "nope": 1}]},
            "spec.sources[1].nope",
            True,
        ),
        ({"source": None}, "spec.source", True),
        ({"destination": {"server": "https://elsewhere"}}, "spec.destination.server", True),
        ({"destination": {"name": "elsewhere"}}, "spec.destination.name", True),
        ({"destination": {}}, "spec.destination", True),
        ({"syncPolicy": {"syncOptions": ["Unheard=of"]}}, "spec.syncPolicy.syncOptions", True),
        ({"newInArgoCd9": 1}, "spec.newInArgoCd9", True),
    ],
)
def test_fields_that_are_not_done_yet(spec: dict[str, Any], path: str, blocks: bool) -> None:
    assert [(one.path, one.blocks) for one in unsupported_spec(_app(**spec))] == [(path, blocks)]


def test_another_apps_object_always_fails_a_sync_and_no_label_on_a_namespace_is_none_to_miss() -> None:
    policy = {"syncOptions": ["FailOnSharedResource=true"], "managedNamespaceMetadata": {"labels": {}}}
    assert unsupported_spec(_app(syncPolicy=policy)) == ()


def test_jsonnet_is_obeyed_with_all_of_its_options() -> None:
    variables = [{"name": "x", "value": "1", "code": True}]
    options = {"extVars": variables, "tlas": variables, "libs": ["vendor"]}
    source = {"repoURL": "https://a/b", "directory": {"jsonnet": options}}
    assert unsupported_spec(_app(source=source)) == ()


def test_our_cluster_may_be_named_by_its_own_url() -> None:
    app = _app(destination={"server": "https://10.0.0.1:6443/"})
    assert unsupported_spec(app, servers=("https://10.0.0.1:6443",)) == ()
    assert unsupported_spec(_app(destination={"name": "in-cluster"})) == ()
    (told,) = unsupported_spec(_app(destination={"name": "prod-eu"}))
    assert str(told).startswith("spec.destination.name: prod-eu: is not the cluster")
    assert "https://kubernetes.default.svc" in str(told)


def test_what_an_application_asks_of_comparing_is_understood_or_told() -> None:
    raw = copy.deepcopy(SHOP)
    for value, told in (("ForeignFields=drift, ServerSideDiff=true", []), ("ForeignFields=drfit", [True])):
        raw["metadata"]["annotations"] = {"mooring.dev/compare-options": value}
        assert [one.blocks for one in unsupported_spec(Application.parse(raw))] == told


def test_a_skipped_application_is_not_touched() -> None:
    raw = copy.deepcopy(SHOP)
    raw["metadata"]["annotations"] = {
        "argocd.argoproj.io/skip-reconcile": "true",
        "notifications.argoproj.io/subscribe.on-deployed.slack": "shop",
        "argocd.argoproj.io/sync-wave": "3",
        "example.org/anything": "x",
    }
    raw["metadata"]["finalizers"] = [
        "resources-finalizer.argocd.argoproj.io/background",
        "pre-delete-finalizer.argocd.argoproj.io/cleanup",
        "example.org/anything",
        "resources-finalizer.argocd.argoproj.io/orphan",
    ]
    found = {one.path: one.blocks for one in unsupported_spec(Application.parse(raw))}
    assert found == {
        "metadata.annotations[argocd.argoproj.io/skip-reconcile]": True,
        "metadata.annotations[notifications.argoproj.io/subscribe.on-deployed.slack]": False,
        "metadata.finalizers": False,
    }


@pytest.mark.parametrize("domain", ["argocd.argoproj.io", "mooring.dev"])
@pytest.mark.parametrize(
    ("name", "value", "verdicts"),
    [
        ("hook", "PreSync,PostSync", []),
        ("hook", "Skip", []),
        ("hook", "PreDelete,PostDelete", []),
        ("hook", "PreSynch", [True]),
        ("hook-delete-policy", "HookSucceeded", []),
        ("sync-wave", "0", []),
        ("sync-wave", "-1", []),
        ("sync-options", "Prune=false,Delete=confirm", []),
        ("sync-options", "Replace=true,Force=true,Validate=false,ClientSideApplyMigration=false", []),
        ("client-side-apply-migration-manager", "rigging", []),
        ("sync-options", "PruneLast=true,PrunePropagationPolicy=orphan", []),
        ("compare-options", "IgnoreExtraneous, IncludeMutationWebhook=true", []),
        ("compare-options", "ServerSideDiff=true", []),
        ("compare-options", "ForeignFields=drift", []),
        ("compare-options", "ForeignFields=keep", []),
        ("compare-options", "ForeignFields=drfit", [True]),
        ("compare-options", "Unheard=of", [True]),
        ("ignore-healthcheck", "true", []),
        ("ignore-resource-updates", "true", []),
        ("tracking-id", "shop:apps/Deployment:shop/web", []),
        ("deletion-approved", "2026-01-01T00:00:00Z", []),
        ("unheard-of", "x", [True]),
    ],
)
def test_annotations_in_both_spellings(domain: str, name: str, value: str, verdicts: list[bool]) -> None:
    found = unsupported_annotations(_object(**{f"{domain}/{name}": value}))
    assert [one.blocks for one in found] == verdicts


def test_helms_hooks_are_run() -> None:
    told = {"helm.sh/hook": "pre-install,test", "helm.sh/hook-weight": "1"}
    assert unsupported_annotations(_object(**told, **{"helm.sh/hook-delete-policy": "hook-failed"})) == ()


def test_a_delete_policy_that_nobody_knows_is_told() -> None:
    told = {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/hook-delete-policy": "Always"}
    (one,) = unsupported_annotations(_object(**told))
    assert one.blocks
    assert "Always" in str(one)


def test_a_crd_that_helm_2_would_install_by_a_hook_is_an_object_like_others() -> None:
    assert unsupported_annotations(_object(**{"helm.sh/hook": "crd-install"})) == ()


@pytest.mark.parametrize(
    "body", [{}, {"metadata": None}, {"metadata": {"annotations": None}}, {"metadata": {"annotations": []}}]
)
def test_objects_without_annotations_ask_for_nothing(body: dict[str, Any]) -> None:
    assert unsupported_annotations(body) == ()


def test_others_annotations_are_none_of_our_business() -> None:
    others = {"link.argocd.argoproj.io/docs": "https://x", "helm.sh/chart": "a-1", "example.org/hook": "x"}
    assert unsupported_annotations(_object(**others)) == ()


def test_what_an_object_asks_for_is_told_with_its_name() -> None:
    hook = "argocd.argoproj.io/hook"
    mixed = unsupported_manifests([_object("a", **{hook: "PreSynch"}), _object("b")])
    assert [(one.path, one.blocks) for one in mixed] == [(f"ConfigMap a: metadata.annotations[{hook}]", True)]


def test_projects_say_what_is_not_kept_yet() -> None:
    found = {
        one.path.removeprefix("AppProject shop: spec."): one.blocks
        for one in unsupported_project(AppProject.parse(PROJECT))
    }
    assert found == {"roles": False}


def test_an_ordinary_operation_is_done() -> None:
    asked = {"sync": {"prune": True, "revision": "abc", "syncStrategy": {"hook": {}}}, "info": []}
    assert unsupported_operation(Operation.model_validate(asked), _app()) == ()
    healing = {"sync": {"autoHealAttemptsCount": 2}, "initiatedBy": {"automated": True}}
    assert unsupported_operation(Operation.model_validate(healing), _app()) == ()


def test_an_operation_that_asks_for_more_is_blocked() -> None:
    operation = Application.parse(EVERYTHING).operation
    assert operation is not None
    found = unsupported_operation(operation, _app())
    assert all(one.blocks for one in found)
    assert "operation.sync.manifests" in {one.path for one in found}
    assert [one.path for one in unsupported_operation(Operation(), _app())] == ["operation.sync"]


def test_whatever_is_not_done_yet_is_told_where_it_is_asked_for() -> None:
    """Each line of the tables, so each row of the table of what is not done yet in docs/argocd-compat.md."""
    everything, project = Application.parse(EVERYTHING), AppProject.parse(PROJECT)
    assert everything.operation is not None
    told = {one.path: one.blocks for one in unsupported_spec(everything)}
    assert {f"spec.{path}": blocks for path, _, _, blocks in support._SPEC}.items() <= told.items()
    told = {one.path: one.blocks for one in unsupported_operation(everything.operation, everything)}
    assert {f"operation.{path}": True for path, _, _ in support._OPERATION}.items() <= told.items()
    told = {
        one.path.removeprefix("AppProject shop: spec."): one.blocks for one in unsupported_project(project)
    }
    assert {path: blocks for path, _, _, blocks in support._PROJECT} == told
    for name, verdict in support._ANNOTATIONS.items():
        found = unsupported_annotations(_object(**{f"argocd.argoproj.io/{name}": "x"}))
        assert verdict is None or (verdict[0], verdict[1]) in [(one.why, one.blocks) for one in found]
    for option, verdict in support._COMPARE_OPTIONS.items():
        found = unsupported_annotations(_object(**{"argocd.argoproj.io/compare-options": option}))
        assert [(one.why, one.blocks) for one in found] == (
            [(f"{option}: {verdict[0]}", verdict[1])] if verdict else []
        )


def test_an_annotation_that_nobody_knows_warns_on_an_application_and_blocks_on_an_object() -> None:
    raw = copy.deepcopy(SHOP)
    raw["metadata"]["annotations"] = {"argocd.argoproj.io/unheard-of": "x"}
    assert [one.blocks for one in unsupported_spec(Application.parse(raw))] == [False]
    assert [one.blocks for one in unsupported_annotations(raw)] == [True]


def test_what_is_missing_is_told_with_the_next_step() -> None:
    (told,) = unsupported_spec(_app(source=None))
    assert str(told) == "spec.source: is missing: say there where the manifests are"
    (told,) = unsupported_operation(Operation(), _app())
    assert (told.path, told.blocks) == ("operation.sync", True)


def test_what_is_for_argo_cds_own_pages_and_controllers_says_nothing() -> None:
    raw = copy.deepcopy(SHOP)
    raw["metadata"]["annotations"] = {
        "argocd.argoproj.io/managed-by-url": "https://argocd.example.org",
        "argocd.argoproj.io/manifest-generate-paths": ".",
        "argocd.argoproj.io/hydrate": "normal",
        "argocd.argoproj.io/hydrate-timestamp": "2026-01-02T03:04:05.6Z",
        "argocd.argoproj.io/refresh-timestamp": "2026-01-02T03:04:05.6Z",
        "argocd.argoproj.io/application-set-refresh": "true",
        "notice.argocd.argoproj.io/content": "freeze",
        "pref.argocd.argoproj.io/default-view": "list",
        "link.argocd.argoproj.io/runbook": "https://wiki.example.org",
    }
    assert unsupported_spec(Application.parse(raw)) == ()
    raw["metadata"]["annotations"]["argocd.argoproj.io/installation-id"] = "one"
    raw["metadata"]["annotations"]["argocd.argoproj.io/ignore-default-links"] = "true"
    raw["metadata"]["annotations"]["argocd.argoproj.io/ignore-restart-policy"] = "true"
    assert unsupported_annotations(raw) == ()
