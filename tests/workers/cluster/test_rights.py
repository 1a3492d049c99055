"""Of a right that is missing: whose it is, and who is to give it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import ClusterRefused, Refused
from tests.charts.charted import as_account
from workers.cluster.api import Api, Create
from workers.cluster.connect import connect
from workers.cluster.identity import Identity
from workers.cluster.kinds import Kind
from workers.cluster.rights import NotPermitted, not_permitted
from workers.cluster.transport import refusal

PATH = "/api/v1/namespaces/shop/configmaps/settings"
SECRET = "/api/v1/namespaces/shop/secrets/login"
DEPLOYER = "system:serviceaccount:shop:deployer"


def answered(words: str, path: str = PATH) -> ClusterRefused:
    body = {"kind": "Status", "apiVersion": "v1", "message": words, "reason": "Forbidden"}
    error = refusal("PATCH", path, 403, orjson.dumps(body), None)
    assert isinstance(error, ClusterRefused)
    return error


def denied(verb: str, resource: str, group: str, where: str, user: str = DEPLOYER) -> str:
    """As the API server says it."""
    what = f'resource "{resource}" in API group "{group}" {where}'
    return f'{resource}{group and f".{group}"} "x" is forbidden: User "{user}" cannot {verb} {what}'


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            denied("patch", "deployments", "apps", 'in the namespace "shop"'),
            "may not patch deployments.apps in namespace shop: bind it to a Role there with "
            '{apiGroups: ["apps"], resources: ["deployments"], verbs: [create, patch]}',
        ),
        (
            denied("delete", "secrets", "", 'in the namespace "other": RBAC: role "gone" not found'),
            "may not delete secrets in namespace other: bind it to a Role there with "
            '{apiGroups: [""], resources: ["secrets"], verbs: [delete]}',
        ),
        (
            denied("create", "namespaces", "", "at the cluster scope"),
            "may not create namespaces at cluster scope: bind it to a ClusterRole there",
        ),
        (
            denied("get", "pods/log", "", 'in the namespace "shop"'),
            "may not get pods/log in namespace shop: bind it to a Role there",
        ),
    ],
)
def test_what_a_service_account_lacks_is_named_with_the_rule_to_add(words: str, told: str) -> None:
    error = not_permitted(answered(words, SECRET if "secrets" in words else PATH), DEPLOYER)
    assert error is not None
    assert str(error).startswith("service account shop/deployer, which the app's project has it act as, ")
    assert told in str(error)


@pytest.mark.parametrize("path", [PATH, SECRET])
def test_what_mooring_lacks_is_for_whoever_has_installed_it(path: str) -> None:
    words = denied("impersonate", "serviceaccounts", "", 'in the namespace "shop"', "mooring")
    assert str(not_permitted(answered(words, path), DEPLOYER)) == (
        "Mooring (mooring) may not act as service account shop/deployer, which the app's project names: "
        "whoever has installed Mooring must allow it to impersonate that (value rbac.impersonate of the "
        "chart)"
    )


@pytest.mark.parametrize(
    "words",
    [
        'pods "web" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1',
        'admission webhook "policy.example.org" denied the request: not on Fridays',
        'roles "more" is forbidden: user "bob" is attempting to grant RBAC permissions not currently held',
    ],
)
def test_what_is_refused_for_another_reason_keeps_the_servers_words(words: str) -> None:
    assert not_permitted(answered(words), DEPLOYER) is None


@pytest.mark.cluster
def test_whoever_acts_writes_and_mooring_reads(
    api: Api, cluster: ControlPlane, namespace: str, config_maps: Kind
) -> None:
    acts = api.acting_as(Identity(f"system:serviceaccount:{namespace}:deployer"))
    body = {"metadata": {"name": "a", "namespace": namespace}, "data": {"v": "1"}}
    there = api.create(config_maps, body)
    assert acts.get(config_maps, namespace, "a") == there
    assert [live.key.name for live in acts.list(config_maps, namespace) if live.uid == there.uid] == ["a"]

    for dry_run in (True, False):
        new = {"metadata": {"name": "b", "namespace": namespace}}
        with pytest.raises(NotPermitted, match=f"service account {namespace}/deployer, .* may not create"):
            acts.create(config_maps, new, dry_run=dry_run)
        with pytest.raises(NotPermitted, match=f"may not patch configmaps in namespace {namespace}"):
            acts.apply(config_maps, new, guard=Create(), dry_run=dry_run)
        with pytest.raises(NotPermitted, match="may not delete configmaps"):
            acts.delete(config_maps, there, dry_run=dry_run)
    with pytest.raises(NotPermitted, match="may not get pods/log"), acts.log(namespace, "web", []):
        pass
    assert api.get(config_maps, namespace, "a") == there
    assert api.get(config_maps, namespace, "b") is None


@pytest.mark.cluster
def test_a_service_account_has_the_groups_of_service_accounts_although_none_are_sent(
    api: Api, namespace: str
) -> None:
    identity = Identity(f"system:serviceaccount:{namespace}:deployer")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    told = api.transport.request("POST", path, identity=identity, body=review).json()["status"]["userInfo"]
    assert told["username"] == identity.user
    assert set(told["groups"]) == {
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    }


@pytest.mark.cluster
def test_who_may_impersonate_nobody_is_told_so_and_nobody_acts_for_two(
    cluster: ControlPlane, namespace: str, config_maps: Kind, tmp_path: Path
) -> None:
    limited = as_account(cluster, tmp_path / "limited", namespace, "default")
    connection = connect(str(limited.kubeconfig), limited.context)
    user = f"system:serviceaccount:{namespace}:deployer"
    body = {"metadata": {"name": "a", "namespace": namespace}}
    with pytest.raises(NotPermitted, match=f"may not act as service account {namespace}/deployer"):
        connection.api().acting_as(Identity(user)).create(config_maps, body)
    found = devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    assert "a" not in {item["metadata"]["name"] for item in found}

    with pytest.raises(Refused, match="has Mooring act as bob"):
        connection.api(Identity("bob")).acting_as(Identity(user))
