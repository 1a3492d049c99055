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


def _complete(live: Any) -> bool:
    conditions = live.body.get("status", {}).get("conditions", [])
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)
