"""What is left to be right when pushes come while an application is being worked on."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.settings import Settings
from tests.stories.ship import configmap, until
from tests.stories.test_hooks import job
from tests.workers.skiff import CONFIG_MAP, Skiff
from workers import upstream
from workers.apps.home import HomeApplications
from workers.apps.wishes import EDITION, turn_of
from workers.cluster.kinds import Kind
from workers.pipeline import _sync
from workers.push import following

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

JOB = Kind("batch", "v1", "Job", "jobs", namespaced=True)


def test_what_a_push_has_read_before_a_sync_began_does_not_have_its_hooks_taken_for_left_behind(
    skiff_settings: Settings, namespace: str, git_repo: Repository
) -> None:
    skiff = Skiff(skiff_settings)
    engine, key = skiff.engine, AppKey(namespace, "shop")
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    skiff.create_app(
        "shop",
        {
            "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
    )
    skiff.settle()
    read = skiff.app("shop")
    hook = job("before", hook="PreSync", hook_delete_policy="HookSucceeded")
    commit = git_repo.commit({"a.yaml": configmap("a", v="2"), "before.yaml": hook})
    wishes = {"commit": commit, following(git_repo.url, "main").name: commit}

    engine.wake(turn_of(key), wishes)
    skiff.work()
    state = skiff.app("shop").status.operation_state
    assert state is not None
    assert state.phase == "Running"
    until("the hook to end", lambda: _complete(engine.api.get(JOB, namespace, "before")))
    assert engine.turns.want(turn_of(key), wishes)
    _sync(engine, key, read, wishes)
    skiff.settle()

    state = skiff.app("shop").status.operation_state
    assert state is not None
    assert (state.phase, state.sync_result and state.sync_result.revision) == ("Succeeded", commit), state
    written = engine.api.get(CONFIG_MAP, namespace, "a")
    assert written is not None
    assert (written.body or {})["data"] == {"v": "2"}


def test_only_what_nobody_has_looked_at_yet_is_looked_at_as_the_cache_has_it(
    skiff_settings: Settings, namespace: str, git_repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of others the cache may not know yet what was written a moment ago: which hooks run, for one."""
    skiff = Skiff(skiff_settings)
    engine, key = skiff.engine, AppKey(namespace, "shop")
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    spec: dict[str, Any] = {
        "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
        "syncPolicy": {"automated": {}},
    }
    skiff.create_app("shop", spec)
    read, asked = HomeApplications.get, list[str]()

    def noted(self: HomeApplications, key: AppKey, *, since: str = "") -> Application | None:
        asked.append(since)
        return read(self, key, since=since)

    monkeypatch.setattr(HomeApplications, "get", noted)

    def look() -> list[str]:
        app = read(engine.applications, key)  # type: ignore[arg-type]
        assert app is not None
        asked.clear()
        engine.wake(turn_of(key), {EDITION: engine.applications.edition(app)})
        skiff.work()
        return asked[:1]

    assert look() == ["0"]
    assert engine.api.get(CONFIG_MAP, namespace, "a") is not None
    assert look() == [""]


class Death(BaseException):
    """Of a worker."""


@pytest.mark.parametrize("dies", [False, True])
def test_who_waits_for_another_is_woken_by_its_end_and_goes_on_all_the_same_where_nobody_lives_to_do_that(
    skiff_settings: Settings,
    namespace: str,
    git_repo: Repository,
    monkeypatch: pytest.MonkeyPatch,
    *,
    dies: bool,
) -> None:
    skiff = Skiff(skiff_settings)
    engine = skiff.engine
    shop, base = (turn_of(AppKey(skiff_settings.namespace, name)) for name in ("shop", "base"))
    git_repo.commit({f"{name}/it.yaml": configmap(name, v="1") for name in ("shop", "base")})
    skiff.create_healing_app("shop", git_repo.url, namespace)
    skiff.patch_app("shop", {"metadata": {"annotations": {"mooring.dev/depends-on": "base"}}})
    engine.wake(shop, {"look": "1"})
    skiff.work()
    assert engine.waiters.of(base) == (shop,)

    def die(*_: Any) -> None:
        raise Death

    def is_there(name: str) -> bool:
        return engine.api.get(CONFIG_MAP, namespace, name) is not None

    skiff.create_healing_app("base", git_repo.url, namespace)
    engine.wake(base, {"look": "1"})
    if dies:  # when the turn was given back, and nobody woken yet
        with monkeypatch.context() as patched, pytest.raises(Death):
            patched.setattr(upstream, "ended", die)
            skiff.work()
        assert (is_there("base"), is_there("shop")) == (True, False)
        assert engine.turns.held([base]) == frozenset()
        skiff.settle()
    else:
        skiff.work()
    assert (is_there("base"), is_there("shop")) == (True, True)


def _complete(live: Any) -> bool:
    conditions = live.body.get("status", {}).get("conditions", [])
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)
