"""Whom the observer wakes: what it hears is given, Redis is real."""

from __future__ import annotations

import math
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from mooring.errors import ClusterRefused
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.model.application import Application
from mooring.names import APPLYSET_ID, APPLYSET_PART_OF, RECONCILE, REFRESH
from mooring.store.clock import Clock
from mooring.store.connection import connect
from mooring.store.due import Step
from mooring.store.ours import Ours
from mooring.store.proofs import Proofs
from mooring.store.turns import Turns
from tests.stories.ship import until
from workers.applyset.inventory import Entry, Inventory
from workers.applyset.parent import Parent, manifest
from workers.applyset.store import CONFIG_MAP
from workers.apps.directory import DirectoryApplications
from workers.apps.home import APPLICATION, HomeApplications
from workers.apps.wishes import OBSERVED, turn_of
from workers.cluster.live import Live
from workers.cluster.watch import Changed, Gone, Listed
from workers.health import BUILT_IN
from workers.installation import SECRET, Installation
from workers.observer import observer as observers
from workers.observer.awaits import Awaits, Seen
from workers.observer.observer import Observer
from workers.observer.site import _BACKLOG, Site, Wakers
from workers.observer.watches import Place, sights
from workers.sighted import Sighted

OURS = "abcdefgh"
SHOP = AppKey("home", "shop")
OBJECT = ObjectKey("", "ConfigMap", "shop", "a")
SPEC = {
    "project": "default",
    "source": {"repoURL": "https://git.example.org/shop.git"},
    "destination": {"name": "called-otherwise", "namespace": "shop"},
}


def inventory(installation: str) -> Live:
    parent = Parent(SHOP, installation, "home")
    held = manifest(parent.with_inventory(Inventory().with_({OBJECT: Entry("created")})))
    return Live.read(CONFIG_MAP, held, metadata_only=True)


def application() -> Live:
    metadata = {"namespace": SHOP.namespace, "name": SHOP.name, "uid": "1", "resourceVersion": "1"}
    return Live.read(APPLICATION, {"metadata": metadata, "spec": SPEC})


def edited(applyset: str) -> Live:
    labels = {APPLYSET_PART_OF: applyset}
    metadata = {"namespace": OBJECT.namespace, "name": OBJECT.name, "uid": "2", "labels": labels}
    return Live.read(CONFIG_MAP, {"metadata": metadata}, metadata_only=True)


def observer(api: Any, wakers: Any, judge: Any = None) -> Observer:
    return Observer(api, HomeApplications(api, "home"), "home", wakers, judge)


def test_what_an_ended_watch_has_told_is_not_taken_for_what_the_next_one_of_its_place_tells() -> None:
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    none = cast("Any", None)
    site = Site(api, "home", Wakers(none, none, none, none, 180.0), lambda: BUILT_IN)
    place = Place("", "ConfigMap", APPLYSET_PART_OF)
    site.watches.begin(place, lambda _ends: iter((Changed(edited("ours")),)))
    told = site._changes.get(timeout=60)
    assert told is not None
    site.watches.drop(place)
    site.watches.begin(place, lambda _ends: iter(()))
    site._hear_all([told])
    running = site.watches.get(place)
    assert running
    assert not running.objects


def test_what_comes_right_after_a_turn_is_heard_together_unless_an_operation_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    none = cast("Any", None)
    site = Site(api, "home", Wakers(none, none, none, none, 180.0), lambda: BUILT_IN)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        site.tell(AppKey("home", "next"), None)

    stands = SimpleNamespace(monotonic=lambda: 1000.0, sleep=pause)
    monkeypatch.setattr("workers.observer.site.time", stands)
    monkeypatch.setattr(site, "_place_watches", lambda: None)
    site.tell(SHOP, None)
    site.hear()
    assert not pauses
    site.tell(SHOP, None)
    site.hear()
    assert pauses
    assert not site._told, "what came meanwhile was heard, too"
    waiting = Awaits(frozenset({OBJECT}), frozenset(), frozenset(), hurried=True)
    site._note(SHOP, waiting)
    site.tell(SHOP, None)
    site.hear()
    site.tell(SHOP, None)  # of which nothing waits any more
    site.hear()
    assert len(pauses) == 2
    for _ in range(20):
        site._changes.put(None)
    site.hear()
    site.tell(SHOP, None)
    site.hear()
    assert pauses[3] > pauses[2] == pauses[1], "after a flood it gathers for longer"


