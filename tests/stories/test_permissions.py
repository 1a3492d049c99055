"""What an application may do and ask for: by its project, by its policy, and by what is supported."""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import APPS, PROJECTS_TRUSTED_S, Ship, configmap, until

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}
CLUSTER_ROLE = (
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules: []\n"
)


def project(ship: Ship, name: str, **spec: Any) -> None:
    """An AppProject that permits everything but what `spec` says."""
    ship.ask(
        APPS.format(ship.home).replace("/applications", "/appprojects"),
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": name, "namespace": ship.home},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
                **spec,
            },
        },
    )


def annotated(name: str, key: str, value: str) -> str:
    line = f'  name: {name}\n  annotations:\n    {key}: "{value}"\n'
    return configmap(name, v="1").replace(f"  name: {name}\n", line)


def refused(ship: Ship, app: str, text: str, *, type: str = "InvalidSpecError") -> None:
    condition = ship.condition(app, text)
    assert condition["type"] == type, condition


def test_an_application_that_no_parser_reads_to_its_end_holds_up_no_other(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)  # of this test's own parser
    values: Any = "the bottom"
    for _ in range(1500):  # which the API server takes
        values = [values]
    source = {"repoURL": git_repo.url, "path": ".", "helm": {"valuesObject": {"deep": values}}}
    try:
        ship.create_app("deep", git_repo, namespace, spec={"source": source})
        commit = git_repo.commit({"a.yaml": configmap("a")})
        ship.create_app("neighbour", git_repo, namespace)
        ship.synced("neighbour", commit)

        refused(ship, "deep", "is nested deeper than 200 levels")
    finally:
        ship.ask(f"{APPS.format(ship.home)}/deep", method="DELETE")
        until("it to be gone", lambda: ship.app("deep") is None)
        sys.setrecursionlimit(before)


# --- projects -------------------------------------------------------------------------------------


def test_a_source_that_the_project_does_not_permit_is_refused(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "elsewhere", sourceRepos=["https://git.example.org/*"])
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("source", git_repo, namespace, spec={"project": "elsewhere"})

    refused(ship, "source", "project elsewhere does not permit the repository")
    assert ship.condition("source", "spec.sourceRepos does not list it")
    told = ship.finished(ship.deliver(git_repo, git_repo.commit({"b.yaml": configmap("b")})))
    assert told["state"] == "failed"
    assert ship.configmap(namespace, "a") is None


