"""The chart's roles are enough to deploy, and no more: a Mooring with nothing but its account's token."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from cli.processes import POOLS
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.charts.charted import Charted, ship_of
from tests.stories.operator import pools
from tests.stories.ship import configmap, until
from tests.stories.test_impersonation import entry
from tests.stories.test_impersonation import may as grant
from tests.stories.test_permissions import project
from tests.stories.test_waves import DOOR, opened

pytestmark = pytest.mark.cluster


def secret(name: str) -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  a: b\n"


def may(ship: Charted, account: str, verb: str, resource: str, namespace: str = "", **more: str) -> bool:
    """What the API server says of the account's rights."""
    group, _, plural = resource.rpartition("/")
    asked = {"group": group, "resource": plural, "verb": verb, "namespace": namespace, **more}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{ship.home}:{account}", "resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(ship.ask(path, review)["status"]["allowed"])


def nowhere(ship: Charted, namespace: str) -> None:
    """The pods that have no token would have no rights with one either."""
    for verb in ("get", "create", "patch", "update", "delete"):
        for resource in ("secrets", "pods", "argoproj.io/applications"):
            assert not may(ship, "mooring-observer", verb, resource, namespace), f"{verb} {resource}"
    for verb in ("get", "list", "watch"):
        for where in (ship.home, namespace):
            assert not may(ship, "mooring-observer", verb, "secrets", where), verb
    for account in ("mooring-web", "mooring-inside"):
        for where in (ship.home, namespace):
            for resource in ("secrets", "configmaps", "pods", "argoproj.io/applications"):
                for verb in ("get", "list", "create", "patch", "delete"):
                    assert not may(ship, account, verb, resource, where), f"{account}: {verb} {resource}"


def content(ship: Charted, app: Any) -> None:
    """All went well: no condition, events as usual, and nothing that the API server would not have."""
    assert app["status"]["operationState"]["phase"] == "Succeeded", app["status"]
    assert not app["status"].get("conditions")

    def told() -> bool:
        listed = ship.ask(f"/api/v1/namespaces/{ship.home}/events")
        return app["metadata"]["name"] in {item["involvedObject"]["name"] for item in listed["items"]}

    until("an event about the app", told)
    for name in ship.children:
        for probe in ("livenessProbe", "readinessProbe"):
            assert ship.probed(name, probe) == 200, f"{name}: {probe}"
    for name in ("worker", "observer"):
        assert "forbidden" not in ship.log(name)


def test_in_cluster_mode_a_push_lands_in_a_namespace_that_it_brings_and_rights_do_not_grow(
    cluster: Cluster, git_repo: Repository, namespace: str, tmp_path: Path
) -> None:
    flower = {"enabled": True, "existingSecret": "mooring-flower"}
    with ship_of(cluster, tmp_path, flower=flower) as ship:
        port = ship.listens("flower", "http")
        until("Flower to show all workers", lambda: pools(port, ship.flower_password) == set(POOLS))
        with pytest.raises(HTTPError, match="401"):
            pools(port, "another")

        new = f"{ship.home}-new"
        policy = {"syncOptions": ["CreateNamespace=true"]}
        ship.create_app("shop", git_repo, new, policy=policy)
        ship.synced("shop", git_repo.commit({"a.yaml": configmap("a", v="1"), "s.yaml": secret("s")}))
        app = ship.synced("shop", ship.pushed(git_repo, {"a.yaml": configmap("a", v="2"), "s.yaml": None}))
        assert ship.configmap(new, "a")["data"] == {"v": "2"}
        assert ship.find(f"/api/v1/namespaces/{new}/secrets/s") is None  # pruned

        content(ship, app)

        # Its health is heard of by the observer, and without beat by nobody else.
        ship.end("beat")
        ship.synced("shop", ship.pushed(git_repo, {"door.yaml": DOOR}))
        opened(ship, new)
        until("it to be healthy", lambda: ship.app("shop")["status"]["health"]["status"] == "Healthy")
        ship.start("beat")

        # A role in Git can give away no more than the workers have.
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "more"},
            "rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}],
        }
        ship.pushed(git_repo, {"role.yaml": json.dumps(role)})
        app = ship.ended("shop")
        assert app["status"]["operationState"]["phase"] == "Failed"
        assert "attempting to grant RBAC permissions not currently held" in json.dumps(app["status"])

        account = "mooring"  # it may watch what it may list: else it could not give that to an observer
        for verb in ("impersonate", "escalate", "bind", "deletecollection"):
            assert not may(ship, account, verb, "rbac.authorization.k8s.io/clusterroles"), verb
        nowhere(ship, namespace)
        devcluster.ask(cluster, f"/api/v1/namespaces/{new}", method="DELETE")


