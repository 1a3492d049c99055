"""Beat: what it sends really finds what was lost, and any number of them sends as one."""

from __future__ import annotations

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster

LEASE = "beat holds the lease"


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    return {"MOORING_POLL_SECONDS": "2"}


def test_a_lost_push_is_found_by_the_poll_that_beat_sends_and_by_the_next_beats_when_one_is_killed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("polled", git_repo, namespace)
    ship.synced("polled", first)

    second = git_repo.commit({"a.yaml": configmap("a", v="2")})  # and nobody delivers it
    ship.synced("polled", second)
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}

    with ship.redis() as client:
        holder = client.get("mooring:lease:beat")
        ship.start("beat-2")
        until(
            "beat to renew its lease beside the other",
            lambda: (client.pttl("mooring:lease:beat") or 0) < 8000,
        )
        until("and again", lambda: (client.pttl("mooring:lease:beat") or 0) > 9000)
        assert client.get("mooring:lease:beat") == holder
        assert LEASE not in ship.log("beat-2"), "one of them sends"

        ship.kill("beat")
        until("the other to take over", lambda: LEASE in ship.log("beat-2"))
        assert client.get("mooring:lease:beat") != holder
    third = git_repo.commit({"a.yaml": configmap("a", v="3")})
    ship.synced("polled", third)
