"""The inventory survives being written down, and garbage never passes for an empty one."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.names import (
    APPLYSET_GROUP_KINDS,
    APPLYSET_ID,
    APPLYSET_NAMESPACES,
    APPLYSET_TOOLING,
    HOOKS,
    ID,
)
from workers.applyset.inventory import Entry, Inventory, Place
from workers.applyset.packing import COMPRESS_ABOVE, LARGEST, pack, unpack
from workers.applyset.parent import Parent, app_of, manifest, read

PART = st.text(st.characters(exclude_characters="/", codec="utf-8"), max_size=12)
NAME = PART.filter(bool)
KEYS = st.builds(ObjectKey, group=PART, kind=NAME, namespace=PART, name=NAME)
ENTRIES = st.builds(Entry, st.sampled_from(("created", "adopted")), st.sampled_from(("apply", "merge")))
# As Kubernetes has names: no comma in them.
WORD = st.text("abcXYZ.-9", max_size=8)
PLACES = st.builds(Place, group=WORD, kind=WORD.filter(bool), namespace=WORD)
INVENTORIES = st.builds(
    Inventory, st.dictionaries(KEYS, ENTRIES, max_size=8), st.frozensets(PLACES, max_size=4)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)

ABSENT = Parent(AppKey("team", "shop"), "abcd2345", "mooring")
WEB = ObjectKey("apps", "Deployment", "shop", "web")
ROLE = ObjectKey("rbac.authorization.k8s.io", "ClusterRole", "", "viewer")
CONFIG = ObjectKey("", "ConfigMap", "mooring", "settings")


@given(INVENTORIES)
def test_a_parent_says_what_was_written(inventory: Inventory) -> None:
    body = manifest(ABSENT.with_inventory(inventory))
    assert read(ABSENT, body).inventory == inventory


@given(INVENTORIES, INVENTORIES)
def test_what_is_added_and_taken_away_again_leaves_the_rest(one: Inventory, other: Inventory) -> None:
    both = one.with_(other.entries)
    assert both.entries == {**one.entries, **other.entries}
    assert both.without(other.entries) == one.without(other.entries)
    assert one.with_({}, other.hooks).without(one.entries).hooks == one.hooks | other.hooks


def test_the_parent_tells_other_tools_kinds_and_namespaces_as_the_kep_has_it() -> None:
    body = manifest(ABSENT.with_inventory(Inventory({WEB: Entry(), ROLE: Entry(), CONFIG: Entry()})))
    annotations = body["metadata"]["annotations"]
    assert (
        annotations[APPLYSET_GROUP_KINDS] == "ClusterRole.rbac.authorization.k8s.io,ConfigMap,Deployment.apps"
    )
    assert annotations[APPLYSET_NAMESPACES] == "shop"  # not the parent's own, nor the cluster scope
    assert annotations[APPLYSET_TOOLING].startswith("mooring/v")
    assert body["metadata"]["labels"][APPLYSET_ID] == ABSENT.applyset


def test_a_parent_tells_where_hooks_have_been_and_whose_it_is() -> None:
    places = Place("batch", "Job", "shop"), Place("", "Namespace", "")
    body = manifest(ABSENT.with_inventory(Inventory(hooks=frozenset(places))))
    annotations = body["metadata"]["annotations"]
    assert annotations[HOOKS] == "/Namespace/,batch/Job/shop"
    assert APPLYSET_NAMESPACES not in annotations  # hooks are no part of the set
    assert HOOKS not in manifest(ABSENT)["metadata"]["annotations"]
    assert app_of(annotations, ABSENT.installation) == ABSENT.app
    assert app_of(annotations, "another") is None
    assert app_of({ID: ABSENT.installation}, ABSENT.installation) is None


def test_ten_thousand_objects_fit_into_a_config_map() -> None:
    entries = {
        ObjectKey(
            "apps", "Deployment", f"team-{n % 97}", f"a-rather-long-name-of-a-service-{n}-{n * n}"
        ): Entry()
        for n in range(10_000)
    }
    body = manifest(ABSENT.with_inventory(Inventory(entries)))
    assert "data" not in body or not body["data"]
    assert len(orjson.dumps(body)) < 1024 * 1024
    assert read(ABSENT, body).inventory.entries == entries


@given(JSON)
def test_garbage_is_refused_and_never_an_empty_inventory(data: Any) -> None:
    with pytest.raises(Refused):
        Inventory.from_json(data)


@pytest.mark.parametrize(
    "objects",
    [
        [],
        {"apps/Deployment": ["shop/web"]},
        {"apps/Deployment": {"web": "created apply"}},
        {"apps/Deployment": {"shop/": "created apply"}},
        {"Deployment": {"apps/shop/web": "created apply"}},
        {"apps/": {"shop/web": "created apply"}},
        {"apps/Deployment": {"shop/web": "created"}},
        {"apps/Deployment": {"shop/web": None}},
    ],
)
def test_an_inventory_of_which_one_entry_is_garbled_is_refused(objects: Any) -> None:
    with pytest.raises(Refused):
        Inventory.from_json({"version": 1, "objects": objects})


def test_an_inventory_of_a_later_form_is_refused() -> None:
    with pytest.raises(Refused):
        Inventory.from_json({"version": 2, "objects": {}})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body["data"].clear(),
        lambda body: body.pop("data"),
        lambda body: body["data"].update(inventory="{"),
        lambda body: body["data"].update(inventory="null"),
        lambda body: body.update(binaryData={"inventory": "AAAA"}),
        lambda body: body["metadata"]["labels"].clear(),
        lambda body: body["metadata"]["annotations"].update({APPLYSET_TOOLING: "kubectl/v1.37.2"}),
        lambda body: body["metadata"]["annotations"].clear(),
        lambda body: body["metadata"]["annotations"].update({HOOKS: "batch/Job"}),
        lambda body: body["metadata"]["annotations"].update({HOOKS: "batch/Job/shop,batch//shop"}),
    ],
)
def test_a_damaged_or_foreign_parent_is_refused_by_name(spoil: Any) -> None:
    body = manifest(ABSENT.with_inventory(Inventory({WEB: Entry()})))
    spoil(body)
    with pytest.raises(Refused, match=r"ConfigMap mooring/mooring-abcd2345-team\.shop"):
        read(ABSENT, body)


def test_a_small_value_is_readable_and_a_large_one_compressed() -> None:
    small, large = pack("x", ["a"]), pack("x", ["a" * COMPRESS_ABOVE])
    assert small["data"]["x"] == '["a"]'
    assert small["binaryData"]["x"] is None
    assert large["data"]["x"] is None
    assert unpack("x", large) == ["a" * COMPRESS_ABOVE]


@pytest.mark.parametrize(
    "packed",
    [
        b"not zlib",
        zlib.compress(b"[1]" * 1000)[:-8],
        zlib.compress(b"\0" * (LARGEST + 1)),
    ],
)
def test_what_was_not_compressed_by_us_is_an_error(packed: bytes) -> None:
    with pytest.raises(ValueError):
        unpack("x", {"binaryData": {"x": base64.b64encode(packed).decode()}})
