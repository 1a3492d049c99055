"""A chart that draws a password gives another one each time: what was deployed stays, whoever renders it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, until

pytestmark = pytest.mark.cluster

FILES = {
    "app/kustomization.yaml": "helmCharts: [{name: drawn, releaseName: drawn}]\n",
    "app/charts/drawn/Chart.yaml": "apiVersion: v2\nname: drawn\nversion: 1.0.0\n",
    "app/charts/drawn/values.yaml": "length: 20\n",
    "app/charts/drawn/templates/secret.yaml": (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: drawn\n"
        "stringData:\n  password: {{ randAlphaNum (int .Values.length) | quote }}\n"
    ),
}


@pytest.fixture(scope="module")
def ship_settings(tools: Path) -> dict[str, str]:
    return {"MOORING_KUSTOMIZE_ENABLE_HELM": "1"}


@pytest.fixture
def drawn(ship: Ship, git_repo: Repository, namespace: str) -> str:
    commit = git_repo.commit(FILES)
    ship.create_app("drawn", git_repo, namespace, path="app", selfHeal=True)
    ship.synced("drawn", commit)
    ship.condition("drawn", "each render gives other manifests")
    return commit


def password(ship: Ship, namespace: str) -> str:
    found = ship.find(f"/api/v1/namespaces/{namespace}/secrets/drawn")
    return base64.b64decode(found["data"]["password"]).decode() if found else ""


def pinned(ship: Ship) -> list[Any]:
    items = ship.ask(f"/api/v1/namespaces/{ship.home}/secrets")["items"]
    return [item for item in items if item["metadata"]["name"].startswith("mooring-render-")]


def spoil(ship: Ship, namespace: str) -> None:
    """Somebody changes the password in the cluster."""
    ship.kubectl("-n", namespace, "patch", "secret", "drawn", "-p", '{"stringData": {"password": "spoilt"}}')


def test_drift_is_mended_with_the_password_that_was_deployed(ship: Ship, drawn: str, namespace: str) -> None:
    first = password(ship, namespace)
    assert len(first) == 20
    assert len(pinned(ship)) == 1
    assert first not in str(pinned(ship))

    spoil(ship, namespace)
    ship.reconcile("drawn")

    until("the drift to be mended", lambda: password(ship, namespace) == first)
    ship.refresh("drawn", "hard")
    assert password(ship, namespace) == first


def test_a_lost_password_is_not_replaced_until_somebody_asks(ship: Ship, drawn: str, namespace: str) -> None:
    for item in pinned(ship):
        ship.kubectl("-n", ship.home, "delete", "secret", item["metadata"]["name"])
    spoil(ship, namespace)
    ship.reconcile("drawn")
    ship.condition("drawn", "drift is not corrected")
    ship.reconcile("drawn")
    assert password(ship, namespace) == "spoilt"

    assert ship.mooring("app", "sync", "drawn", "--timeout", "60").returncode == 0
    anew = password(ship, namespace)
    assert len(anew) == 20
    assert len(pinned(ship)) == 1
    spoil(ship, namespace)
    ship.reconcile("drawn")
    until("the drift to be mended", lambda: password(ship, namespace) == anew)


def test_a_new_commit_draws_a_new_one_and_lets_go_of_the_old(
    ship: Ship, drawn: str, git_repo: Repository, namespace: str
) -> None:
    before = pinned(ship)
    commit = ship.pushed(git_repo, {"app/charts/drawn/values.yaml": "length: 30\n"})
    ship.synced("drawn", commit)
    assert len(password(ship, namespace)) == 30
    after = until("the old one to go", lambda: pinned(ship) if len(pinned(ship)) == 1 else None)
    assert after != before