def test_what_was_told_of_an_apps_health_is_taken_back_when_it_is_not_so_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever takes the wish up may do so only later."""
    told: list[str] = []

    def wake(_key: AppKey, wishes: dict[str, str], _why: str, **_: Any) -> None:
        told.append(wishes[OBSERVED])

    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    wakers = SimpleNamespace(turns=None, proofs=None, ours=None, pace_s=180.0, wake=wake)
    site = Site(api, "home", cast("Any", wakers), lambda: BUILT_IN)
    web = ObjectKey("apps", "Deployment", "shop", "web")
    healthy, progressing = (Seen(web, "1", 1, status, b"m" * 16) for status in ("Healthy", "Progressing"))
    site._note(SHOP, Awaits(frozenset({web}), frozenset(), frozenset(), hurried=False, version="7"))

    def sees(one: Seen) -> None:
        monkeypatch.setattr(site, "_seen", lambda _waits: {web: one})
        site._open.add(SHOP)
        site._wake_waiting()

    sees(progressing)
    assert not told
    sees(healthy)
    assert told == [Sighted("7", {web: healthy.sight}).to_wish()]
    sees(progressing)
    assert told[1:] == ["7"]
    sees(progressing)
    assert len(told) == 2


def test_who_has_told_more_than_was_heard_ends_with_its_cluster() -> None:
    """Whose Secret says another thing has another thread in its place, and nobody hears this one any more."""
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    none = cast("Any", None)
    site = Site(api, "home", Wakers(none, none, none, none, 180.0), lambda: BUILT_IN)
    site.watches.begin(Place("", "Gadget", APPLYSET_PART_OF), lambda _ends: repeat(Changed(edited("ours"))))
    (thread,) = (one for one in threading.enumerate() if one.name == "watch Gadget")
    until("it to tell more than is heard", lambda: site._changes.qsize() >= _BACKLOG)
    site.end()
    thread.join(60)
    assert not thread.is_alive()


def test_what_may_not_be_watched_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked for again every few minutes; nobody has to permit it, so it is no warning."""
    caplog.set_level("INFO")
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    none = cast("Any", None)
    found = observer(api, Wakers(none, none, none, none, 180.0))

    def forbidden() -> int:
        found._home.watches.begin(found._secrets_at, lambda _ends: iter(()), whole=True)
        found._hear_of_secrets(ClusterRefused("secrets is forbidden", code=403))
        return caplog.text.count("cluster Secrets are not watched")

    assert [forbidden() for _ in range(3)] == [1, 1, 1]
    found._hear_of_secrets(Listed(()))
    assert forbidden() == 2


def cluster_secret(called: str, **fields: str) -> Live:
    said = {"name": called, "server": f"https://{called}.invalid", "config": '{"bearerToken": "hunter2"}'}
    data = {key: b64encode(text.encode()).decode() for key, text in (said | fields).items()}
    metadata = {"namespace": "home", "name": f"cluster-{called}", "uid": "3", "resourceVersion": "1"}
    return Live.read(SECRET, {"metadata": metadata, "data": data})


def test_secrets_that_may_not_be_seen_for_a_moment_end_no_cluster_and_are_soon_asked_for_again() -> None:
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    none = cast("Any", None)
    found = observer(api, Wakers(none, none, none, cast("Any", SimpleNamespace(known=str)), 180.0))
    found._hear_of_secrets(Listed((cluster_secret("other"),)))
    ((ref, other),) = found._others.items()
    try:
        found._watch()
        found._hear_of_secrets(ClusterRefused("secrets is forbidden", code=403))
        assert not found._home.watches.get(found._secrets_at)
        assert found._others == {ref: other} and not other._ends.is_set()

        def watched_again() -> bool:
            found._watch()
            return found._home.watches.get(found._secrets_at) is not None

        until("Secrets to be watched again", watched_again)
    finally:
        other.end()


