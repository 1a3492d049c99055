"""Stories of proof records: a cache that may be lost but never lies."""

from __future__ import annotations

import pytest
import redis

from mooring.keys import IN_CLUSTER, AppKey, ClusterRef, ObjectKey
from mooring.store.proofs import Proof, Proofs

APP = AppKey("mooring", "shop")
WEB = ObjectKey("apps", "Deployment", "shop", "web")
ROLE = ObjectKey("rbac.authorization.k8s.io", "ClusterRole", "", "system:shop")
PROOF = Proof("body", "v1.37.2", "uid", "42", 3, "meta", "fields")


@pytest.fixture
def proofs(redis_client: redis.Redis) -> Proofs:
    return Proofs(redis_client)


def test_what_is_saved_is_loaded(proofs: Proofs) -> None:
    saved = {WEB: PROOF, ROLE: Proof("b", "s", "u", "1", 0, "m", "f")}
    proofs.save(IN_CLUSTER, APP, saved)
    assert proofs.load(IN_CLUSTER, APP) == saved


def test_only_the_records_that_are_asked_for_are_read(proofs: Proofs) -> None:
    proofs.save(IN_CLUSTER, APP, {WEB: PROOF, ROLE: PROOF})
    other = ObjectKey("", "ConfigMap", "shop", "never-applied")
    assert proofs.of(IN_CLUSTER, APP, [WEB, other]) == {WEB: PROOF}
    assert proofs.of(IN_CLUSTER, APP, []) == {}


def test_what_is_gone_is_forgotten_and_the_rest_stays(proofs: Proofs) -> None:
    proofs.save(IN_CLUSTER, APP, {WEB: PROOF, ROLE: PROOF})
    proofs.save(IN_CLUSTER, APP, {}, gone=[WEB])
    proofs.save(IN_CLUSTER, APP, {}, gone=[])
    assert proofs.load(IN_CLUSTER, APP) == {ROLE: PROOF}
    proofs.forget(IN_CLUSTER, APP)
    assert proofs.load(IN_CLUSTER, APP) == {}


def test_apps_and_clusters_have_records_of_their_own(proofs: Proofs) -> None:
    proofs.save(IN_CLUSTER, APP, {WEB: PROOF})
    assert proofs.load(ClusterRef("https://other"), APP) == {}
    assert proofs.load(IN_CLUSTER, AppKey("mooring", "other")) == {}


@pytest.mark.parametrize(
    "value", [b"", b"null", b"[]", b"[1,2]", b"{}", b'"text"', b"[1,2,3,4,5,6,7,8]", b"\xff"]
)
def test_one_unreadable_record_does_not_hide_the_others(
    proofs: Proofs, redis_client: redis.Redis, value: bytes
) -> None:
    proofs.save(IN_CLUSTER, APP, {WEB: PROOF})
    (key,) = redis_client.keys()
    redis_client.hset(key, str(ROLE), value)
    redis_client.hset(key, "no key", b"[]")
    assert proofs.load(IN_CLUSTER, APP) == {WEB: PROOF}
    assert proofs.of(IN_CLUSTER, APP, [WEB, ROLE]) == {WEB: PROOF}
