"""What is left to be right when pushes come while an application is being worked on."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.keys import AppKey
from mooring.settings import Settings
from tests.stories.ship import configmap, until
from tests.stories.test_hooks import job
from tests.workers.skiff import CONFIG_MAP, Skiff
from workers.apps.wishes import turn_of
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


def _complete(live: Any) -> bool:
    conditions = live.body.get("status", {}).get("conditions", [])
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)
