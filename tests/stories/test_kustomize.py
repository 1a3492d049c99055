"""Overlays with a shared base: a push renders those apps that it touches, and no others."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from tests.stories.ship import Ship, configmap, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]


def overlay(*resources: str, prefix: str) -> str:
    return f"namePrefix: {prefix}-\nresources: [{', '.join(resources)}]\n"


def renders(delivery: Any) -> int:
    return [stage["name"] for stage in delivery["stages"]].count("rendered")


def test_a_push_to_a_shared_base_renders_exactly_the_apps_that_include_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    base = {"base/kustomization.yaml": "resources: [map.yaml]\n", "base/README.md": "Our base.\n"}
    first = git_repo.commit(
        {
            **base,
            "base/map.yaml": configmap("map", colour="blue"),
            "red/kustomization.yaml": overlay("../base", prefix="red"),
            "green/kustomization.yaml": overlay("../base", prefix="green"),
            "alone/kustomization.yaml": overlay("own.yaml", prefix="alone"),
            "alone/own.yaml": configmap("own", colour="blue"),
        }
    )
    for name in ("red", "green", "alone"):
        ship.create_app(name, git_repo, namespace, path=name)
    for name in ("red", "green", "alone"):
        assert ship.synced(name, first)["status"]["sourceType"] == "Kustomize"
    assert ship.configmap(namespace, "red-map")["data"] == {"colour": "blue"}
    ship.quiet()

    second = git_repo.commit({"base/map.yaml": configmap("map", colour="white")})
    told = ship.finished(ship.deliver(git_repo, second))

    assert renders(told) == 2
    for name in ("red", "green"):
        ship.synced(name, second)
        assert ship.configmap(namespace, f"{name}-map")["data"] == {"colour": "white"}
    alone = ship.synced("alone", second)
    assert alone["status"]["operationState"]["syncResult"]["revision"] == first, "only its revision moved"
    ship.quiet()

    third = git_repo.commit({"base/README.md": "Our old base.\n", "elsewhere/x.yaml": "x: 1\n"})
    told = ship.finished(ship.deliver(git_repo, third))
    assert renders(told) == 0
    for name in ("red", "green", "alone"):
        ship.synced(name, third)


def test_a_base_in_another_repository_is_deployed_and_one_that_may_not_be_is_told(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    shared = git_server.create(f"shared-{secrets.token_hex(4)}")
    shared.commit({"base/kustomization.yaml": "resources: [map.yaml]\n", "base/map.yaml": configmap("map")})
    named = f"{shared.url}//base?ref=main"
    ship.create_app("far", git_repo, namespace, path="app")
    ship.synced("far", git_repo.commit({"app/kustomization.yaml": overlay(f'"{named}"', prefix="far")}))
    assert ship.configmap(namespace, "far-map")

    git_repo.commit({"app/kustomization.yaml": overlay("http://169.254.169.254/org/repo//x", prefix="far")})
    ship.refresh("far")
    told = ship.condition("far", "169.254.169.254")["message"]
    assert "app/kustomization.yaml: resources: http://169.254.169.254/org/repo: " in told
    assert "not a public address" in told
    assert ship.configmap(namespace, "far-map"), "a failed render never means that there is nothing"


def test_options_of_the_application_change_what_is_deployed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(
        {"app/kustomization.yaml": "resources: [map.yaml]\n", "app/map.yaml": configmap("map")}
    )
    source = {
        "repoURL": git_repo.url,
        "path": "app",
        "targetRevision": "main",
        "kustomize": {"nameSuffix": "-blue", "commonAnnotations": {"team": "harbour"}},
    }
    ship.create_app("options", git_repo, namespace, spec={"source": source})
    ship.synced("options", commit)
    live = until("the object", lambda: ship.configmap(namespace, "map-blue"))
    assert live["metadata"]["annotations"]["team"] == "harbour"
