"""Deliveries that lie, come late, twice or in the wrong order deploy nothing that is not the branch."""

from __future__ import annotations

import secrets
import urllib.error

import pytest

from devcluster.gitserver import Repository
from mooring.store.connection import LEDGER
from tests.stories.ship import Ship, configmap, until
from tests.stories.watch import Watch

pytestmark = pytest.mark.cluster


@pytest.fixture
def app(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """An app that follows main, synced at its second commit."""
    name = f"app-{secrets.token_hex(4)}"
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    second = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.create_app(name, git_repo, namespace)
    ship.synced(name, second)
    ship.quiet()
    return name


@pytest.mark.parametrize("lie", ["pull request", "older", "unknown", "other branch", "another ref's name"])
def test_a_commit_that_is_not_the_branch_is_not_deployed_whoever_names_it(
    ship: Ship, git_repo: Repository, namespace: str, app: str, lie: str
) -> None:
    main = git_repo.resolve("main")
    assert main
    ref = "refs/heads/main"
    match lie:
        case "pull request":
            evil = {"a.yaml": configmap("a", v="evil"), "evil.yaml": configmap("evil")}
            commit = git_repo.commit(evil, branch="refs/pull/1/head", parent=main)
        case "older":
            commit = git_repo.resolve("main~1") or ""
        case "unknown":
            commit = secrets.token_hex(20)
        case "other branch":
            commit = git_repo.commit({"evil.yaml": configmap("evil")}, branch="feature", parent=main)
        case _:
            commit = git_repo.commit({"evil.yaml": configmap("evil")}, branch="refs/tags/main", parent=main)

    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        told = ship.finished(ship.deliver(git_repo, commit, ref=ref))
        ship.quiet()
        assert watch.events() == []

    assert told["state"] == "succeeded", told
    assert ship.app(app)["status"]["sync"]["revision"] == main
    assert ship.app(app)["status"]["sync"]["status"] == "Synced"


def test_a_force_push_back_is_deployed_once_the_branch_is_there(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    back = git_repo.resolve("main~1")
    assert back
    git_repo.point("refs/heads/main", back)

    ship.finished(ship.deliver(git_repo, back, before=git_repo.resolve("main") or ""))

    ship.synced(app, back)
    assert ship.configmap(namespace, "a")["data"] == {"v": "1"}


def test_a_branch_that_nobody_follows_concerns_nobody(ship: Ship, git_repo: Repository, app: str) -> None:
    before = ship.app(app)
    commit = git_repo.commit({"a.yaml": configmap("a", v="evil")}, branch="feature")

    told = ship.finished(ship.deliver(git_repo, commit, ref="refs/heads/feature"))

    assert told["state"] == "succeeded"
    assert "no Application follows" in told["outcome"]
    assert ship.app(app)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_deleted_branch_leaves_the_cluster_as_it_is_and_says_so(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    git_repo.point("refs/heads/main", None)

    ship.finished(ship.deliver(git_repo, "0" * 40))

    assert "main" in ship.condition(app, "no branch")["message"]
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_an_app_that_follows_a_range_of_versions_goes_to_the_newest_tag_in_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    one = git_repo.commit({"a.yaml": configmap("a", v="1.0.0")}, branch="refs/tags/v1.0.0")
    ship.create_app("versions", git_repo, namespace, revision="^1.0")
    ship.synced("versions", one)
    ship.quiet()

    two = git_repo.commit({"a.yaml": configmap("a", v="2.0.0")}, branch="refs/tags/v2.0.0")
    ship.finished(ship.deliver(git_repo, two, ref="refs/tags/v2.0.0"))
    ship.quiet()
    assert ship.app("versions")["status"]["sync"]["revision"] == one

    newer = git_repo.commit({"a.yaml": configmap("a", v="1.1.0")}, branch="refs/tags/v1.1.0")
    told = ship.finished(ship.deliver(git_repo, newer, ref="refs/tags/v1.1.0"))

    assert told["state"] == "succeeded"
    ship.synced("versions", newer)
    assert ship.configmap(namespace, "a")["data"] == {"v": "1.1.0"}


def test_a_replayed_delivery_is_recognised_while_the_first_one_has_succeeded(
    ship: Ship, git_repo: Repository, app: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="3")})
    first = ship.deliver(git_repo, commit, id=f"replayed-{app}")
    assert ship.finished(first)["state"] == "succeeded"
    ship.quiet()
    before = ship.app(app)["metadata"]["resourceVersion"]
    with ship.redis() as client:
        kept = client.xlen(f"{LEDGER}deliveries")

        assert ship.deliver(git_repo, commit, id=f"replayed-{app}") == first

        assert client.xlen(f"{LEDGER}deliveries") == kept
    ship.quiet()
    assert ship.app(app)["metadata"]["resourceVersion"] == before


def test_a_delivery_that_failed_can_be_sent_again(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    broken = git_repo.commit({"a.yaml": "a: [\n"})
    first = ship.deliver(git_repo, broken, id=f"again-{app}")
    assert ship.finished(first)["state"] == "failed"
    mended = git_repo.commit({"a.yaml": configmap("a", v="3")})

    second = ship.deliver(git_repo, broken, id=f"again-{app}")

    assert second != first
    assert ship.finished(second)["state"] == "succeeded"
    ship.synced(app, mended)
    assert ship.configmap(namespace, "a")["data"] == {"v": "3"}


def test_an_old_delivery_that_comes_after_the_new_one_changes_nothing(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    older = git_repo.commit({"a.yaml": configmap("a", v="3"), "only.yaml": configmap("only-in-older")})
    newer = git_repo.commit({"a.yaml": configmap("a", v="4"), "only.yaml": None})
    assert ship.finished(ship.deliver(git_repo, newer))["state"] == "succeeded"
    ship.synced(app, newer)

    with Watch(ship.cluster, f"/api/v1/namespaces/{namespace}/configmaps") as watch:
        assert ship.finished(ship.deliver(git_repo, older))["state"] == "succeeded"
        ship.quiet()
        assert watch.events() == []
    assert ship.app(app)["status"]["sync"]["revision"] == newer


def test_a_forged_delivery_is_refused_and_kept_nowhere(ship: Ship, git_repo: Repository, app: str) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="3")})
    with ship.redis() as client:
        kept = client.xlen(f"{LEDGER}deliveries")

        with pytest.raises(urllib.error.HTTPError) as refused:
            ship.deliver(git_repo, commit, secret="guessed")

        assert refused.value.code == 401
        assert client.xlen(f"{LEDGER}deliveries") == kept
        assert client.zcard(f"{LEDGER}unfinished") == 0
    assert ship.app(app)["status"]["sync"]["revision"] != commit


def test_the_same_pushed_to_many_apps_of_a_repository_is_one_delivery_with_one_end(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {f"{name}/a.yaml": configmap(name, v="1") for name in ("one", "two", "three")}
    first = git_repo.commit(files)
    for name in ("one", "two", "three"):
        ship.create_app(f"many-{name}", git_repo, namespace, path=name)
    for name in ("one", "two", "three"):
        ship.synced(f"many-{name}", first)
    ship.quiet()
    second = git_repo.commit({"one/a.yaml": configmap("one", v="2"), "two/a.yaml": "a: [\n"})

    told = ship.finished(ship.deliver(git_repo, second))

    assert told["state"] == "failed"
    assert "many-two" in told["outcome"]
    assert "many-one" not in told["outcome"]
    until("the good one", lambda: ship.configmap(namespace, "one")["data"] == {"v": "2"})
