"""A push to a repository that is nobody's source, but a base of one: told by its webhook, found at once."""

from __future__ import annotations

import pytest

from devcluster.gitserver import GitServer, Repository
from tests.stories.ship import Ship, configmap
from tests.stories.test_elsewhere import base, overlay

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    return {"MOORING_POLL_SECONDS": "3600", "MOORING_REMOTE_HOSTS": "127.0.0.1"}


def test_a_webhook_of_a_base_syncs_its_readers_and_answers_when_they_are(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    bases = git_server.create("team/bases")
    bases.commit(base("blue"))
    commit = git_repo.commit({**overlay(bases, "moves"), "alone/map.yaml": configmap("alone", v="blue")})
    for name in ("moves", "alone"):
        ship.create_app(name, git_repo, namespace, path=name)
    for name in ("moves", "alone"):
        ship.synced(name, commit)
    ship.quiet()

    told = ship.finished(ship.deliver(bases, bases.commit(base("white"))))

    assert told["outcome"] == "synced"
    assert ship.configmap(namespace, "moves-map")["data"] == {"v": "white"}
    assert {stage["app"] for stage in told["stages"] if stage["name"] == "applied"} == {f"{ship.home}_moves"}

    unread = bases.commit({"elsewhere/README.md": "Not read by anybody."}, branch="draft")
    told = ship.finished(ship.deliver(bases, unread, ref="refs/heads/draft"))
    assert told["outcome"] == "no Application follows this repository and revision"