def test_of_a_secret_or_a_cluster_that_begins_the_applications_that_may_be_there_are_read_again_alone(
    wakers: Wakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(called: str, **destination: str) -> Live:
        metadata = {"namespace": "home", "name": called, "uid": called}
        spec = SPEC | {"destination": destination | {"namespace": "shop"}}
        return Live.read(APPLICATION, {"metadata": metadata, "spec": spec})

    apps = {
        "here": app("here", server="https://kubernetes.default.svc"),
        "by-url": app("by-url", server="https://other.invalid"),
        "by-name": app("by-name", name="other"),
        "third": app("third", name="third"),
    }
    read = list[str]()

    def one(kind: Any, _namespace: str, name: str, **_options: Any) -> Live | None:
        if kind != APPLICATION:
            return None
        read.append(name)
        return apps[name]

    def listed(kind: Any, *_: Any, **_options: Any) -> tuple[Live, ...]:
        if kind != APPLICATION:
            return ()
        read.append("all")
        return (*apps.values(),)

    url = ClusterRef("https://home.example.org")
    api = cast("Any", SimpleNamespace(cluster=url, namespaces=(), list=listed, get=one))
    found = observer(api, wakers)
    found._hear_of_applications(Listed(tuple(apps.values())))

    def reads(secret: Changed | Gone, *, begins: bool = False) -> list[str]:
        read.clear()
        found._hear_of_secrets(secret)
        if begins:
            until("its cluster to begin", lambda: not found._begun.empty())
        found._read_anew()
        return sorted(read)

    def at(name: str) -> str | None:
        return found._at[AppKey("home", name)]

    try:
        # While nobody knows where an app is, it may be in any cluster.
        assert reads(Changed(cluster_secret("third")), begins=True) == ["by-name", "by-url", "third"]
        assert reads(Changed(cluster_secret("other")), begins=True) == ["by-name", "by-url"]
        assert at("by-name") == at("by-url") == "https://other.invalid" and at("here") == url
        # Its credential, what only a look asks for, and what nobody asks for.
        rotated = cluster_secret("other", config='{"bearerToken": "hunter3"}')
        assert reads(Changed(rotated), begins=True) == ["by-name", "by-url"]
        assert reads(Changed(cluster_secret("third", project="shop"))) == []
        assert reads(Changed(cluster_secret("nobody-there")), begins=True) == []
        # It is called otherwise, and goes.
        assert reads(Changed(cluster_secret("other", name="renamed")), begins=True) == ["by-name", "by-url"]
        assert at("by-name") is None and at("by-url") == "https://other.invalid"
        assert reads(Gone(cluster_secret("third"))) == ["by-name", "third"]
        assert at("third") is None
        # Of too many there is one list, and those are read of it.
        monkeypatch.setattr(observers, "_EACH", 1)
        assert reads(Changed(cluster_secret("third")), begins=True) == ["all"]
        assert at("third") == "https://third.invalid"
    finally:
        for other in found._others.values():
            other.end()


class Unedited(HomeApplications):
    """Whose applications were looked at as they are."""

    def edition(self, app: Application) -> str:
        return self.state(app).spec


def test_a_refresh_that_is_asked_for_again_as_the_last_one_ends_is_not_taken_for_that_one(
    wakers: Wakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers, "_REFRESHES_S", 0.0)
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    found = Observer(api, Unedited(api, "home"), "home", wakers, cast("Any", None))
    turns, name = wakers.turns, turn_of(SHOP)
    written = {"namespace": SHOP.namespace, "name": SHOP.name, "annotations": {REFRESH: "normal"}}
    asked = Live.read(APPLICATION, {"metadata": written, "spec": SPEC})

    def hears(live: Live) -> None:
        found._hear_of_applications(Changed(live))
        found._wake()

    hears(asked)
    turn = turns.take(name)
    assert turn is not None and turn.wishes == {"refresh": "normal"}
    hears(application())  # it is done, and the turn not given back yet
    hears(asked)
    turns.release(turn, done=True)
    found._wake()
    again = turns.take(name)
    assert again is not None and again.wishes == {"refresh": "normal"}
    hears(application())
    turns.release(again, done=True)
    found._wake()
    assert turns.take(name) is None


@pytest.fixture
def no_threads() -> Iterator[Callable[[], None]]:
    """No thread can be begun, until this is called."""
    before = threading.stack_size(1 << 47)  # more than there is room for
    try:
        yield lambda: (threading.stack_size(before), None)[1]
    finally:
        threading.stack_size(before)


def test_where_no_thread_can_be_had_what_is_to_be_watched_is_watched_later(
    no_threads: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    kind = SimpleNamespace(preferred=lambda *_: CONFIG_MAP)
    url = ClusterRef("https://home.example.org")
    api = cast("Any", SimpleNamespace(cluster=url, namespaces=(), discovery=kind))
    none = cast("Any", None)
    found = observer(api, Wakers(none, none, none, cast("Any", SimpleNamespace(known=str)), 180.0))
    watches, place = found._home.watches, Place("", "ConfigMap", APPLYSET_PART_OF)
    found._watch()
    found._hear_of_secrets(Listed((cluster_secret("other"),)))
    assert not watches.need(place)
    assert not watches.get(found._records_at) and not found._others
    assert "no thread can be begun" in caplog.text

    no_threads()
    assert found._others_from < math.inf
    found._others_from = 0.0  # it is time

    def all_begun() -> bool:
        found._watch()
        return watches.need(place) and watches.get(found._records_at) is not None and bool(found._others)

    until("all to be begun", all_begun)
    for other in found._others.values():
        other.end()


@pytest.mark.parametrize("installation", [OURS, "hgfedcba"])
@pytest.mark.parametrize("app_first", [True, False])
def test_an_app_is_here_by_whatever_name_a_secret_gives_this_cluster_if_its_inventory_is(
    redis_client: redis.Redis, redis_url: str, installation: str, app_first: bool
) -> None:
    def listed(kind: Any, *_: Any, **_options: Any) -> tuple[Live, ...]:
        return (application(),) if kind == APPLICATION else ()

    api = cast(
        "Any",
        SimpleNamespace(
            cluster=ClusterRef("https://home.example.org"), namespaces=(), list=listed, get=lambda *_: None
        ),
    )
    client, sent = connect(redis_url), list[Step]()
    Ours(client).say(OURS)
    turns = Turns(client, Clock(client), 60.0)
    found = observer(api, Wakers(turns, sent.append, Proofs(client), Ours(client), 180.0))
    home = found._home
    home._managed._learn_whose()
    told = [
        (Place(APPLICATION.group, APPLICATION.kind, "", "home"), Listed((application(),))),
        (Place("", "ConfigMap", APPLYSET_ID, "home"), Listed((inventory(installation),))),
    ]
    for place, change in told if app_first else reversed(told):
        home._hear(place, change)
    found._read_anew()
    found._wake()
    home._read_told()
    home.wake()
    redis_client.flushdb()
    sent.clear()

    place = Place("", "ConfigMap", APPLYSET_PART_OF)
    home.watches.begin(place, lambda _ends: iter(()))
    changed = Changed(edited(Parent(SHOP, installation, "home").applyset))
    home._hear(place, sights(changed, home.watches.judge))
    home.wake()
    assert [(step.args, step.queue) for step in sent] == (
        [((f"app:{SHOP}",), RECONCILE)] if installation == OURS else []
    )


class Odd(HomeApplications):
    """One of them makes whoever reads it stumble."""

    def told(self, record: Live) -> Application | None:
        if record.key.name == "odd":
            raise ZeroDivisionError("what a stranger wrote")
        return super().told(record)


@pytest.fixture
def wakers(redis_url: str) -> Wakers:
    client = connect(redis_url)
    return Wakers(Turns(client, Clock(client), 60.0), lambda _: None, Proofs(client), Ours(client), 180.0)


def test_a_watch_of_applications_or_projects_that_ends_for_what_nobody_foresaw_is_begun_again_and_told(
    wakers: Wakers, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **_options: Any) -> Any:
        raise RuntimeError("what a stranger wrote")

    url = ClusterRef("https://home.example.org")
    found = observer(cast("Any", SimpleNamespace(cluster=url, namespaces=(), snapshot=broken)), wakers)

    def both_again() -> bool:
        found._watch()
        found._home.hear()
        return all(
            f"{what} are not watched for 2 s" in caplog.text for what in ("Applications", "AppProjects")
        )

    until("both to have ended twice", both_again)
    assert "please report this (RuntimeError)" in caplog.text and "a stranger" not in caplog.text


def test_applications_that_are_files_have_one_watch_with_inventories_of_all_that_they_say(
    wakers: Wakers, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    over, bare = threading.Event(), list[bool]()

    def asked(_kind: Any, _at: str, _label: str, metadata_only: bool, **_: Any) -> Any:
        bare.append(metadata_only)
        over.wait()
        raise RuntimeError("what a stranger wrote")

    url = ClusterRef("https://home.example.org")
    api = cast("Any", SimpleNamespace(cluster=url, namespaces=(), snapshot=asked))
    files = DirectoryApplications(tmp_path, api, "home", Installation(OURS, b""))
    found = Observer(api, files, "home", wakers, cast("Any", None))
    watches = found._home.watches

    def after_a_turn(said: str) -> bool:
        found._watch()
        found._home.hear()
        return said in caplog.text

    assert not after_a_turn("not watched") and watches.get(found._records_at)
    wakers.ours.say(OURS)
    until("all to be listed anew", lambda: not after_a_turn("not watched") and len(bare) == 2)
    over.set()
    until("it to have ended twice", lambda: after_a_turn("Applications are not watched for 2 s"))
    assert not any(bare)


def test_an_application_of_which_nobody_foresaw_something_ends_nothing_for_the_others(
    wakers: Wakers, caplog: pytest.LogCaptureFixture
) -> None:
    api = cast("Any", SimpleNamespace(cluster=ClusterRef("https://home.example.org"), namespaces=()))
    found = Observer(api, Odd(api, "home"), "home", wakers, cast("Any", None))
    odd = replace(application(), key=ObjectKey("argoproj.io", "Application", "home", "odd"))
    found._hear_of_applications(Listed((odd, application())))
    assert found._at.keys() == {SHOP}
    assert "application odd: please report this (ZeroDivisionError)" in caplog.text
    assert "a stranger" not in caplog.text
