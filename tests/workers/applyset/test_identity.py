"""Names and marks: what they are made of, and that nothing hostile passes for one."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, ID
from workers.applyset.identity import ObjectId, applyset_id, object_id, parse_object_id, stamp
from workers.applyset.parent import Parent, parent_name

PART = st.text(st.characters(exclude_characters="/", codec="utf-8"), max_size=12)
NAME = PART.filter(bool)
KEYS = st.builds(ObjectKey, group=PART, kind=NAME, namespace=PART, name=NAME)
LABEL = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?\Z")
APPS = st.builds(AppKey, LABEL, st.lists(LABEL, min_size=1, max_size=3).map(".".join))

APP = AppKey("team", "shop")
WEB = ObjectKey("apps", "Deployment", "shop", "web")


def test_the_applyset_id_is_what_the_kep_says() -> None:
    # <base64url(sha256(<name>.<namespace>.<kind>.<group>))>, and kubectl leaves the padding out.
    digest = hashlib.sha256(b"mooring-abcd2345-team.shop.mooring.ConfigMap.").digest()
    expected = "applyset-" + base64.b64encode(digest, b"-_").decode()[:43] + "-v1"
    assert Parent(APP, "abcd2345", "mooring").applyset == expected
    assert applyset_id("mooring-abcd2345-team.shop", "mooring") == expected
    assert re.fullmatch(r"[A-Za-z0-9]([-_A-Za-z0-9]{0,61})[A-Za-z0-9]", expected)


def test_an_id_says_what_it_was_made_of() -> None:
    text = object_id("abcd2345", APP, WEB)
    assert text == "abcd2345/team_shop/apps/Deployment/shop/web"
    assert parse_object_id(text) == ObjectId("abcd2345", "team_shop", WEB)


@given(KEYS)
def test_every_id_is_read_back(key: ObjectKey) -> None:
    assert parse_object_id(object_id("abcd2345", APP, key)) == ObjectId("abcd2345", str(APP), key)


@given(st.text())
def test_no_annotation_makes_reading_an_id_fail(text: str) -> None:
    found = parse_object_id(text)
    assert found is None or f"{found.installation}/{found.app}/{found.key}" == text


@given(APPS, APPS)
def test_no_two_apps_share_a_parent(one: AppKey, other: AppKey) -> None:
    same = parent_name("abcd2345", one) == parent_name("abcd2345", other)
    assert same == (one == other)


def test_a_parent_of_long_names_still_has_a_name_of_its_own() -> None:
    long = AppKey("n" * 63, "a" * 253)
    name = parent_name("abcd2345", long)
    assert len(name) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert name != parent_name("abcd2345", AppKey("n" * 63, "a" * 252 + "b"))
    assert name != parent_name("efgh2345", long)


def test_marks_from_git_are_overwritten_and_the_manifest_is_left_alone() -> None:
    body: dict[str, Any] = {
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "labels": {"tier": "front", APPLYSET_PART_OF: "applyset-theirs-v1"},
            "annotations": {ID: "theirs/team_shop/apps/Deployment/shop/web", "note": "kept"},
        },
    }
    stamped = stamp(body, WEB, APP, "abcd2345", "applyset-ours-v1")
    assert stamped["metadata"]["labels"] == {"tier": "front", APPLYSET_PART_OF: "applyset-ours-v1"}
    assert stamped["metadata"]["annotations"] == {ID: object_id("abcd2345", APP, WEB), "note": "kept"}
    assert body["metadata"]["labels"][APPLYSET_PART_OF] == "applyset-theirs-v1"


def test_a_manifest_without_labels_is_stamped_too() -> None:
    stamped = stamp({"metadata": {"name": "web", "labels": None}}, WEB, APP, "abcd2345", "x")
    assert stamped["metadata"]["labels"] == {APPLYSET_PART_OF: "x"}