def test_a_destination_that_the_project_does_not_permit_is_refused(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    permitted = [{"server": "https://kubernetes.default.svc", "namespace": "team-*"}]
    project(ship, "team", destinations=permitted)
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("destination", git_repo, namespace, spec={"project": "team"})

    refused(ship, "destination", "does not permit the destination")
    assert ship.condition("destination", "spec.destinations does not list it")
    assert ship.configmap(namespace, "a") is None


def test_a_cluster_that_is_forbidden_is_so_by_all_its_names(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    all_but = [{"server": "*", "namespace": "*"}, {"server": f"!{ship.cluster.server}", "namespace": "*"}]
    project(ship, "not-here", destinations=all_but)
    project(ship, "here", destinations=[{"server": ship.cluster.server, "namespace": "*"}])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    destinations = [
        {"server": "https://kubernetes.default.svc"},
        {"server": f"{ship.cluster.server}/"},
        {"name": "in-cluster"},
    ]
    for number, where in enumerate(destinations):
        spec = {"project": "not-here", "destination": {"namespace": namespace, **where}}
        ship.create_app(f"spelt-{number}", git_repo, namespace, spec=spec)
        refused(ship, f"spelt-{number}", f"spec.destinations[1] (server: !{ship.cluster.server}) forbids it")
    ship.quiet()
    assert ship.configmap(namespace, "a") is None

    ship.patch_app("spelt-2", {"spec": {"project": "here"}})
    ship.synced("spelt-2", commit)


def test_a_project_with_clusters_of_its_own_uses_no_others(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "scoped", permitOnlyProjectScopedClusters=True)
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("scoped", git_repo, namespace, spec={"project": "scoped"})
    refused(ship, "scoped", "spec.permitOnlyProjectScopedClusters permits clusters of its own only")
    assert ship.configmap(namespace, "a") is None

    cluster = {"name": "in-cluster", "server": "https://kubernetes.default.svc", "config": "{}"}
    secret = {
        "metadata": {"name": "cluster", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {**cluster, "project": "others"},
    }
    secrets_of = f"/api/v1/namespaces/{ship.home}/secrets"
    ship.ask(secrets_of, secret)
    ship.refresh("scoped")
    refused(ship, "scoped", "spec.permitOnlyProjectScopedClusters permits clusters of its own only")
    assert ship.configmap(namespace, "a") is None

    ship.ask(f"{secrets_of}/cluster", {"stringData": {"project": "scoped"}}, **MERGE)
    until(
        "what was read before to be old",
        lambda: ship.refresh("scoped")["status"]["sync"]["status"] != "Unknown",
    )
    ship.synced("scoped", commit)
    ship.ask(f"{secrets_of}/cluster", method="DELETE")


def test_one_object_in_a_namespace_that_is_not_permitted_stops_all_of_them(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "narrow", destinations=[{"server": "*", "namespace": namespace}])
    stray = configmap("stray").replace("  name: stray\n", f"  name: stray\n  namespace: {ship.home}\n")
    git_repo.commit({"a.yaml": configmap("a"), "stray.yaml": stray})
    ship.create_app("stray-namespace", git_repo, namespace, spec={"project": "narrow"})

    refused(ship, "stray-namespace", f"does not permit namespace {ship.home}")
    assert ship.condition("stray-namespace", "stray.yaml:1")
    assert ship.configmap(namespace, "a") is None
    assert ship.configmap(ship.home, "stray") is None


def test_cluster_scoped_kinds_need_the_projects_leave_and_forbidden_kinds_are_refused(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(
        ship,
        "humble",
        clusterResourceWhitelist=[],
        namespaceResourceBlacklist=[{"group": "", "kind": "Secret"}],
    )
    name = f"story-{secrets.token_hex(4)}"
    git_repo.commit({"a.yaml": configmap("a"), "role.yaml": CLUSTER_ROLE.format(name)})
    ship.create_app("humble", git_repo, namespace, spec={"project": "humble"})

    refused(
        ship, "humble", "does not permit rbac.authorization.k8s.io/ClusterRole: spec.clusterResourceWhitelist"
    )
    assert ship.configmap(namespace, "a") is None
    assert ship.find(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}") is None

    secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"
    ship.pushed(git_repo, {"role.yaml": None, "secret.yaml": secret})
    refused(ship, "humble", "does not permit core/Secret: spec.namespaceResourceBlacklist[0] (core/Secret)")
    assert ship.configmap(namespace, "a") is None

    commit = ship.pushed(git_repo, {"secret.yaml": None})
    ship.synced("humble", commit)
    assert ship.configmap(namespace, "a")


def test_what_a_project_does_not_permit_any_more_is_not_pruned_either(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "waning")
    service = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {}\n"
    files = {f"{name}.yaml": configmap(name) for name in "abefgh"}  # most of them stay
    files |= {f"{name}.yaml": service.format(name) for name in "cd"}
    ship.create_app("waning", git_repo, namespace, spec={"project": "waning"})
    ship.synced("waning", git_repo.commit(files))

    path = APPS.format(ship.home).replace("/applications", "/appprojects/waning")
    ship.ask(
        path, {"spec": {"namespaceResourceBlacklist": [{"group": "", "kind": "ServiceAccount"}]}}, **MERGE
    )
    ship.condition("waning", "does not permit core/ServiceAccount")
    ship.read_anew(PROJECTS_TRUSTED_S)
    ship.pushed(git_repo, {"b.yaml": None, "c.yaml": None, "d.yaml": None})
    told = ship.condition("waning", "left Git and stays: project waning does not permit core/ServiceAccount")

    assert told["type"] == "PruneSkipped"
    assert "spec.namespaceResourceBlacklist[0] (core/ServiceAccount) forbids it" in told["message"]
    until("b to be pruned", lambda: ship.configmap(namespace, "b") is None)
    ship.quiet()
    assert ship.configmap(namespace, "a")
    for name in "cd":
        assert ship.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    # Nor does it go by hand.
    ship.operate("waning", prune=True)
    assert ship.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/c")


def test_a_namespace_is_made_only_where_the_project_permits_that(ship: Ship, git_repo: Repository) -> None:
    project(
        ship, "homebody", clusterResourceWhitelist=[{"group": "", "kind": "Namespace", "name": "other-*"}]
    )
    target = f"made-{secrets.token_hex(4)}"
    git_repo.commit({"a.yaml": configmap("a")})
    policy = {"automated": {}, "syncOptions": ["CreateNamespace=true"]}
    ship.create_app("homebody", git_repo, target, spec={"project": "homebody", "syncPolicy": policy})
    refused(
        ship, "homebody", "project homebody does not permit core/Namespace: spec.clusterResourceWhitelist"
    )
    assert ship.find(f"/api/v1/namespaces/{target}") is None


def test_nor_is_one_made_that_nothing_is_put_into_or_that_the_app_moves_to(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "settled", clusterResourceWhitelist=[])
    forbidden = "project settled does not permit core/Namespace: spec.clusterResourceWhitelist"
    target = f"made-{secrets.token_hex(4)}"
    there = configmap("a").replace("  name: a\n", f"  name: a\n  namespace: {namespace}\n")
    commit = git_repo.commit({"beside/a.yaml": there, "inside/b.yaml": configmap("b")})
    spec: dict[str, Any] = {
        "project": "settled",
        "syncPolicy": {"automated": {}, "syncOptions": ["CreateNamespace=true"]},
    }
    ship.create_app("beside", git_repo, target, path="beside", spec=spec)
    refused(ship, "beside", forbidden)

    ship.create_app("moves", git_repo, namespace, path="inside", spec=spec)
    ship.synced("moves", commit)
    ship.patch_app("moves", {"spec": {"destination": {"namespace": target}}})
    refused(ship, "moves", forbidden)
    assert ship.find(f"/api/v1/namespaces/{target}") is None
    assert ship.configmap(namespace, "a") is None


def test_a_project_that_is_missing_or_has_rules_not_kept_yet_stops_the_app(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("orphan", git_repo, namespace, spec={"project": "nowhere"})
    refused(ship, "orphan", "nowhere")

    project(ship, "garbled", signatureKeys=[{"keyID": "swordfish"}])
    ship.create_app("unsigned", git_repo, namespace, spec={"project": "garbled"})
    refused(ship, "unsigned", "AppProject garbled: spec.signatureKeys[0]: 'swordfish' names no key")
    assert ship.configmap(namespace, "a") is None

    account = {"server": "*", "namespace": "*", "defaultServiceAccount": "not a name"}
    project(ship, "nameless", destinationServiceAccounts=[account])
    ship.create_app("nameless", git_repo, namespace, spec={"project": "nameless"})
    refused(ship, "nameless", "spec.destinationServiceAccounts[0].defaultServiceAccount: 'not a name'")
    assert ship.configmap(namespace, "a") is None


def test_a_project_that_comes_later_or_permits_more_is_heeded_at_once(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("early", git_repo, namespace, spec={"project": "late"})
    refused(ship, "early", "project late does not exist")

    project(ship, "late", destinations=[{"server": "*", "namespace": "elsewhere"}])
    refused(ship, "early", "late does not permit the destination")
    assert ship.configmap(namespace, "a") is None

    path = APPS.format(ship.home).replace("/applications", "/appprojects/late")
    ship.ask(path, {"spec": {"destinations": [{"server": "*", "namespace": "test-*"}]}}, **MERGE)
    ship.synced("early", commit)
    assert ship.configmap(namespace, "a")


# --- what is not supported ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Sync=maybe", {"syncPolicy": {"automated": {}, "syncOptions": ["Sync=maybe"]}}),
        ("server", {"destination": {"server": "https://other.example.org"}}),
    ],
)
def test_a_spec_that_asks_for_what_is_not_done_yet_is_told_so_and_changes_nothing(
    ship: Ship, git_repo: Repository, namespace: str, field: str, value: dict[str, Any]
) -> None:
    git_repo.commit({"a.yaml": configmap("a")})
    name = f"spec-{secrets.token_hex(3)}"
    if "destination" in value:
        value = {"destination": {"namespace": namespace, **value["destination"]}}
    ship.create_app(name, git_repo, namespace, spec=value)

    refused(ship, name, field)
    ship.quiet()
    assert ship.configmap(namespace, "a") is None


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("argocd.argoproj.io/hook", "PreSynch"),
        ("argocd.argoproj.io/sync-options", "Force=maybe"),
        ("argocd.argoproj.io/something-new", "x"),
    ],
)
def test_an_annotation_that_orders_or_triggers_and_is_not_obeyed_yet_stops_the_sync(
    ship: Ship, git_repo: Repository, namespace: str, annotation: str, value: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a"), "b.yaml": annotated("b", annotation, value)})
    name = f"annotated-{secrets.token_hex(3)}"
    ship.create_app(name, git_repo, namespace)

    ship.condition(name, "ConfigMap b")
    ship.synced(name, commit, status="OutOfSync")
    assert ship.configmap(namespace, "a") is None

    # Nor does it go by hand.
    app = ship.operate(name, revision=commit)
    assert app["status"]["operationState"]["phase"] in ("Error", "Failed")
    assert "ConfigMap b" in app["status"]["operationState"]["message"]
    assert ship.configmap(namespace, "a") is None


def test_an_annotation_that_only_adds_comfort_is_told_and_stops_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    comfort = {
        "b.yaml": annotated("b", "argocd.argoproj.io/health-aggregate-overrides", "true"),
        "c.yaml": annotated("c", "link.argocd.argoproj.io/docs", "https://docs.example.org"),
        "d.yaml": annotated("d", "argocd.argoproj.io/sync-wave", "0"),
    }
    commit = git_repo.commit({"a.yaml": configmap("a"), **comfort})
    ship.create_app("comfort", git_repo, namespace)

    app = ship.synced("comfort", commit)
    assert [c["type"] for c in app["status"]["conditions"]] == ["Unsupported"]
    ship.condition("comfort", "ConfigMap b")
    assert all(ship.configmap(namespace, name) for name in "abcd")


def test_an_app_that_is_to_be_skipped_is_compared_and_not_synced_until_that_is_taken_off(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    skip = "argocd.argoproj.io/skip-reconcile"
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("skipped", git_repo, namespace, annotations={skip: "true"})

    ship.condition("skipped", skip)
    ship.synced("skipped", commit, status="OutOfSync")
    ship.quiet()
    assert ship.configmap(namespace, "a") is None

    ship.patch_app("skipped", {"metadata": {"annotations": {skip: None}}})
    ship.synced("skipped", commit)
    assert ship.configmap(namespace, "a")


def test_an_unknown_field_of_the_spec_is_named_as_soon_as_it_is_applied(ship: Ship) -> None:
    app = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "unknown", "namespace": ship.home},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example.org/x.git", "path": "."},
            "destination": {"server": "https://kubernetes.default.svc"},
            "pruneEverythingFirst": True,
        },
    }
    with pytest.raises(AssertionError, match=r'unknown field "spec\.pruneEverythingFirst"'):
        ship.kubectl("apply", "-f", "-", given=json.dumps(app))
    assert ship.app("unknown") is None


# --- automation -----------------------------------------------------------------------------------


def test_drift_is_put_back_where_self_heal_is_on_and_nothing_else_is_written(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("heals", git_repo, namespace, selfHeal=True)
    ship.synced("heals", git_repo.commit({f"{n}.yaml": configmap(n, v="1") for n in "abc"}))
    ship.quiet()
    before = {n: ship.configmap(namespace, n)["metadata"]["resourceVersion"] for n in "abc"}

    ship.kubectl("-n", namespace, "patch", "configmap", "b", "-p", '{"data": {"v": "drift", "more": "x"}}')
    ship.kubectl("-n", namespace, "delete", "configmap", "c")
    app = ship.reconcile("heals")

    assert ship.configmap(namespace, "b")["data"]["v"] == "1"
    assert ship.configmap(namespace, "c")["data"] == {"v": "1"}
    assert ship.configmap(namespace, "a")["metadata"]["resourceVersion"] == before["a"]
    assert app["status"]["sync"]["status"] == "Synced"
    results = app["status"]["operationState"]["syncResult"]["resources"]
    assert {r["name"]: r["message"].split()[-1] for r in results} == {
        "a": "unchanged",
        "b": "configured",
        "c": "created",
    }
    assert app["status"]["operationState"]["operation"]["initiatedBy"] == {"automated": True}


def test_a_reconciliation_without_drift_writes_nothing_at_all(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("still", git_repo, namespace, selfHeal=True)
    ship.synced("still", git_repo.commit({f"{n}.yaml": configmap(n, v="1") for n in "ab"}))
    ship.quiet()
    ship.reconcile("still")
    before = ship.app("still"), [ship.configmap(namespace, n) for n in "ab"]

    ship.reconcile("still")

    assert (ship.app("still"), [ship.configmap(namespace, n) for n in "ab"]) == before


def test_drift_is_only_shown_where_self_heal_is_off(ship: Ship, git_repo: Repository, namespace: str) -> None:
    ship.create_app("drifts", git_repo, namespace, path="app")
    first = git_repo.commit({f"app/{n}.yaml": configmap(n, v="1") for n in "ab"})
    ship.synced("drifts", first)
    ship.quiet()

    path = f"/api/v1/namespaces/{namespace}/configmaps/b"
    ship.ask(path, {"data": {"v": "drift"}}, **MERGE)
    app = ship.reconcile("drifts")

    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert ship.resource("drifts", "b")["status"] == "OutOfSync"
    assert ship.resource("drifts", "a")["status"] == "Synced"
    assert ship.configmap(namespace, "b")["data"]["v"] == "drift"

    # Nor does a commit that has nothing to do with the app put it back,
    second = git_repo.commit({"readme.md": "unrelated"})
    ship.deliver(git_repo, second)
    ship.synced("drifts", second, status="OutOfSync")
    ship.reconcile("drifts")
    assert ship.configmap(namespace, "b")["data"]["v"] == "drift"

    # but one that changes the app does.
    third = git_repo.commit({"app/a.yaml": configmap("a", v="2")})
    ship.deliver(git_repo, third)
    ship.synced("drifts", third)
    assert ship.configmap(namespace, "b")["data"]["v"] == "1"


def test_drift_under_a_moved_revision_is_only_shown_where_self_heal_is_off(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("moved", git_repo, namespace, path="app")
    ship.synced("moved", git_repo.commit({f"app/{n}.yaml": configmap(n, v="1") for n in "ab"}))
    second = git_repo.commit({"readme.md": "unrelated"})
    ship.deliver(git_repo, second)
    ship.synced("moved", second)
    ship.quiet()

    path = f"/api/v1/namespaces/{namespace}/configmaps/b"
    ship.ask(path, {"data": {"v": "drift"}}, **MERGE)
    app = ship.reconcile("moved")

    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert ship.configmap(namespace, "b")["data"]["v"] == "drift"


def test_a_commit_that_changes_only_a_comment_syncs_without_a_write(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("comments", git_repo, namespace)
    ship.synced("comments", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    before = ship.configmap(namespace, "a")

    commit = git_repo.commit({"a.yaml": "# a comment\n" + configmap("a", v="1")})
    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "succeeded"

    ship.synced("comments", commit)
    until("the object as it was", lambda: ship.configmap(namespace, "a") == before)