def test_a_mooring_that_may_only_read_deploys_as_the_service_accounts_that_projects_name(
    cluster: Cluster, git_repo: Repository, namespace: str, elsewhere: str, tmp_path: Path
) -> None:
    reads = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    rbac = {"rules": reads, "impersonate": [{"namespace": namespace, "serviceAccounts": ["deployer"]}]}
    with ship_of(cluster, tmp_path, rbac=rbac) as ship:
        grant(ship, namespace, "configmaps", "create", "patch", "delete")
        here = entry(namespace)
        project(ship, "crew", destinationServiceAccounts=[here, entry(elsewhere)])
        ship.create_app("crew", git_repo, namespace, spec={"project": "crew"})
        ship.synced("crew", git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b")}))
        change = {"a.yaml": configmap("a", v="2"), "b.yaml": None}
        app = ship.synced("crew", ship.pushed(git_repo, change))
        assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
        until("b to be pruned", lambda: ship.configmap(namespace, "b") is None)
        content(ship, app)

        # That it may not act as others is for whoever has installed it.
        ship.create_app("stray", git_repo, elsewhere, spec={"project": "crew"})
        told = ship.condition("stray", f"may not act as service account {elsewhere}/deployer")["message"]
        assert "whoever has installed Mooring must allow it" in told
        # And in its own name it writes nothing there.
        ship.create_app("own", git_repo, elsewhere)
        ship.condition("own", "cannot patch resource")
        assert ship.configmap(elsewhere, "a") is None
        assert may(ship, "mooring", "impersonate", "serviceaccounts", namespace, name="deployer")
        for account, where in (("default", namespace), ("deployer", elsewhere), ("deployer", ship.home)):
            assert not may(ship, "mooring", "impersonate", "serviceaccounts", where, name=account)
        for who in ("users", "groups"):
            assert not may(ship, "mooring", "impersonate", who), who


@pytest.fixture
def elsewhere(cluster: Cluster) -> Iterator[str]:
    """A namespace that the workers know nothing of."""
    name = f"elsewhere-{secrets.token_hex(4)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    devcluster.ask(cluster, f"/api/v1/namespaces/{name}", method="DELETE")


def test_in_namespaced_mode_a_push_lands_where_it_may_and_nowhere_else(
    cluster: Cluster, git_repo: Repository, namespace: str, elsewhere: str, tmp_path: Path
) -> None:
    verbs = ["get", "list", "create", "patch", "delete"]
    rules = [{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": verbs}]
    rbac = {"scope": "namespaces", "namespaces": [namespace], "rules": rules}
    with ship_of(cluster, tmp_path, rbac=rbac) as ship:
        ship.create_app("shop", git_repo, namespace, policy={"syncOptions": ["CreateNamespace=true"]})
        ship.synced("shop", git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b")}))
        change = {"a.yaml": configmap("a", v="2"), "b.yaml": None, "c.yaml": configmap("c")}
        app = ship.synced("shop", ship.pushed(git_repo, change))
        assert ship.configmap(namespace, "a")["data"] == {"v": "2"}
        assert ship.configmap(namespace, "b") is None
        assert ship.configmap(namespace, "c")
        content(ship, app)

        # Another kind there,
        ship.deliver(git_repo, git_repo.commit({"s.yaml": secret("s")}))
        ship.condition("shop", "secrets")
        assert ship.find(f"/api/v1/namespaces/{namespace}/secrets/s") is None
        # and the same kind elsewhere: both are said on the app, and written nowhere.
        ship.create_app("stray", git_repo, elsewhere)
        ship.condition("stray", elsewhere)
        assert ship.configmap(elsewhere, "a") is None

        # Nor is there a way around it.
        for verb in ("get", "list", "create", "patch", "delete"):
            assert not may(ship, "mooring", verb, "secrets", namespace), verb
            assert not may(ship, "mooring", verb, "configmaps", elsewhere), verb
            assert not may(ship, "mooring", verb, "rbac.authorization.k8s.io/clusterroles"), verb
        # At home it may do what it does, and no more.
        assert may(ship, "mooring", "get", "secrets", ship.home, name="mooring-installation")
        assert not may(ship, "mooring", "get", "secrets", ship.home, name="anybody-elses")
        for verb in ("get", "patch"):  # what is said again is counted
            assert may(ship, "mooring", verb, "events", ship.home), verb
        assert may(ship, "mooring", "delete", "secrets", ship.home)  # what was kept of earlier renders
        for verb in ("update", "patch", "deletecollection", "watch"):
            assert not may(ship, "mooring", verb, "secrets", ship.home), verb
        for verb in ("create", "delete", "update"):
            assert not may(ship, "mooring", verb, "argoproj.io/applications", ship.home), verb
            assert not may(ship, "mooring", verb, "argoproj.io/appprojects", ship.home), verb
        assert not may(ship, "mooring", "create", "pods", ship.home)
        nowhere(ship, namespace)
