"""A rollback lasts, also where syncs are automated: what was rolled back from is not deployed by itself."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.keys import AppKey
from mooring.names import DEPLOY, TASK_POLL
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_operations import invalid

pytestmark = pytest.mark.cluster

MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}
SAID = "is not deployed by itself"


@pytest.fixture
def other_repo(git_server: GitServer) -> Repository:
    return git_server.create(f"db-{secrets.token_hex(5)}")


def data(ship: Ship, namespace: str, name: str = "a") -> Any:
    found = ship.configmap(namespace, name)
    return found["data"] if found else None


@pytest.fixture
def shop(ship: Ship, git_repo: Repository, namespace: str) -> tuple[str, str]:
    """An app of a monorepo, synced by itself at a first and then at a second, bad commit: those two."""
    first = git_repo.commit({"shop/a.yaml": configmap("a", v="good"), "shop/b.yaml": configmap("b")})
    ship.create_app("shop", git_repo, namespace, path="shop", selfHeal=True)
    ship.synced("shop", first)
    ship.quiet()
    bad = ship.pushed(
        git_repo, {"shop/a.yaml": configmap("a", v="bad"), "shop/c.yaml": configmap("c"), "shop/b.yaml": None}
    )
    ship.synced("shop", bad)
    ship.quiet()
    return first, bad


def looked(ship: Ship) -> int:
    """How often the app was looked at in vain since it waits."""
    with ship.redis() as client:
        return int(client.hget(f"mooring:turn:app:{AppKey(ship.home, 'shop')}", "waits") or 0)


def rolled_back(ship: Ship, bad: str) -> Any:
    """Rolls back as `argocd app rollback` has it done, and waits until that is compared with Git; the app."""
    entry = ship.app("shop")["status"]["history"][-2]
    app = ship.operate(
        "shop",
        revision=entry["revision"],
        source=entry["source"],
        prune=True,
        syncStrategy={"apply": {}},
    )
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    return ship.synced("shop", bad, status="OutOfSync")


def test_a_rollback_lasts_and_says_so_whatever_looks_at_the_app(
    ship: Ship, shop: tuple[str, str], namespace: str
) -> None:
    first, bad = shop
    done = ship.mooring("app", "rollback", "shop", "--prune", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert f"Succeeded at {first[:12]}" in done.stdout
    assert data(ship, namespace) == {"v": "good"}
    ship.synced("shop", bad, status="OutOfSync")

    told = ship.condition("shop", SAID)
    assert told["type"] == "RolledBack"
    assert f"rolled back to {first[:12]}" in told["message"]
    assert f"what Git has at {bad[:12]}" in told["message"]
    assert SAID in ship.mooring("app", "get", "shop").stdout
    shown = {r["name"]: r["status"] for r in ship.app("shop")["status"]["resources"]}
    assert shown == {"a": "OutOfSync", "b": "OutOfSync", "c": "OutOfSync"}
    assert ship.app("shop")["status"]["health"]["status"] == "Healthy", "of what is deployed"

    ship.reconcile("shop")
    ship.refresh("shop")
    ship.refresh("shop", "hard")
    ship.send(DEPLOY, TASK_POLL)
    ship.quiet()
    app = ship.synced("shop", bad, status="OutOfSync")
    assert data(ship, namespace) == {"v": "good"}
    assert ship.configmap(namespace, "c") is None
    assert app["status"]["history"][-1]["revision"] == first


def test_an_unrelated_commit_does_not_bring_it_back_and_one_that_changes_the_app_is_deployed(
    ship: Ship, shop: tuple[str, str], git_repo: Repository, namespace: str
) -> None:
    rolled_back(ship, shop[1])

    unrelated = ship.pushed(git_repo, {"bank/a.yaml": configmap("a", v="other")})
    ship.synced("shop", unrelated, status="OutOfSync")
    assert data(ship, namespace) == {"v": "good"}
    ship.condition("shop", SAID)

    fixed = ship.pushed(git_repo, {"shop/a.yaml": configmap("a", v="fixed")})
    ship.synced("shop", fixed)
    assert data(ship, namespace) == {"v": "fixed"}
    ship.unsaid("shop", SAID)

    # Whoever brings the bad one back by another commit is told, too.
    again = ship.pushed(git_repo, {"shop/a.yaml": configmap("a", v="bad")})
    ship.synced("shop", again, status="OutOfSync")
    ship.condition("shop", f"rolled back to {fixed[:12]}")
    assert data(ship, namespace) == {"v": "fixed"}


def test_what_stood_while_a_newer_commit_failed_is_left_by_a_rollback_too(
    ship: Ship, shop: tuple[str, str], git_repo: Repository, namespace: str
) -> None:
    first, _ = shop
    ship.pushed(git_repo, {"shop/svc.json": invalid("svc")})
    assert data(ship, namespace) == {"v": "bad"}, "the commit that was to mend it has failed"
    ship.operate("shop", revision=first, prune=True)
    assert data(ship, namespace) == {"v": "good"}

    reverted = ship.pushed(git_repo, {"shop/svc.json": None})

    ship.synced("shop", reverted, status="OutOfSync")
    ship.condition("shop", f"rolled back to {first[:12]}")
    assert data(ship, namespace) == {"v": "good"}


def test_a_commit_that_fails_in_between_does_not_hide_what_was_rolled_back_to(
    ship: Ship, shop: tuple[str, str], git_repo: Repository, namespace: str
) -> None:
    first, bad = shop
    rolled_back(ship, bad)
    ship.pushed(git_repo, {"shop/svc.json": invalid("svc")})

    reverted = ship.pushed(git_repo, {"shop/svc.json": None})

    ship.synced("shop", reverted, status="OutOfSync")
    ship.condition("shop", f"rolled back to {first[:12]}")
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/a", {"data": {"v": "drift"}}, **MERGE)
    ship.reconcile("shop")
    until("the drift to be mended", lambda: data(ship, namespace) == {"v": "good"})


def test_drift_is_mended_by_what_was_rolled_back_to(
    ship: Ship, shop: tuple[str, str], namespace: str
) -> None:
    first, bad = shop
    rolled_back(ship, bad)

    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/a", {"data": {"v": "drift"}}, **MERGE)
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/b", method="DELETE")
    ship.reconcile("shop")

    until("the drift to be mended", lambda: data(ship, namespace) == {"v": "good"})
    until("what was deleted to be there", lambda: ship.configmap(namespace, "b"))
    ship.quiet()
    app = ship.synced("shop", bad, status="OutOfSync")
    assert app["status"]["operationState"]["syncResult"]["revision"] == first
    ship.condition("shop", SAID)


def test_a_sync_by_hand_deploys_it_and_then_it_is_as_any_other(
    ship: Ship, shop: tuple[str, str], git_repo: Repository, namespace: str
) -> None:
    _, bad = shop
    rolled_back(ship, bad)

    assert ship.operate("shop", prune=True)["status"]["operationState"]["syncResult"]["revision"] == bad

    assert data(ship, namespace) == {"v": "bad"}
    ship.unsaid("shop", SAID)
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/a", {"data": {"v": "drift"}}, **MERGE)
    ship.reconcile("shop")
    until("the drift to be mended", lambda: data(ship, namespace) == {"v": "bad"})
    ship.synced("shop", bad)


def test_it_is_remembered_when_everything_is_started_anew_and_redis_has_forgotten_all(
    ship: Ship, shop: tuple[str, str], git_repo: Repository, namespace: str
) -> None:
    first, bad = shop
    rolled_back(ship, bad)
    ship.quiet()
    names = [*ship.children]
    for name in names:
        ship.end(name)
    with ship.redis() as client:
        client.flushdb()
    ship.start(*names)

    ship.reconcile("shop")
    unrelated = ship.pushed(git_repo, {"bank/a.yaml": configmap("a")})
    ship.synced("shop", unrelated, status="OutOfSync")
    assert data(ship, namespace) == {"v": "good"}
    ship.condition("shop", f"rolled back to {first[:12]}")


def test_of_several_sources_a_push_to_any_that_changes_the_app_is_deployed(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    sources = [
        {"repoURL": git_repo.url, "path": "web", "targetRevision": "main"},
        {"repoURL": other_repo.url, "path": "db", "targetRevision": "main"},
    ]
    web = git_repo.commit({"web/web.yaml": configmap("web", v="1")})
    db = other_repo.commit({"db/db.yaml": configmap("db", v="1")})
    ship.create_app("both", git_repo, namespace, spec={"sources": sources})
    ship.synced_all("both", web, db)
    ship.quiet()
    bad = ship.pushed(git_repo, {"web/web.yaml": configmap("web", v="bad")})
    ship.synced_all("both", bad, db)
    ship.quiet()

    done = ship.mooring("app", "rollback", "both", "--timeout", "60")

    assert done.returncode == 0, done.stderr
    assert data(ship, namespace, "web") == {"v": "1"}
    ship.synced_all("both", bad, db, status="OutOfSync")
    ship.condition("both", SAID)
    unrelated = ship.pushed(other_repo, {"README.md": "Read me.\n"})
    ship.synced_all("both", bad, unrelated, status="OutOfSync")
    assert data(ship, namespace, "web") == {"v": "1"}

    newer = ship.pushed(other_repo, {"db/db.yaml": configmap("db", v="2")})
    ship.synced_all("both", bad, newer)
    assert data(ship, namespace, "web") == {"v": "bad"}, (
        "other inputs: it may be the other half of the change"
    )
    assert data(ship, namespace, "db") == {"v": "2"}


def test_a_rollback_in_retry_gives_way_to_a_newer_commit_but_not_to_what_it_left(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    old = git_repo.commit({"shop/a.yaml": configmap("a", v="old"), "shop/svc.json": invalid("svc")})
    new = git_repo.commit({"shop/a.yaml": configmap("a", v="new"), "shop/svc.json": None})
    ship.create_app("shop", git_repo, namespace, path="shop")
    ship.synced("shop", new)
    retry = {"limit": -1, "backoff": {"duration": "1h", "maxDuration": "1h"}}
    ship.patch_app("shop", {"operation": {"sync": {"revision": old}, "retry": retry}})
    until("it to be in retry", lambda: ship.app("shop")["status"]["operationState"].get("retryCount"))

    looks = looked(ship)
    ship.deliver(git_repo, git_repo.commit({"bank/a.yaml": configmap("a")}))
    until("the push to have been looked at", lambda: looked(ship) > looks)
    told = ship.app("shop")["status"]["operationState"]
    assert (told["phase"], told["syncResult"]["revision"]) == ("Running", old)

    fixed = ship.pushed(git_repo, {"shop/a.yaml": configmap("a", v="fixed")})
    ship.synced("shop", fixed)
    assert data(ship, namespace) == {"v": "fixed"}
