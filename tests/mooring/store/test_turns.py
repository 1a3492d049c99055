"""Stories of turns, told to a real Redis with a clock of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from devcluster.redis import RedisServer
from mooring.store.connection import connect
from mooring.store.turns import OPEN, PREFIX, Ended, Turn, Turns
from mooring.store.waiters import Waiters, waiting_for

LEASE = 8.0
APP = "app:mooring_shop"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(redis_client: redis.Redis, clock: Clock) -> Turns:
    return Turns(redis_client, clock, LEASE)


def take(turns: Turns, name: str = APP) -> Turn:
    turn = turns.take(name)
    assert turn is not None
    return turn


def test_a_burst_of_200_wishes_costs_two_turns_and_the_second_sees_the_newest(turns: Turns) -> None:
    assert turns.want(APP, {"commit": "0"})
    tasks = 1
    runs: list[Turn] = []
    for number in range(1, 200):
        if tasks and len(runs) == 0 and number == 3:  # the first task arrives while the burst goes on
            runs.append(take(turns))
            tasks -= 1
        tasks += turns.want(APP, {"commit": str(number)})
    assert tasks == 0
    assert turns.release(runs[0], done=True)
    runs.append(take(turns))
    assert runs[1].wishes == {"commit": "199"}
    assert not turns.release(runs[1], done=True)
    assert turns.take(APP) is None


def test_a_wish_during_a_turn_leads_to_another_turn(turns: Turns) -> None:
    turns.want(APP, {"commit": "a"})
    first = take(turns)
    assert not turns.want(APP, {"commit": "b"}), "its holder enqueues it"
    assert turns.release(first, done=True)
    second = take(turns)
    assert second.wishes["commit"] == "b"
    assert not turns.release(second, done=True)


def test_who_is_in_a_hurry_does_not_wait_behind_what_has_time(turns: Turns) -> None:
    assert turns.want(APP, {"compare": "1"}, background=True)
    assert not turns.want(APP, {"compare": "1"}, background=True), "a task waits already"
    assert turns.want(APP, {"commit": "a"}), "that task may wait long: another is sent to a quicker queue"
    assert not turns.want(APP, {"commit": "b"})
    assert not turns.want(APP, {"compare": "1"}, background=True)

    turn = take(turns)
    assert turn.wishes == {"compare": "1", "commit": "b"}
    assert not turns.release(turn, done=True)
    assert turns.take(APP) is None, "the task that had time finds nothing left to do"


def test_a_wish_that_stands_somewhere_is_one_wish_however_often_it_is_seen(
    turns: Turns, clock: Clock
) -> None:
    assert turns.want(APP, {"refresh": "hard"}, standing=True)
    first = take(turns)
    turns.park(APP, clock.now + 300)
    turns.release(first, done=False, again=False)

    assert not turns.want(APP, {"refresh": "hard"}, standing=True), "it wakes nothing that was put off"
    assert turns.take(APP) is not None
    clock.now += LEASE + 1
    assert turns.orphans() == (APP,), "nor is it forgotten"
    again = take(turns)
    assert turns.want(APP, {"refresh": "normal"}, standing=True) is False
    assert turns.release(again, done=True), "what was written since is another wish"
    turns.release(take(turns), done=True)
    assert turns.want(APP, {"refresh": "normal"}, standing=True), "and so is the same one once it was served"


def test_only_one_worker_holds_a_turn(turns: Turns) -> None:
    turns.want(APP, {})
    take(turns)
    assert turns.take(APP) is None
    assert not turns.want(APP, {})
    assert turns.take(APP) is None


def test_the_turn_of_a_dead_worker_is_found_and_taken_over_with_all_it_had(
    turns: Turns, clock: Clock
) -> None:
    turns.want(APP, {"commit": "a"}, ["d1"])
    dead = take(turns)
    assert turns.orphans() == ()
    clock.now += LEASE + 0.01
    assert turns.orphans(patience_s=0) == (APP,)
    heir = take(turns)
    assert (heir.wishes, heir.deliveries, heir.tries) == ({"commit": "a"}, ("d1",), 2)
    assert not turns.renew(dead), "the dead one would stop"
    assert turns.renew(heir)


def test_an_orphan_is_named_once_per_patience(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {})
    assert turns.orphans() == (), "its task may merely wait"
    clock.now += 10.01
    assert turns.orphans() == (APP,)
    assert turns.orphans() == ()
    clock.now += 10.01
    assert turns.orphans() == (APP,)


def test_who_ends_a_turn_is_told_whether_somebody_waits_for_that(
    turns: Turns, redis_client: redis.Redis, clock: Clock
) -> None:
    waiters = Waiters(redis_client)
    turns.want(APP, {})
    waiters.add(["app:other"], "app:shop")
    first = take(turns)
    assert turns.end(first) == Ended(again=False, awaited=False)

    turns.want(APP, {})
    turn = take(turns)
    waiters.add([APP], "app:shop")  # while it is held
    turns.want(APP, {})
    assert turns.end(turn) == Ended(again=True, awaited=True)
    turn = take(turns)
    clock.now += LEASE + 0.01
    heir = take(turns)
    assert turns.end(turn) == Ended(again=False, awaited=True), "lost: who waits is woken all the same"
    waiters.forget(APP, ["app:shop"])
    assert turns.end(heir) == Ended(again=False, awaited=False)


def test_nobody_falls_between_the_end_of_a_turn_and_the_look_at_who_waits_for_it(
    turns: Turns, redis_client: redis.Redis
) -> None:
    """Who waits leaves word first, and looks after that whether the turn is open still."""
    waiters = Waiters(redis_client)
    turns.want(APP, {})
    turn = take(turns)
    waiters.add([APP], "app:early")
    assert turns.any_open([APP])
    assert turns.end(turn).awaited
    assert not turns.any_open([APP]), "who comes now sees that it need not wait"
    assert waiters.of(APP) == ("app:early",), "should its holder die now, the next end wakes it"


def test_who_holds_a_turn_need_not_ask_before_anybody_else_could_have_it(
    turns: Turns, redis_client: redis.Redis, clock: Clock
) -> None:
    turns.want(APP, {})
    turn = take(turns)
    clock.now += LEASE / 2 - 0.01
    asked = redis_client.info("stats")["total_commands_processed"]
    assert turns.holds(turn)
    assert redis_client.info("stats")["total_commands_processed"] == asked + 1, "that of INFO"

    clock.now += LEASE / 2
    assert turns.holds(turn), "nobody has taken it: it is held for another lease"
    clock.now += LEASE / 2
    assert turns.take(APP) is None
    clock.now += LEASE / 2 + 0.02
    heir = take(turns)
    assert not turns.holds(turn)
    assert turns.holds(heir)


def test_a_garbled_list_of_who_waits_spoils_no_turn(redis_url: str, clock: Clock) -> None:
    client = connect(redis_url)
    turns = Turns(client, clock, LEASE)
    client.set(waiting_for(APP), "garbage")
    turns.want(APP, {"commit": "a"})
    turn = take(turns)
    turns.want(APP, {"commit": "b"})
    assert turns.end(turn) == Ended(again=True, awaited=True)
    assert take(turns).wishes["commit"] == "b"
    assert Waiters(client).of(APP) == ()


def test_who_has_lost_its_lease_gives_nothing_back(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {"commit": "a"}, ["d1"])
    late = take(turns)
    clock.now += LEASE + 0.01
    heir = take(turns)
    assert not turns.release(late, done=True)
    assert turns.take(APP) is None, "the heir still holds it"
    assert turns.renew(heir)
    assert not turns.release(heir, done=False, again=False)
    assert take(turns).deliveries == ("d1",)


def test_deliveries_are_answered_once_and_none_is_lost(turns: Turns) -> None:
    turns.want(APP, {}, ["d1"])
    turns.want(APP, {}, ["d2"])
    first = take(turns)
    turns.want(APP, {}, ["d3"])
    assert first.deliveries == ("d1", "d2")
    turns.release(first, done=False)
    again = take(turns)
    assert again.deliveries == ("d1", "d2", "d3")
    turns.want(APP, {}, ["d4"])
    assert turns.release(again, done=True)
    assert take(turns).deliveries == ("d4",)


def test_wishes_are_kept_until_they_are_served(turns: Turns) -> None:
    turns.want(APP, {"commit": "a", "refresh": "hard"})
    assert turns.release(take(turns), done=False)
    turns.want(APP, {"commit": "b"})
    served = take(turns)
    assert served.wishes == {"commit": "b", "refresh": "hard"}
    turns.release(served, done=True)
    turns.want(APP, {"look": "1"})
    assert take(turns).wishes == {"look": "1"}


def test_tries_count_the_holders_that_never_gave_the_turn_back(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {})
    for number in (1, 2, 3):
        turn = take(turns)
        assert turn.tries == number
        clock.now += LEASE + 1  # its holder died
    turns.release(take(turns), done=False)
    assert take(turns).tries == 1


def test_waits_count_how_often_a_turn_was_put_off(turns: Turns) -> None:
    turns.want(APP, {})
    for number in (0, 1, 2):
        turn = take(turns)
        assert (turn.waits, turn.tries) == (number, 1)
        assert not turns.release(turn, done=False, again=False)
    turns.release(take(turns), done=True)
    turns.want(APP, {})
    assert take(turns).waits == 0


def test_a_turn_that_is_put_off_does_not_hold_up_what_is_newer(turns: Turns) -> None:
    turns.want(APP, {"commit": "a"})
    turn = take(turns)
    assert not turns.want(APP, {"commit": "b"})
    assert turns.release(turn, done=False, again=False)
    assert take(turns).wishes == {"commit": "b"}


def test_a_parked_turn_is_no_orphan_but_a_newer_wish_may_take_it(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {"commit": "a"})
    turn = take(turns)
    turns.park(APP, clock.now + 300)
    assert not turns.release(turn, done=False, again=False)
    clock.now += 60
    assert turns.orphans() == ()
    assert turns.want(APP, {"commit": "b"}), "a newer commit does not wait for the retry's time"
    assert take(turns).wishes == {"commit": "b"}


def test_a_worker_that_dies_in_an_early_retry_is_found_by_its_lease_and_not_when_the_park_ends(
    turns: Turns, clock: Clock
) -> None:
    turns.want(APP, {})
    turn = take(turns)
    turns.park(APP, clock.now + 300)
    turns.release(turn, done=False, again=False)
    turns.want(APP, {})
    take(turns)
    clock.now += LEASE + 0.01
    assert turns.orphans(patience_s=0) == (APP,)


def test_a_parked_turn_whose_due_step_was_lost_is_found_after_its_time(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {})
    turn = take(turns)
    turns.park(APP, clock.now + 20)
    turns.release(turn, done=False, again=False)
    clock.now += 20.01
    assert turns.orphans() == (APP,)


def test_a_turn_that_is_left_half_done_goes_on_where_it_was(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {"commit": "a"}, ["first"])
    turn = take(turns)
    assert not turns.leave(turn, {"half": "done"}, clock.now + 20)
    clock.now += 19
    assert turns.orphans() == ()
    again = take(turns)
    assert (again.seq, again.waits) == (turn.seq, 0), "that is no other wish, and nothing was put off"
    assert again.wishes == {"commit": "a", "half": "done"}
    assert again.deliveries == ("first",)
    assert not turns.release(again, done=True)


def test_what_is_newer_does_not_wait_for_who_goes_on_with_a_turn_left_half_done(
    turns: Turns, clock: Clock
) -> None:
    turns.want(APP, {"commit": "a"})
    assert not turns.leave(take(turns), {"half": "done"}, clock.now + 20)
    assert turns.want(APP, {"commit": "b"}), "as from nobody's turn"
    turn = take(turns)
    assert not turns.want(APP, {"commit": "c"})
    assert turns.leave(turn, {"half": "done"}, clock.now + 20), "nor if it came while the turn was held"
    assert take(turns).wishes["commit"] == "c"


def test_who_has_lost_its_turn_leaves_nothing_with_it(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {"commit": "a"})
    late = take(turns)
    clock.now += LEASE + 0.01
    turns.orphans()
    owner = take(turns)
    assert not turns.leave(late, {"half": "done"}, clock.now + 20)
    assert turns.renew(owner)
    turns.release(owner, done=False)
    assert take(turns).wishes == {"commit": "a"}


def test_a_turn_that_was_left_and_never_taken_again_is_found(turns: Turns, clock: Clock) -> None:
    turns.want(APP, {})
    turns.leave(take(turns), {"half": "done"}, clock.now + 20)
    clock.now += 20.01
    assert turns.orphans() == (APP,)


def test_nothing_wanted_is_never_taken(turns: Turns, redis_client: redis.Redis) -> None:
    assert turns.take(APP) is None
    turns.want(APP, {})
    turns.release(take(turns), done=True)
    assert turns.take(APP) is None
    assert redis_client.scard(OPEN) == 0


def test_what_is_wanted_does_not_expire_with_what_was_done_before(
    turns: Turns, redis_client: redis.Redis
) -> None:
    turns.want(APP, {})
    turns.release(take(turns), done=True)
    assert redis_client.ttl(PREFIX + APP) > 0, "what is at rest is forgotten in the end"
    turns.want(APP, {"commit": "a"}, ["d1"])
    assert redis_client.ttl(PREFIX + APP) == -1
    take(turns)
    assert redis_client.ttl(PREFIX + APP) == -1


def test_a_turn_that_is_garbled_is_begun_anew_and_forgets_no_other(
    redis_url: str, redis_client: redis.Redis, clock: Clock
) -> None:
    turns = Turns(connect(redis_url), clock, LEASE)
    turns.want("app:other", {})
    redis_client.set(PREFIX + APP, "garbage")
    assert turns.want(APP, {"commit": "a"})
    assert redis_client.smembers(OPEN) == {b"app:other", APP.encode()}
    redis_client.delete(OPEN)
    redis_client.set(OPEN, "garbage")
    assert not turns.want(APP, {"commit": "b"}), "its task waits still"
    assert redis_client.smembers(OPEN) == {APP.encode()}


def test_names_do_not_touch_each_other(turns: Turns) -> None:
    turns.want("app:a", {"commit": "a"}, ["d1"])
    turns.want("app:b", {"commit": "b"}, ["d2"])
    a, b = take(turns, "app:a"), take(turns, "app:b")
    assert (a.wishes, a.deliveries) == ({"commit": "a"}, ("d1",))
    assert (b.wishes, b.deliveries) == ({"commit": "b"}, ("d2",))


@dataclass
class Model:
    """What turns promise, written down without Redis."""

    unserved: int = 0  # wishes since the last served one
    undelivered: list[str] = field(default_factory=list)
    holder: Turn | None = None
    expires: float = 0.0
    tasks: int = 0  # messages on the queue


class TurnsMachine(RuleBasedStateMachine):
    """Any order of wishes, takes, renewals, ends, deaths and lost messages."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.url)
        self.client.flushdb()
        self.clock = Clock()
        self.turns = Turns(self.client, self.clock, LEASE)
        self.model = Model()
        self.losers: list[Turn] = []
        self.told: list[str] = []
        self.count = 0

    def teardown(self) -> None:
        # Whatever happened: time and beat bring every wish and every delivery to an end.
        for _ in range(4):
            self.clock.now += 400
            for name in self.turns.orphans():
                assert name == APP
                turn = self.turns.take(APP)
                if turn is not None:
                    self.told += turn.deliveries
                    self.turns.release(turn, done=True)
        assert self.turns.take(APP) is None
        assert self.told == [f"d{number}" for number in range(self.count)]
        self.client.close()

    def held(self) -> bool:
        return self.model.holder is not None and self.model.expires > self.clock.now

    @rule(background=st.booleans())
    def want(self, background: bool) -> None:
        delivery = f"d{self.count}"
        self.count += 1
        send = self.turns.want(APP, {"commit": delivery}, [delivery], background=background)
        self.model.unserved += 1
        self.model.undelivered.append(delivery)
        assert not (send and self.held()), "the holder sees to it"
        self.model.tasks += send

    @rule()
    def take(self) -> None:
        if self.model.tasks == 0:
            return
        self.model.tasks -= 1
        held = self.held()
        turn = self.turns.take(APP)
        assert (turn is not None) == (not held and self.model.unserved > 0)
        if turn is None:
            return
        if self.model.holder is not None:
            self.losers.append(self.model.holder)
        self.model.holder, self.model.expires = turn, self.clock.now + LEASE
        assert list(turn.deliveries) == self.model.undelivered
        assert turn.wishes["commit"] == self.model.undelivered[-1]

    @rule()
    def renew(self) -> None:
        if self.model.holder is not None:
            assert self.turns.renew(self.model.holder)
            self.model.expires = self.clock.now + LEASE

    @rule()
    def make_sure(self) -> None:
        turn = self.model.holder
        if turn is not None:
            assert self.turns.holds(turn)
            if self.clock.now >= turn.sure_until / 1000:
                self.model.expires = self.clock.now + LEASE

    @rule(done=st.booleans())
    def release(self, done: bool) -> None:
        turn = self.model.holder
        if turn is None:
            return
        if done:
            count = len(turn.deliveries)
            self.told += self.model.undelivered[:count]
            self.model.undelivered = self.model.undelivered[count:]
            self.model.unserved = len(self.model.undelivered)
        self.model.holder = None
        assert self.turns.release(turn, done=done) == (self.model.unserved > 0)
        self.model.tasks += self.model.unserved > 0

    @rule()
    def leave(self) -> None:
        turn = self.model.holder
        if turn is None:
            return
        self.model.holder = None
        newer = len(self.model.undelivered) > len(turn.deliveries)
        assert self.turns.leave(turn, {"half": "done"}, self.clock.now + 10) == newer
        self.model.tasks += 1  # now or later, one is sent

    @rule(done=st.booleans())
    def a_loser_wakes_up(self, done: bool) -> None:
        if self.losers:
            turn = self.losers.pop()
            assert not self.turns.holds(turn)
            assert not self.turns.renew(turn)
            assert not self.turns.release(turn, done=done)

    @rule()
    def a_message_is_lost(self) -> None:
        self.model.tasks = max(0, self.model.tasks - 1)

    @rule(seconds=st.sampled_from([0.5, LEASE / 2, LEASE + 0.01, 30]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def beat(self) -> None:
        orphans = self.turns.orphans()
        if orphans:
            assert orphans == (APP,)
            assert self.model.unserved
            assert not self.held()
            if self.model.holder is not None:  # taken for dead: it has lost the turn, should it wake up
                self.losers.append(self.model.holder)
                self.model.holder = None
        self.model.tasks += len(orphans)

    @invariant()
    def wishes_are_open_until_served(self) -> None:
        if self.model.unserved:
            assert self.client.sismember(OPEN, APP)


def test_no_order_of_events_loses_a_wish_or_a_delivery(redis_server: RedisServer, redis_url: str) -> None:
    TurnsMachine.url = redis_url
    TurnsMachine.TestCase.settings = settings(
        max_examples=60,
        stateful_step_count=25,
    )
    TurnsMachine.TestCase("runTest").runTest()
