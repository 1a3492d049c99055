"""What a look has found, taken into the list of drifts of an app: one drift is one event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.drift import Change, Done, Drift, What
from mooring.keys import ObjectKey
from workers.drift.events import MOST, Found, Log, found, settled

A, B = (ObjectKey("", "ConfigMap", "shop", name) for name in "ab")


CHANGED = (Change("data.v", '"1"', '"2"', "kubectl-edit"),)


def seen(
    key: ObjectKey = A,
    done: Done = Done.LEFT,
    *,
    changes: tuple[Change, ...] = CHANGED,
    again: bool = False,
) -> Found:
    return Found(key, What.CHANGED, changes, done, "selfHeal is off", again=again)


def test_a_drift_that_is_seen_again_and_again_is_one_and_is_news_once() -> None:
    log, news = found(Log(looked=5.0), [seen()], 10.0)
    assert [one.key for one in news] == [A]
    for now in (20.0, 30.0):
        log, news = found(log, [seen()], now)
        assert news == ()
    (one,) = log.drifts
    assert (one.since, one.seen, one.last, one.times, one.ended) == (5.0, 10.0, 30.0, 1, 0.0)


def test_another_field_of_an_object_that_has_drifted_belongs_to_the_same_drift() -> None:
    log, _ = found(Log(), [seen()], 10.0)
    more = (*seen().changes, Change("data.w", '"1"', None))
    log, _ = found(log, [seen(changes=more)], 20.0)
    (one,) = log.drifts
    assert one.changes == more


def test_what_is_put_back_is_over_and_the_next_drift_of_the_object_is_another() -> None:
    log, _ = found(Log(looked=5.0), [seen(done=Done.HEALING)], 10.0)
    log, over = settled(log, {A: True}, {A}, "the sync of noon", 11.0)
    assert [(one.done, one.why, one.ended) for one in over] == [
        (Done.HEALED, "put back by the sync of noon", 11.0)
    ]
    log, _ = found(log, [seen()], 20.0)
    assert [one.done for one in log.drifts] == [Done.LEFT, Done.HEALED]
    assert log.drifts[0].since == 11.0  # it was as Git wants it when it was put back


def test_one_that_is_contested_stays_one_however_often_it_comes() -> None:
    log, _ = found(Log(), [seen(done=Done.HEALING)], 10.0)
    for now in (20.0, 30.0):
        log, _ = settled(log, {A: True}, {A}, "", now)
        log, news = found(log, [seen(done=Done.CONTESTED, again=True)], now + 5.0)
        assert [one.done for one in news] == [Done.CONTESTED]
    (one,) = log.drifts
    assert (one.times, one.seen, one.ended) == (3, 10.0, 0.0)


def test_what_others_put_back_is_no_doing_of_ours_and_what_left_git_is_over() -> None:
    log, _ = found(Log(), [seen(A), seen(B)], 10.0)
    log, over = settled(log, {A: True}, (), "", 20.0)
    assert {one.key: one.why for one in over} == {
        A: "as Git has it again, without a sync having written it",
        B: "the object has left Git",
    }
    assert all(one.done is Done.SETTLED for one in log.drifts)


def test_one_whose_sync_died_after_its_write_was_put_back_by_it() -> None:
    log, _ = found(Log(), [seen(done=Done.HEALING)], 10.0)
    _, (over,) = settled(log, {A: True}, (), "the sync of noon", 20.0)
    assert over.done is Done.HEALED


def test_what_is_ignored_is_over_at_once_and_told_once_for_the_same_fields() -> None:
    log, news = found(Log(), [seen(done=Done.IGNORED)], 10.0)
    assert [one.open for one in news] == [False]
    log, news = found(log, [seen(done=Done.IGNORED)], 20.0)
    assert (len(log.drifts), news) == (1, ())
    log, news = found(log, [seen(done=Done.IGNORED, changes=(Change("data.w", "1", "2"),))], 30.0)
    assert (len(log.drifts), len(news)) == (2, 1)


def test_fields_that_others_set_in_turn_are_told_once_each_and_written_where_they_have_changed() -> None:
    def ignored(field: str, value: str = "2") -> Found:
        return seen(done=Done.IGNORED, changes=(Change(field, "1", value),))

    log = Log()
    for now, field in enumerate(("data.v", "data.w") * 3, 1):
        log, news = found(log, [ignored(field)], float(now))
        assert len(news) == (now <= 2)
    assert len(log.drifts) == 2
    assert found(log, [ignored("data.v")], 99.0) == (log, ())
    log, news = found(log, [ignored("data.v", "3")], 99.0)
    assert (log.drifts[0].changes[0].found, log.drifts[0].last, news) == ("3", 99.0, ())


def test_what_is_left_to_others_takes_no_room_from_what_has_drifted() -> None:
    log, _ = found(Log(), [seen()], 10.0)
    log, _ = settled(log, {A: True}, (A,), "a sync", 11.0)
    others = [ObjectKey("", "ConfigMap", "shop", f"c{n}") for n in range(MOST)]
    log, _ = found(log, [seen(key, Done.IGNORED) for key in others], 20.0)
    assert len(log.drifts) == MOST
    assert log.of(A) is not None


def test_of_many_at_once_as_many_are_kept_as_there_is_room_for_and_always_the_same() -> None:
    many = [seen(ObjectKey("", "ConfigMap", "shop", f"c{n}")) for n in range(MOST + 20)]
    log, news = found(Log(), many, 10.0)
    assert (len(log.drifts), len(news)) == (MOST, MOST)
    again, news = found(log, many, 20.0)
    assert (news, {one.key for one in again.drifts}) == ((), {one.key for one in log.drifts})


keys = st.sampled_from([ObjectKey("", "ConfigMap", "shop", name) for name in "abc"])
looks = st.lists(
    st.dictionaries(
        keys, st.sampled_from([Done.LEFT, Done.HEALING, Done.CONTESTED, Done.IGNORED]), max_size=3
    ),
    max_size=12,
)


@given(looks)
@settings(max_examples=200, derandomize=True)
def test_at_any_time_an_object_has_one_open_drift_at_most_just_where_it_differs(
    told: list[Mapping[ObjectKey, Done]],
) -> None:
    log, all_keys = Log(), {ObjectKey("", "ConfigMap", "shop", name) for name in "abc"}
    for step, differs in enumerate(told, 1):
        now = 10.0 * step
        really = {key for key, done in differs.items() if done is not Done.IGNORED}
        log, _ = found(log, [seen(key, done) for key, done in differs.items()], now)
        log, over = settled(log, {key: key not in really for key in all_keys}, (), "", now + 1.0)
        assert sorted(one.key for one in log.drifts if one.open) == sorted(really)
        assert not any(one.key in really for one in over)
        assert all(one.since <= one.seen <= one.last for one in log.drifts)
        last = [one.last for one in log.drifts]
        assert last == sorted(last, reverse=True)


def test_who_is_told_as_a_name_and_when_as_a_span_where_nobody_knows_better() -> None:
    removed = Change("data.v", '"1"', None)
    set_ = Change("data.w", '"1"', '"2"', "kubectl-edit", time="2026-01-01T00:00:00Z")
    drift = Drift(A, What.CHANGED, (removed, set_), 0, 0.0, 60.0, 60.0, Done.LEFT, "")
    assert drift.summary == "data.v, data.w, set by kubectl-edit (as it calls itself)"
    assert drift.when(set_) == "2026-01-01T00:00:00Z"
    assert drift.when(removed) == "between nobody knows when and 1970-01-01T00:01:00Z"
    assert replace(drift, since=30.0).when(removed).startswith("between 1970-01-01T00:00:30Z and ")
