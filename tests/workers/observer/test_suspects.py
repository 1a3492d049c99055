"""Which changes are somebody else's: held against a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.store.proofs import Proof, Proofs
from mooring.store.turns import Turns
from workers.apps.wishes import turn_of
from workers.observer.awaits import Seen
from workers.observer.suspects import Suspects
from workers.proof import mark

CLUSTER = ClusterRef("https://cluster.example.org")
APP = AppKey("home", "shop")
A, B = (ObjectKey("", "ConfigMap", "shop", name) for name in ("a", "b"))
RECORD = Proof("body", "schema", "uid", "7", 0, "meta", "fields")
NOW = 1_000.0


@pytest.fixture
def turns(redis_client: redis.Redis) -> Turns:
    return Turns(redis_client, lambda: NOW)


@pytest.fixture
def suspects(redis_client: redis.Redis, turns: Turns) -> Iterator[Suspects]:
    proofs = Proofs(redis_client)
    proofs.save(CLUSTER, APP, {A: RECORD, B: RECORD})
    yield Suspects(CLUSTER, proofs, turns, 180.0)
    proofs.forget(CLUSTER, APP)


def whose(applyset: str) -> AppKey | None:
    return APP if applyset == "ours" else None


def seen(key: ObjectKey, version: str = "7", status: str = "Healthy", applyset: str = "ours") -> Seen:
    return Seen(
        key,
        "uid",
        0,
        status,
        mark(replace(RECORD, resource_version=version), counted=False),
        applyset=applyset,
    )


def test_what_mooring_has_written_itself_is_no_news_and_what_others_have_is(suspects: Suspects) -> None:
    suspects.note([seen(A)])
    assert suspects.told(whose, NOW) == frozenset()
    suspects.note([seen(A), seen(B, "8")])
    assert suspects.told(whose, NOW) == {APP}
    assert suspects.told(whose, NOW) == frozenset(), "once"
    suspects.note([seen(A, "8", applyset="theirs")])
    assert suspects.told(whose, NOW) == frozenset()


def test_what_is_gone_is_news_unless_mooring_has_taken_it_away(suspects: Suspects) -> None:
    suspects.note([seen(ObjectKey("", "ConfigMap", "shop", "pruned"), status="")])
    assert suspects.told(whose, NOW) == frozenset()
    suspects.note([seen(A, status="")])
    assert suspects.told(whose, NOW) == {APP}


def test_what_has_a_record_and_is_not_listed_is_gone(suspects: Suspects) -> None:
    suspects.note([seen(A), seen(B)])
    suspects.note_all(["ours"], "", "ConfigMap")
    assert suspects.told(whose, NOW) == frozenset()
    suspects.note([seen(A)])
    suspects.note_all(["ours"], "", "Secret")
    assert suspects.told(whose, NOW) == frozenset()
    suspects.note([seen(A)])
    suspects.note_all(["ours"], "", "ConfigMap")
    assert suspects.told(whose, NOW) == {APP}


def test_while_somebody_works_on_the_app_nothing_is_told(suspects: Suspects, turns: Turns) -> None:
    turns.want(turn_of(APP), {"look": "1"})
    turn = turns.take(turn_of(APP))
    assert turn
    suspects.note([seen(A, "8")])
    assert suspects.told(whose, NOW) == frozenset()
    assert suspects.next_s(NOW)
    turns.release(turn, done=True)
    assert suspects.told(whose, NOW + 10) == {APP}


def test_who_changes_again_and_again_is_told_less_and_less_often(suspects: Suspects) -> None:
    told, version = [], 8
    for tenth in range(3000):
        version += 1
        suspects.note([seen(A, str(version))])
        if suspects.told(whose, NOW + tenth / 10):
            told.append(tenth / 10)
    assert told[0] == 0.0
    assert len(told) <= 9  # of 3,000
    suspects.note([seen(B, "8")])
    assert suspects.told(whose, NOW + 300.0) == {APP}, "the others are not kept back by that"
