"""What it costs to compare, on a real API server: how often it is asked."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mooring.keys import AppKey
from tests.stories.ship import until
from tests.workers.test_apply import CONFIG_MAP, App, config_map
from workers.applyset.inventory import Inventory
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.compare import compare

pytestmark = pytest.mark.cluster


@pytest.fixture
def app(api: Api, namespace: str) -> Iterator[App]:
    with ThreadPoolExecutor(4) as executor:
        yield App(api, executor, namespace, AppKey("mooring", f"a{secrets.token_hex(4)}"), Inventory())


def _cached(app: App, live: Live) -> bool:
    found = app.api.list(CONFIG_MAP, app.namespace, cached=True)
    return live.resource_version in {one.resource_version for one in found}


@pytest.mark.parametrize(("count", "reads"), [(3, 3), (30, 1)])
def test_many_objects_that_nothing_is_known_of_are_read_at_once(app: App, count: int, reads: int) -> None:
    bodies = [config_map(f"c{number}", n="1") for number in range(count)]
    app.syncs(*bodies)
    changed = app.api.patch(CONFIG_MAP, app.namespace, "c1", {"data": {"n": "2"}})
    until("the cache to have it", lambda: _cached(app, changed))
    found = app.plans(*bodies)
    app.api.transport.count.clear()

    result = compare(found, app.api, app.executor, lambda _: "")

    assert [one.key.name for one in result.differences] == ["c1"]
    assert len(result.proofs) == count - 1
    assert app.api.transport.count == {"GET": reads, "PATCH": count}


def test_what_changes_between_two_looks_is_read_again(app: App) -> None:
    bodies = [config_map(f"c{number}", n="1") for number in range(12)]
    app.syncs(*bodies)
    found = app.plans(*bodies)
    app.api.patch(CONFIG_MAP, app.namespace, "c1", {"data": {"n": "2"}})
    (gone,) = (step.live for group in found.writes for step in group if step.key.name == "c2")
    assert gone is not None
    app.api.delete(CONFIG_MAP, gone, "background")  # at once, not when the garbage collector comes to it

    result = compare(found, app.api, app.executor, lambda _: "")

    differ = {one.key.name: one.before for one in result.differences}
    assert differ.keys() == {"c1", "c2"}
    assert (differ["c1"] or {})["data"] == {"n": "2"}
    assert differ["c2"] is None


def test_what_others_have_taken_is_no_difference_and_is_not_proved_until_it_is_taken_back(app: App) -> None:
    body = config_map("c", n="1")
    app.syncs(body)
    for n in "21":
        app.api.patch(CONFIG_MAP, app.namespace, "c", {"data": {"n": n}}, manager="somebody")

    result = compare(app.plans(body), app.api, app.executor, lambda _: "")

    assert (result.differences, len(result.taken), result.proofs) == ((), 1, {})
    app.syncs(body)
    result = compare(app.plans(body), app.api, app.executor, lambda _: "")
    assert (len(result.taken), len(result.proofs)) == (0, 1)
