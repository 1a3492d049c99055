"""What somebody synced by hand in the place of what Git has is no longer taken for that once it has ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from devcluster.gitserver import GitServer
from mooring.settings import Settings
from tests.stories.ship import configmap
from tests.workers.skiff import Skiff

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]


@pytest.fixture
def skiff(skiff_settings: Settings) -> Iterator[Skiff]:
    found = Skiff(skiff_settings)
    yield found
    found.delete_app("shop")


def test_an_older_commit_synced_by_hand_is_out_of_sync_and_gone_once_syncs_are_automated(
    skiff: Skiff, git_server: GitServer
) -> None:
    repo, namespace = git_server.create(f"apart-{secrets.token_hex(5)}"), f"test-{secrets.token_hex(5)}"
    older = repo.commit({"shop/a.yaml": configmap("a", v="1")})
    newest = repo.commit({"shop/a.yaml": configmap("a", v="2")})
    skiff.create_namespace(namespace)
    skiff.create_app(
        "shop",
        {
            "source": {"repoURL": repo.url, "path": "shop", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
        },
    )
    skiff.settle()

    skiff.patch_app("shop", {"operation": {"sync": {"revision": older}}})
    skiff.settle()
    assert skiff.config_maps(namespace) == {"a": "1"}
    sync = skiff.app("shop").status.sync
    assert sync is not None
    assert (sync.status, sync.revision) == ("OutOfSync", newest), "as Argo CD has it: Git's newest is meant"

    skiff.patch_app("shop", {"spec": {"syncPolicy": {"automated": {}}}})
    skiff.settle()
    assert skiff.config_maps(namespace) == {"a": "2"}
    skiff.delete_namespace(namespace)
