"""What is told of objects that are watched, and what is kept of them: changes are given, threads are real."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.client import Configuration
from prometheus_client import REGISTRY

from mooring.errors import ClusterRefused, ClusterUnavailable
from mooring.keys import ClusterRef
from mooring.names import APPLYSET_ID, APPLYSET_PART_OF
from workers.cluster.api import Api
from workers.cluster.identity import Identity
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.transport import Response, Transport
from workers.cluster.watch import Change, Changed, Gone, Listed
from workers.health import BUILT_IN, Health, HealthStatus
from workers.observer.managed import Managed
from workers.observer.watches import Heard, News, Place, Sights, Watches

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
SERVICE = Kind("", "v1", "Service", "services", namespaced=True)
PLACE = Place("", "ConfigMap", APPLYSET_PART_OF)


def live(name: str, version: str = "1", applyset: str = "ours", kind: Kind = CONFIG_MAP, **body: Any) -> Live:
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid of {name}",
        "resourceVersion": version,
        "labels": {APPLYSET_PART_OF: applyset},
    }
    return Live.read(kind, {"metadata": metadata, **body}, metadata_only=not body)


class Told:
    """Watches, told of one change after the other."""

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[tuple[Place, Heard]] = queue.SimpleQueue()
        self._changes: queue.SimpleQueue[Change | Exception] = queue.SimpleQueue()
        no_api = cast("Api", None)  # no watch of its own is begun
        self.watches = Watches(
            no_api, lambda place, heard, _: self._heard.put((place, heard)), BUILT_IN, "home"
        )
        self.watches.begin(PLACE, lambda _ends: self._given())

    def _given(self) -> Iterator[Change]:
        while True:
            change = self._changes.get()
            if isinstance(change, Exception):
                raise change
            yield change

    def of(self, change: Change | Exception) -> News:
        self._changes.put(change)
        place, heard = self._heard.get(timeout=60)
        assert isinstance(heard, Sights | Exception)
        return self.watches.hear(place, heard)

    def edited(self, change: Change) -> list[tuple[str, str, bool]]:
        return [(one.key.name, one.applyset, bool(one.status)) for one in self.of(change).edited]


def test_what_came_and_went_unheard_is_told_by_the_next_list() -> None:
    told = Told()
    assert told.edited(Listed((live("a"), live("b"), live("c")))) == [
        (name, "ours", True) for name in ("a", "b", "c")
    ]
    assert told.edited(Changed(live("a", "2"))) == [("a", "ours", True)]
    assert told.edited(Listed((live("a", "2"), live("b", "3"), live("d")))) == [
        ("b", "ours", True),
        ("d", "ours", True),
        ("c", "ours", False),
    ]
    assert told.edited(Gone(live("a", "2"))) == [("a", "ours", False)]
    assert told.edited(Listed((live("b", "3"), live("d")))) == []


def test_a_status_that_moves_is_no_edit_where_the_whole_is_seen() -> None:
    told = Told()
    told.of(Changed(live("a", kind=SERVICE, spec={"type": "LoadBalancer"}, status={})))
    opened = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    news = told.of(Changed(live("a", "2", kind=SERVICE, spec={"type": "LoadBalancer"}, status=opened)))
    assert (news.edited, [one.status for one in news.otherwise]) == ((), ["Healthy"])
    news = told.of(Changed(live("a", "3", kind=SERVICE, spec={"type": "ClusterIP"}, status=opened)))
    assert [one.key.name for one in news.edited] == ["a"]


def test_who_loses_an_object_to_another_label_hears_of_it_too() -> None:
    told = Told()
    told.of(Listed((live("a"),)))
    assert told.edited(Changed(live("a", "2", "theirs"))) == [("a", "theirs", True), ("a", "ours", False)]


def test_of_an_object_less_than_a_kilobyte_is_kept_and_nothing_of_what_it_holds() -> None:
    told = Told()
    told.of(Listed((live("a", kind=SERVICE, spec={"type": "a secret " * 1000}, status={}),)))
    watch = told.watches.get(PLACE)
    assert watch
    ((key, one),) = watch.objects.items()
    parts = [key, *(getattr(key, slot) for slot in key.__slots__)]
    parts += [one, *(getattr(one, slot) for slot in one.__slots__ if slot != "key")]
    assert sum(sys.getsizeof(part) for part in {id(part): part for part in parts}.values()) < 900
    assert "secret" not in repr(one)


def test_a_kind_that_may_not_be_watched_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    place = Place("example.org", "Widget", APPLYSET_PART_OF, "shop")
    for _ in range(3):
        told.watches.begin(place, lambda _ends: iter(()))
        assert told.watches.hear(place, ClusterRefused("forbidden")) == News()
    assert told.watches.places("example.org", "Widget", APPLYSET_PART_OF, ("shop", "other")) == (
        Place("example.org", "Widget", APPLYSET_PART_OF),
    )
    for group, kind, namespace in (("", "Secret", "shop"), ("example.org", "Gadget", "home")):
        told.watches.begin(place := Place(group, kind, APPLYSET_PART_OF, namespace), lambda _ends: iter(()))
        assert told.watches.hear(place, ClusterRefused("forbidden")) == News()
    assert [record.message.partition(" cannot")[0] for record in caplog.records] == [
        "Widget in namespace shop"
    ]


def test_what_is_counted_of_a_cluster_that_is_not_watched_stays_while_another_of_its_title_says_so() -> None:
    """Whose Secret says another thing has another in its place, before the first has ended."""

    def forbidden() -> Watches:
        watches = Watches(cast("Api", None), lambda *_: None, BUILT_IN, "home", "rotated")
        place = Place("example.org", "Widget", APPLYSET_PART_OF, "shop")
        watches.begin(place, lambda _ends: iter(()))
        watches.hear(place, ClusterRefused("forbidden"))
        return watches

    def counted() -> float | None:
        labels = {"cluster": "rotated", "group": "example.org", "kind": "Widget"}
        return REGISTRY.get_sample_value("mooring_unwatched_kinds", labels)

    first, second = forbidden(), forbidden()
    first.end()
    assert counted() == 1
    second.end()
    assert counted() is None


def test_whatever_a_watch_dies_of_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    odd = Place("example.org", "Widget", APPLYSET_PART_OF, "shop")
    told.watches.begin(odd, lambda _ends: iter(()))
    assert told.watches.hear(odd, ValueError("hunter2")) == News()
    assert told.watches.get(odd) is None
    assert told.edited(Changed(live("a"))) == [("a", "ours", True)]
    assert "Widget in namespace shop cannot be watched" in caplog.text

    no_cluster = cast("Any", SimpleNamespace(cluster="https://home.example.org"))
    none, ours = cast("Any", None), cast("Any", SimpleNamespace(known=lambda: "abcdefgh"))
    managed = Managed(no_cluster, "home", lambda *_: None, BUILT_IN, none, ours, none, 9.0)
    inventories = Place("", "ConfigMap", APPLYSET_ID, "home")
    managed.watches.begin(inventories, lambda _ends: iter(()), whole=True)
    assert managed.hear(inventories, ValueError("hunter2")) == News()
    managed.place_watches()
    assert managed.watches.get(inventories) is None, "it is not begun again at once"
    assert "inventories cannot be watched" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("item", [{}, {"metadata": None}, {"metadata": "a"}, {"metadata": {}}])
def test_what_has_no_name_is_an_answer_to_be_asked_for_again(item: dict[str, Any]) -> None:
    with pytest.raises(ClusterUnavailable, match=r"shows a ConfigMap \(v1\) without a name"):
        Live.read(CONFIG_MAP, item)


class OfAll:
    """Who has a health for each kind, as checks for `*` have."""

    problems: Mapping[str, str] = MappingProxyType({})

    def judges(self, group: str, kind: str) -> bool:
        return True

    def assess(self, body: dict[str, Any]) -> Health | None:
        return Health(HealthStatus.DEGRADED, str(body))

    def of(self, cluster: str) -> OfAll:
        return self


class Accepts(Transport):
    """A connection that says what it is asked for, and has nothing."""

    def request(self, method: str, path: str, **options: Any) -> Response:
        raise ClusterRefused(f"{path} as {options['accept']}")


@pytest.mark.parametrize(("kind", "bare"), [("Secret", True), ("ConfigMap", True), ("Service", False)])
def test_of_secrets_and_config_maps_metadata_alone_is_asked_for_whatever_has_a_check(
    kind: str, bare: bool
) -> None:
    found = Kind("", "v1", kind, f"{kind.lower()}s", namespaced=True)
    discovery = SimpleNamespace(preferred=lambda _group, _kind: found)
    transport = Accepts(lambda: Configuration(host="https://home.example.org"))
    api = Api(ClusterRef("https://home.example.org"), transport, cast("Any", discovery), Identity())
    heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
    watches = Watches(api, lambda _place, said, _watch: heard.put(said), OfAll(), "home")
    assert watches.need(Place("", kind, APPLYSET_PART_OF))
    assert ("PartialObjectMetadata" in str(heard.get(timeout=60))) == bare
