"""When the status of an app is to follow the health of its objects, where nobody waits for that."""

from __future__ import annotations

from mooring.keys import ObjectKey
from tests.workers.observer.test_awaits import app, at, key, resource
from workers.observer.ailing import Ailing
from workers.observer.awaits import Seen

NOW = 1_000.0
SHOP = app().key


def nothing(_: ObjectKey) -> Seen | None:
    return None


def woken(ailing: Ailing, now: float) -> bool:
    """Whether it is woken at `now`, or in the second after, if nobody is at work on it."""
    return any(SHOP in ailing.due(at) and ailing.told(SHOP, at) for at in (now, now + 1))


def test_what_goes_wrong_and_what_comes_right_again_is_told_once_a_moment_later() -> None:
    ailing = Ailing(180.0)
    ailing.read(app(resource("a", "Healthy"), health="Healthy"), (), nothing, NOW)
    ailing.note(SHOP, [at("a", "Degraded")], NOW)
    assert not ailing.due(NOW)
    assert woken(ailing, NOW + 1)
    ailing.note(SHOP, [at("a", "Degraded")], NOW + 2)
    assert not woken(ailing, NOW + 60)

    ailing.read(app(resource("a", "Degraded"), health="Degraded"), (), nothing, NOW)
    ailing.note(SHOP, [at("a", "Healthy")], NOW + 61)
    assert woken(ailing, NOW + 62)


def test_what_is_as_it_is_shown_or_passes_at_once_is_not_told() -> None:
    ailing = Ailing(180.0)
    ailing.read(app(resource("a", "Degraded"), health="Degraded"), (), nothing, NOW)
    ailing.note(SHOP, [at("a", "Degraded"), at("b", "Healthy"), at("gone", "")], NOW)
    assert not woken(ailing, NOW + 60)
    ailing.note(SHOP, [at("b", "Progressing")], NOW)
    ailing.note(SHOP, [at("b", "Healthy")], NOW + 0.1)
    assert not woken(ailing, NOW + 60)


def test_what_has_come_right_while_it_was_looked_at_is_told() -> None:
    ailing = Ailing(180.0)
    ailing.note(SHOP, [at("a", "Healthy")], NOW)
    ailing.read(
        app(resource("a", "Degraded"), health="Degraded"), (), {key("a"): at("a", "Healthy")}.get, NOW
    )
    assert woken(ailing, NOW + 1)


def test_what_the_app_shows_or_waits_for_by_then_is_not_told() -> None:
    ailing = Ailing(180.0)
    ailing.note(SHOP, [at("a", "Progressing"), at("b", "Degraded")], NOW)
    ailing.read(app(resource("b", "Degraded"), health="Degraded"), {key("a")}, nothing, NOW)
    assert not woken(ailing, NOW + 60)


def test_what_comes_and_goes_is_told_less_and_less_often() -> None:
    ailing, told = Ailing(180.0), 0
    for second in range(300):
        shown = "Healthy" if second % 9 else "Degraded"
        ailing.read(app(resource("a", shown), health=shown), (), nothing, NOW)
        ailing.note(SHOP, [at("a", "Progressing", second)], NOW + second)
        told += SHOP in ailing.due(NOW + second) and ailing.told(SHOP, NOW + second)
    assert 2 <= told <= 9  # of 300


def test_of_an_app_that_went_unheard_nothing_is_told_or_kept() -> None:
    ailing = Ailing(180.0)
    ailing.read(app(resource("a", "Degraded"), health="Degraded"), (), nothing, NOW)
    ailing.note(SHOP, [at("a", "Healthy")], NOW)
    ailing.keep_only({SHOP})
    assert SHOP in ailing.due(NOW + 1)
    ailing.keep_only(set())
    assert not ailing.due(NOW + 60)
    ailing.note(SHOP, [at("a", "Healthy")], NOW)  # of a new one of that name
    assert not woken(ailing, NOW + 60)
