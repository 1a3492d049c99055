"""A proof of no drift that is wrong, for whatever reason, is found out within a day."""

from __future__ import annotations

import orjson
import pytest

from devcluster.gitserver import Repository
from mooring.keys import AppKey
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ship_settings() -> dict[str, str]:
    """One reconciliation a day: each has the turn of all objects."""
    return {"MOORING_RECONCILE_SECONDS": "86400"}


def test_drift_that_a_false_proof_hides_is_seen_by_the_days_dry_run(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("proved", git_repo, namespace, selfHeal=False)
    ship.synced("proved", commit)
    ship.quiet()
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    drifted = ship.ask(
        path, {"data": {"v": "drift"}}, method="PATCH", content_type="application/merge-patch+json"
    )
    with ship.redis() as client:
        (proofs,) = client.keys(f"mooring:proofs:*:{AppKey(ship.home, 'proved')}")
        ((field, value),) = client.hgetall(proofs).items()
        proof = orjson.loads(value)
        proof[3] = drifted["metadata"]["resourceVersion"]
        client.hset(proofs, field, orjson.dumps(proof))

    ship.refresh("proved")
    assert ship.resource("proved", "a")["status"] == "Synced", "the proof is believed"
    ship.reconcile("proved")
    until("the drift", lambda: ship.resource("proved", "a")["status"] == "OutOfSync")
