"""Each app is written by the service account that its project names, with its rights and no others."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.names import ACTION_MANAGER
from tests.stories import kubelet
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_hooks import FINALIZER, RUN, job, jobs
from tests.stories.test_permissions import MERGE, annotated, project, refused
from tests.stories.test_waves import waits
from tests.stories.toll import Asked, Toll

pytestmark = pytest.mark.cluster

ALL = ["create", "patch", "delete"]
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
_PROJECTS = APPS.replace("/applications", "/appprojects/{}")
_FINALIZER = "resources-finalizer.argocd.argoproj.io"
_GONE: dict[str, Any] = {"metadata": {}}


@pytest.fixture(scope="module")
def toll(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toll]:
    with Toll(cluster, tmp_path_factory.mktemp("toll")) as toll:
        yield toll


@pytest.fixture(scope="module")
def ship_settings(toll: Toll) -> dict[str, str]:
    """Whose requests are seen."""
    return {"MOORING_KUBECONFIG": str(toll.kubeconfig)}


def account(namespace: str, name: str = "deployer") -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def may(ship: Ship, namespace: str, resource: str, *verbs: str, name: str = "deployer") -> None:
    """Gives a service account of the namespace these rights there, and waits until it has them."""
    group, _, plural = ("", "", resource) if resource == "pods/log" else resource.rpartition("/")
    role, base = f"{name}-{secrets.token_hex(3)}", _RBAC.format(namespace)
    rules = [{"apiGroups": [group], "resources": [plural], "verbs": list(verbs)}]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
    ship.ask(f"{base}/roles", {"metadata": {"name": role}, "rules": rules})
    ship.ask(f"{base}/rolebindings", {"metadata": {"name": role}, "roleRef": ref, "subjects": [subject]})

    def allowed() -> bool:
        kind, _, sub = plural.partition("/")
        asked = {"group": group, "resource": kind, "subresource": sub, "namespace": namespace}
        asked["verb"] = verbs[-1]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": account(namespace, name), "resourceAttributes": asked},
        }
        answer = ship.ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    until(f"{name} to have its rights", allowed)


def entry(namespace: str, name: str = "deployer") -> dict[str, str]:
    return {
        "server": "https://kubernetes.default.svc",
        "namespace": namespace,
        "defaultServiceAccount": name,
    }


def names(ship: Ship, name: str, *entries: dict[str, str]) -> None:
    """Has the project name these service accounts from now on."""
    ship.ask(_PROJECTS.format(ship.home, name), {"spec": {"destinationServiceAccounts": entries}}, **MERGE)


def deployment(name: str) -> str:
    labels = {"app": name}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "example.com/web"}]},
        },
    }
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    )


def writes_of(toll: Toll, since: int, where: str) -> list[Asked]:
    """What was written there, or tried, since so many requests."""
    return [one for one in toll.asked[since:] if one.writes and where in one.path]


def delete(ship: Ship, name: str) -> None:
    """Has the app deleted with all that it has."""
    finalizers = ship.app(name)["metadata"].get("finalizers", [])
    ship.patch_app(name, {"metadata": {"finalizers": [*finalizers, _FINALIZER]}})
    ship.ask(f"{APPS.format(ship.home)}/{name}", method="DELETE")


def test_all_that_an_app_writes_or_tries_is_its_service_accounts_and_all_else_is_moorings(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "configmaps", *ALL)
    project(ship, "crew", destinationServiceAccounts=[entry(namespace)])
    before = len(toll.asked)
    hook = annotated("before", "argocd.argoproj.io/hook", "PreSync")
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b"), "hook.yaml": hook}
    files["after.yaml"] = annotated("after", "argocd.argoproj.io/hook", "PostDelete")
    policy = {"automated": {"prune": True, "selfHeal": True}}
    ship.create_app("crew", git_repo, namespace, spec={"project": "crew", "syncPolicy": policy})
    ship.synced("crew", git_repo.commit(files))

    ship.synced("crew", ship.pushed(git_repo, {"a.yaml": configmap("a", v="2"), "b.yaml": None}))
    until("b to be pruned", lambda: ship.configmap(namespace, "b") is None)
    ship.kubectl("-n", namespace, "patch", "configmap", "a", "-p", '{"data": {"v": "drift"}}')
    ship.reconcile("crew")
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
    ship.quiet()
    delete(ship, "crew")
    until("the app to be gone", lambda: ship.app("crew") is None)
    assert ship.configmap(namespace, "a") is None
    assert ship.configmap(namespace, "before") is None
    assert ship.configmap(namespace, "after")  # its policy keeps it

    asked = [one for one in toll.asked[before:] if one.writes]
    there = [one for one in asked if f"/namespaces/{namespace}/" in one.path]
    others = [one for one in asked if one not in there]
    assert {one.user for one in there} == {account(namespace)}
    assert {(one.method, "dryRun=All" in one.path) for one in there} >= {
        ("PATCH", False),
        ("PATCH", True),
        ("POST", True),
        ("DELETE", False),
    }
    assert {one.user for one in others} == {""}
    for own in ("configmaps", "events", "applications"):
        assert any(f"/namespaces/{ship.home}/{own}" in one.path for one in others), own
    assert not any(one.groups for one in toll.asked[before:])  # the API server adds those of the account
    # What is read is read by Mooring, for all.
    assert {one.user for one in toll.asked[before:] if not one.writes} == {""}


def test_however_an_object_is_written_and_ended_that_is_the_service_accounts(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    """Applied, merged, replaced, made anew, taken over from kubectl; a hook that is called off."""
    for resource in ("configmaps", "apps/deployments", "batch/jobs"):
        may(ship, namespace, resource, "create", "patch", "update", "delete")
    project(ship, "deft", destinationServiceAccounts=[entry(namespace)])
    ship.kubectl("-n", namespace, "create", "configmap", "theirs", "--from-literal=v=0")
    before = len(toll.asked)

    def files(v: str) -> dict[str, str]:
        web = json.loads(deployment("web"))
        web["metadata"]["annotations"] = {"argocd.argoproj.io/sync-options": "Force=true"}
        web["spec"]["selector"]["matchLabels"]["v"] = v  # cannot be changed
        web["spec"]["template"]["metadata"]["labels"]["v"] = v
        found = {"theirs.yaml": configmap("theirs", v=v), "web.json": json.dumps(web)}
        for name, option in (("replaced", "Replace=true"), ("merged", "ServerSideApply=false")):
            one = annotated(name, "argocd.argoproj.io/sync-options", option)
            found[f"{name}.yaml"] = one.replace('v: "1"', f'v: "{v}"')
        return found

    ship.create_app("deft", git_repo, namespace, spec={"project": "deft"})
    ship.synced("deft", git_repo.commit(files("1")))
    ship.synced("deft", ship.pushed(git_repo, files("2")))
    assert ship.configmap(namespace, "replaced")["data"] == {"v": "2"}

    hook = {"job.yaml": job("endless", RUN, hook="PreSync")}
    ship.deliver(git_repo, git_repo.commit({**hook, **files("3")}))
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/endless"
    until("the hook to run", lambda: ship.find(path))
    assert ship.mooring("app", "terminate-op", "deft").returncode == 0
    until("nobody to wait for it", lambda: not (ship.find(path) or _GONE)["metadata"].get("finalizers"))
    ship.quiet()

    asked = [one for one in toll.asked[before:] if one.writes]
    there = [one for one in asked if f"/namespaces/{namespace}/" in one.path]
    assert {one.user for one in there} == {account(namespace)}
    assert {one.user for one in asked if one not in there} == {""}
    assert {one.method for one in there if "dryRun=All" not in one.path} == {"POST", "PUT", "PATCH", "DELETE"}


def test_what_the_service_account_may_not_write_is_told_with_the_rule_and_nothing_is_written(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "configmaps", *ALL)
    project(ship, "maps", destinationServiceAccounts=[entry(namespace)])
    ship.create_app("maps", git_repo, namespace, spec={"project": "maps"})
    # A hook might prepare much, but no rights of the account.
    hook = annotated("before", "argocd.argoproj.io/hook", "PreSync")
    commit = git_repo.commit({"a.yaml": configmap("a"), "web.json": deployment("web"), "hook.yaml": hook})

    app = until(
        "its sync to fail",
        lambda: (
            found
            if (found := ship.app("maps")).get("status", {}).get("operationState", {}).get("phase")
            == "Failed"
            else None
        ),
    )
    told = json.dumps(app["status"]["operationState"])
    assert f"service account {namespace}/deployer" in told
    assert f"may not patch deployments.apps in namespace {namespace}: bind it to a Role there" in told
    assert ship.configmap(namespace, "a") is None
    assert ship.configmap(namespace, "before") is None
    assert ship.find(f"/apis/apps/v1/namespaces/{namespace}/deployments/web") is None

    may(ship, namespace, "apps/deployments", *ALL)
    assert ship.operate("maps", revision=commit)["status"]["operationState"]["phase"] == "Succeeded"
    ship.synced("maps", commit)
    assert ship.configmap(namespace, "a")
    assert ship.find(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")


def test_what_it_may_not_delete_stays_and_keeps_the_app_until_it_may(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "configmaps", "create", "patch")
    project(ship, "keeper", destinationServiceAccounts=[entry(namespace)])
    ship.create_app("keeper", git_repo, namespace, spec={"project": "keeper"}, prune=True)
    ship.synced("keeper", git_repo.commit({"a.yaml": configmap("a"), "b.yaml": configmap("b")}))

    ship.pushed(git_repo, {"b.yaml": None})
    app = ship.ended("keeper")
    assert app["status"]["operationState"]["phase"] == "Failed"
    assert "may not delete configmaps" in json.dumps(app["status"]["operationState"])
    assert ship.configmap(namespace, "b")

    delete(ship, "keeper")
    told = ship.condition("keeper", "cannot be deleted: ")
    assert f"service account {namespace}/deployer" in told["message"]
    assert told["type"] == "DeletionError"
    assert ship.configmap(namespace, "a")
    may(ship, namespace, "configmaps", "delete")
    until("the app to be gone", lambda: ship.app("keeper") is None)
    assert ship.configmap(namespace, "a") is None


def test_where_no_entry_fits_nothing_is_written_until_one_does(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "configmaps", *ALL)
    project(ship, "lost", destinationServiceAccounts=[entry("elsewhere-*")])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.create_app("lost", git_repo, namespace, spec={"project": "lost"})

    refused(ship, "lost", "project lost names no service account for https://kubernetes.default.svc")
    app = ship.operate("lost", revision=commit)
    assert "names no service account" in app["status"]["operationState"]["message"]
    assert app["status"]["operationState"]["phase"] in ("Error", "Failed")
    assert ship.configmap(namespace, "a") is None

    names(ship, "lost", entry("elsewhere-*"), entry("test-*"))
    ship.synced("lost", commit)
    assert ship.configmap(namespace, "a")


def test_another_service_account_is_another_try_and_proves_nothing_of_the_one_before(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "configmaps", *ALL)
    project(ship, "heir", destinationServiceAccounts=[entry(namespace)])
    ship.create_app("heir", git_repo, namespace, spec={"project": "heir"})
    commit = git_repo.commit({"a.yaml": configmap("a"), "b.yaml": configmap("b")})
    ship.synced("heir", commit)
    ship.quiet()

    names(ship, "heir", entry(namespace, "newcomer"))
    refused(ship, "heir", f"service account {namespace}/newcomer", type="SyncError")
    ship.quiet()
    assert ship.app("heir")["status"]["sync"]["status"] != "Synced"

    # What has failed is not tried again by itself, but by somebody else.
    names(ship, "heir", entry(namespace, "newcomer2"))
    refused(ship, "heir", f"service account {namespace}/newcomer2", type="SyncError")
    names(ship, "heir", entry(namespace))
    ship.synced("heir", commit)
    ship.unsaid("heir", "newcomer")


def test_a_namespace_is_made_by_the_service_account_or_not_at_all(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    target = f"made-{secrets.token_hex(4)}"
    project(ship, "builder", destinationServiceAccounts=[entry("*", f"{namespace}:builder")])
    commit = git_repo.commit({"a.yaml": configmap("a")})
    policy = {"automated": {}, "syncOptions": ["CreateNamespace=true"]}
    ship.create_app("builder", git_repo, target, spec={"project": "builder", "syncPolicy": policy})
    refused(ship, "builder", "may not create namespaces at cluster scope", type="SyncError")
    assert ship.find(f"/api/v1/namespaces/{target}") is None

    subject = {"kind": "ServiceAccount", "name": "builder", "namespace": namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": target}, "roleRef": ref, "subjects": [subject]}
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    ship.ask(bindings, binding)
    try:
        ship.operate("builder", revision=commit)
        ship.synced("builder", commit)
        assert ship.configmap(target, "a")
    finally:
        ship.ask(f"{bindings}/{target}", method="DELETE")
        ship.ask(f"/api/v1/namespaces/{target}", method="DELETE")


def test_who_ends_a_sync_ends_its_hooks_as_the_service_account(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    for resource in ("batch/jobs", "configmaps"):
        may(ship, namespace, resource, *ALL)
    project(ship, "hasty", destinationServiceAccounts=[entry(namespace)])
    before = len(toll.asked)
    git_repo.commit({"a.yaml": configmap("a"), "endless.yaml": job("endless", RUN, hook="PreSync")})
    ship.create_app("hasty", git_repo, namespace, spec={"project": "hasty"})
    waits(ship, "hasty", "waiting for completion of hook batch/Job/endless")
    done = ship.mooring("app", "terminate-op", "hasty")
    assert done.returncode == 0, done.stderr
    until("the hook to be gone", lambda: not jobs(ship, namespace))

    there = writes_of(toll, before, f"/namespaces/{namespace}/jobs")
    assert {one.user for one in there} == {account(namespace)}
    assert {one.method for one in there} >= {"PATCH", "DELETE"}


def test_what_hooks_of_an_app_that_is_gone_have_left_is_let_go_by_mooring_itself(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    for resource in ("batch/jobs", "configmaps"):
        may(ship, namespace, resource, *ALL)
    project(ship, "gone", destinationServiceAccounts=[entry(namespace)])
    git_repo.commit({"a.yaml": configmap("a"), "endless.yaml": job("endless", RUN, hook="PreSync")})
    ship.create_app("gone", git_repo, namespace, spec={"project": "gone"})
    waits(ship, "gone", "waiting for completion of hook batch/Job/endless")
    ship.quiet_but("gone")
    before = len(toll.asked)
    ship.ask(f"{APPS.format(ship.home)}/gone", method="DELETE")
    until(
        "its finalizer to be gone",
        lambda: FINALIZER not in jobs(ship, namespace)["endless"]["metadata"].get("finalizers", []),
    )
    there = writes_of(toll, before, f"/namespaces/{namespace}/jobs")
    # More than once where its controller came in between.
    assert {(one.method, one.user) for one in there} == {("PATCH", "")}


def test_an_action_is_the_service_accounts_too(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "apps/deployments", *ALL)
    project(ship, "hands", destinationServiceAccounts=[entry(namespace)])
    commit = git_repo.commit({"web.json": deployment("web")})
    ship.create_app("hands", git_repo, namespace, auto=False, spec={"project": "hands"})
    ship.operate("hands", revision=commit)
    before = len(toll.asked)
    restart = ("app", "actions", "run", "hands", "restart", "--kind", "Deployment")
    done = ship.mooring(*restart)
    assert done.returncode == 0, done.stderr
    patches = [one for one in toll.asked[before:] if f"fieldManager={ACTION_MANAGER}" in one.path]
    assert {one.user for one in patches} == {account(namespace)}
    assert [one for one in patches if "dryRun=All" not in one.path]

    names(ship, "hands", entry(namespace, "newcomer"))
    until("the project to be read again", lambda: ship.mooring(*restart).returncode != 0)
    done = ship.mooring(*restart)
    assert f"service account {namespace}/newcomer" in done.stderr
    assert f"may not patch deployments.apps in namespace {namespace}" in done.stderr


def test_logs_are_those_that_the_service_account_may_read(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    may(ship, namespace, "pods", *ALL)
    project(ship, "listener", destinationServiceAccounts=[entry(namespace)])
    with kubelet.node(ship.cluster) as node:
        containers = [{"name": "main", "image": "example.com/web"}]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web"},
            "spec": {"nodeName": node, "containers": containers},
        }
        commit = git_repo.commit({"web.json": json.dumps(pod)})
        ship.create_app("listener", git_repo, namespace, spec={"project": "listener"})
        ship.synced("listener", commit)

        done = ship.mooring("app", "logs", "listener")
        assert done.returncode != 0
        assert f"service account {namespace}/deployer" in done.stderr
        assert f"may not get pods/log in namespace {namespace}" in done.stderr
        assert done.stdout == ""

        may(ship, namespace, "pods/log", "get")
        done = ship.mooring("app", "logs", "listener")
        assert done.returncode == 0, done.stderr
        assert "main begins" in done.stdout


def test_two_projects_of_one_cluster_write_nothing_of_each_other(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    other = f"other-{secrets.token_hex(4)}"
    devcluster.ask(ship.cluster, "/api/v1/namespaces", {"metadata": {"name": other}})
    for here in (namespace, other):
        may(ship, here, "configmaps", *ALL)
    # Both projects permit all namespaces, as if nobody had thought of it.
    project(ship, "port", destinationServiceAccounts=[entry("test-*"), entry("*", "nobody")])
    project(ship, "starboard", destinationServiceAccounts=[entry(other, f"{other}:deployer")])
    before = len(toll.asked)
    there = {"metadata": {"name": "theirs"}, "data": {"v": "swordfish"}}
    ship.ask(f"/api/v1/namespaces/{other}/configmaps", there)
    stray = configmap("theirs").replace("  name: theirs\n", f"  name: theirs\n  namespace: {other}\n")
    commit = git_repo.commit(
        {"port/a.yaml": configmap("a"), "starboard/b.yaml": configmap("b"), "stray/t.yaml": stray}
    )
    ship.create_app("port", git_repo, namespace, path="port", spec={"project": "port"})
    ship.create_app("starboard", git_repo, other, path="starboard", spec={"project": "starboard"})
    ship.synced("port", commit)
    ship.synced("starboard", commit)
    ship.quiet()
    users = {
        where: {one.user for one in writes_of(toll, before, f"/namespaces/{where}/configmaps")}
        for where in (namespace, other)
    }
    assert users == {namespace: {account(namespace)}, other: {account(other)}}

    # Of what it may not write an app learns that it is there, and not what it holds.
    ship.create_app("stray", git_repo, namespace, path="stray", spec={"project": "port"}, auto=False)
    ship.refresh("stray")
    ship.condition("stray", f"service account {namespace}/deployer")
    diff = ship.mooring("app", "diff", "stray")
    assert f"service account {namespace}/deployer" in diff.stdout + diff.stderr
    app = ship.operate("stray", revision=commit)
    assert app["status"]["operationState"]["phase"] == "Failed"
    assert ship.configmap(other, "theirs")["data"] == {"v": "swordfish"}
    assert "swordfish" not in diff.stdout + diff.stderr + json.dumps(ship.app("stray"))
    devcluster.ask(ship.cluster, f"/api/v1/namespaces/{other}", method="DELETE")


def test_argocd_cm_has_every_project_name_somebody_or_none_be_heeded(
    ship: Ship, toll: Toll, git_repo: Repository, namespace: str
) -> None:
    setting = "application.sync.impersonation.enabled"
    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    commit = git_repo.commit({"a.yaml": configmap("a")})
    ship.ask(path, {"metadata": {"name": "argocd-cm"}, "data": {setting: "true"}})
    try:
        until("what was read before to be old", lambda: _said(ship, git_repo, namespace))
        assert ship.configmap(namespace, "a") is None

        project(ship, "unheeded", destinationServiceAccounts=[entry(namespace, "nobody")])
        ship.ask(f"{path}/argocd-cm", {"data": {setting: "false"}}, **MERGE)
        ship.read_anew()
        ship.create_app("unheeded", git_repo, namespace, spec={"project": "unheeded"})
        told = ship.condition("unheeded", "spec.destinationServiceAccounts is not heeded")
        assert told["type"] == "SyncWarning"
        ship.synced("unheeded", commit)
        assert ship.configmap(namespace, "a")
    finally:
        ship.ask(f"{path}/argocd-cm", method="DELETE")


def _said(ship: Ship, git_repo: Repository, namespace: str) -> bool:
    """Whether an app of a project that names nobody is refused, and not yet compared."""
    name = f"unnamed-{secrets.token_hex(3)}"
    ship.create_app(name, git_repo, namespace, auto=False)
    app: Any = ship.refresh(name)
    told = [one["message"] for one in app["status"].get("conditions", [])]
    return any("project default names no service account" in text for text in told)
