"""What is deployed, as Argo CD's schema tells it of one source and of several."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.model.pinned import Pinned, revisions_of
from mooring.model.spec import Destination, Source, SyncOperation
from mooring.model.status import ComparedTo, RevisionHistory, SyncResult, SyncStatus

WEB, DB = Source(repo_url="https://a/web"), Source(repo_url="https://a/db")
ONE, TWO = Pinned((WEB,), ("1",)), Pinned((WEB, DB), ("1", "2"), True)


def compared(pinned: Pinned) -> SyncStatus:
    at = ComparedTo(destination=Destination(), **pinned.source_fields)
    return SyncStatus(status="Synced", compared_to=at, **pinned.revision_fields)


def test_one_source_is_told_by_source_and_revision_and_a_list_by_lists() -> None:
    assert SyncResult(**ONE.source_fields, **ONE.revision_fields) == SyncResult(revision="1", source=WEB)
    told = SyncResult(**TWO.source_fields, **TWO.revision_fields)
    assert told == SyncResult(revision="", sources=(WEB, DB), revisions=("1", "2"))
    listed = Pinned((WEB,), ("1",), True)
    assert listed.revision_fields == {"revision": "", "revisions": ("1",)}, "a list of one is a list"


revisions = st.text(min_size=1, max_size=3)


@given(st.lists(st.tuples(st.sampled_from([WEB, DB]), revisions), min_size=1, max_size=4), st.booleans())
def test_what_was_told_is_read_again(pairs: list[tuple[Source, str]], several: bool) -> None:
    pairs = pairs if several else pairs[:1]
    pinned = Pinned(tuple(s for s, _ in pairs), tuple(r for _, r in pairs), several)
    fields: dict[str, Any] = {**pinned.source_fields, **pinned.revision_fields}
    assert Pinned.compared(compared(pinned)) == pinned
    assert Pinned.deployed(SyncResult(**fields)) == pinned
    assert Pinned.deployed(RevisionHistory(id=1, deployed_at="", **fields)) == pinned
    assert revisions_of(compared(pinned)) == pinned.revisions


def test_a_status_that_does_not_tell_of_each_source_tells_nothing() -> None:
    assert Pinned.compared(None) is None
    assert Pinned.compared(SyncStatus(status="Unknown")) is None
    whole = compared(TWO)
    assert Pinned.compared(whole.model_copy(update={"revisions": ("1",)})) is None
    assert Pinned.compared(whole.model_copy(update={"revisions": ("1", "")})) is None
    assert Pinned.compared(compared(ONE).model_copy(update={"revision": ""})) is None
    assert revisions_of(SyncOperation()) == revisions_of(None) == ()


def test_only_the_sources_that_a_push_is_about_move() -> None:
    assert TWO.moved({1: "3"}) == Pinned((WEB, DB), ("1", "3"), True)
    assert TWO.moved({}) == TWO


def test_people_see_the_beginning_of_an_id_and_the_whole_of_a_version() -> None:
    digest = "sha256:" + "b" * 64
    assert str(Pinned((WEB,) * 3, ("a" * 40, "1.2.3-rc.1+build.5", digest), True)) == (
        f"{'a' * 12}, 1.2.3-rc.1+build.5, sha256:{'b' * 12}"
    )
