"""Parents in a real cluster: one write each, guarded."""

from __future__ import annotations

import pytest

from mooring.errors import Conflict, Refused
from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_GROUP_KINDS, APPLYSET_NAMESPACES
from workers.applyset.inventory import Entry
from workers.applyset.store import CONFIG_MAP, grow, read, shrink
from workers.cluster.api import Api
from workers.installation import Installation

OURS = Installation("abcd2345", b"k" * 32)
APP = AppKey("team", "shop")
WEB = ObjectKey("apps", "Deployment", "shop", "web")
CONFIG = ObjectKey("", "ConfigMap", "shop", "settings")


def test_an_app_without_a_parent_has_an_empty_one_that_exists_nowhere(api: Api, namespace: str) -> None:
    parent = read(api, namespace, APP, OURS)
    assert (parent.uid, parent.resource_version, dict(parent.inventory.entries)) == ("", "", {})
    assert api.get(CONFIG_MAP, namespace, parent.name) is None


def test_it_grows_and_shrinks_and_is_read_back(api: Api, namespace: str) -> None:
    parent = grow(api, read(api, namespace, APP, OURS), {WEB: Entry(), CONFIG: Entry("adopted", "merge")})
    assert read(api, namespace, APP, OURS) == parent
    parent = shrink(api, parent, [WEB])
    assert read(api, namespace, APP, OURS) == parent
    assert parent.inventory.entries == {CONFIG: Entry("adopted", "merge")}
    live = api.get(CONFIG_MAP, namespace, parent.name)
    assert live is not None
    assert live.annotations[APPLYSET_GROUP_KINDS] == "ConfigMap"
    parent = shrink(api, parent, [CONFIG])
    live = api.get(CONFIG_MAP, namespace, parent.name)
    assert live is not None
    assert APPLYSET_NAMESPACES not in live.annotations
    assert read(api, namespace, APP, OURS).resource_version == parent.resource_version


def test_growing_by_what_is_there_writes_nothing(api: Api, namespace: str) -> None:
    parent = grow(api, read(api, namespace, APP, OURS), {WEB: Entry()})
    sent = api.transport.count["PATCH"]
    assert grow(api, parent, {WEB: Entry()}) is parent
    assert shrink(api, parent, [CONFIG]) is parent
    assert api.transport.count["PATCH"] == sent


def test_of_two_that_create_it_with_different_objects_one_has_to_look_again(api: Api, namespace: str) -> None:
    absent = read(api, namespace, APP, OURS)
    grow(api, absent, {WEB: Entry()})
    with pytest.raises(Conflict):
        grow(api, absent, {CONFIG: Entry()})


def test_an_inventory_changed_meanwhile_is_not_overwritten(api: Api, namespace: str) -> None:
    seen = grow(api, read(api, namespace, APP, OURS), {WEB: Entry()})
    grow(api, seen, {CONFIG: Entry()})
    with pytest.raises(Conflict):
        shrink(api, seen, [WEB])
    assert set(read(api, namespace, APP, OURS).inventory.entries) == {WEB, CONFIG}


def test_other_writes_to_the_parent_do_not_stop_it(api: Api, namespace: str) -> None:
    seen = grow(api, read(api, namespace, APP, OURS), {WEB: Entry()})
    api.patch(CONFIG_MAP, namespace, seen.name, {"data": {"status": "{}"}})
    grown = grow(api, seen, {CONFIG: Entry()})
    live = api.get(CONFIG_MAP, namespace, seen.name)
    assert live is not None
    assert live.body is not None
    assert live.body["data"]["status"] == "{}"
    assert set(grown.inventory.entries) == {WEB, CONFIG}


def test_a_parent_that_was_deleted_is_not_made_anew_by_who_knew_it(api: Api, namespace: str) -> None:
    seen = grow(api, read(api, namespace, APP, OURS), {WEB: Entry()})
    live = api.get(CONFIG_MAP, namespace, seen.name)
    assert live is not None
    api.delete(CONFIG_MAP, live, "background")
    with pytest.raises(Conflict):
        grow(api, seen, {CONFIG: Entry()})


def test_a_config_map_of_that_name_without_our_marks_is_refused(api: Api, namespace: str) -> None:
    name = read(api, namespace, APP, OURS).name
    api.create(CONFIG_MAP, {"metadata": {"name": name, "namespace": namespace}})
    with pytest.raises(Refused, match="belongs to nobody"):
        read(api, namespace, APP, OURS)
