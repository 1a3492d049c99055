"""Whose an object is: stories of clones, children, neighbours and strangers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import AppKey
from mooring.names import APPLYSET_PART_OF, ARGO_MANAGER, DELETION_APPROVED, TRACKING_ID, TRACKING_LABEL
from tests.workers.objects import APP, APPLYSET, HERE, OTHER_APP, key, live, managed, ours
from workers.applyset.identity import object_id
from workers.applyset.inventory import Entry
from workers.ownership import Owner, Whose, approved, owner, precious, tracked_by_argo, why_not_ours

WEB = key("web", "Deployment", "apps")
SETTINGS = key("settings")
CREATED = Entry("created", "apply")


def test_our_own_is_ours_and_may_be_deleted() -> None:
    assert owner(ours(WEB), APP, HERE) == Owner(Whose.OURS)
    assert why_not_ours(ours(WEB), APP, HERE, APPLYSET, CREATED) == ""


def test_what_says_nothing_is_nobodys_even_with_our_label() -> None:
    copied = live(WEB, labels={APPLYSET_PART_OF: APPLYSET}, fields=(managed(APPLYSET_PART_OF),))
    assert owner(copied, APP, HERE).whose is Whose.NOBODY
    assert why_not_ours(copied, APP, HERE, APPLYSET, CREATED) == "it does not carry mooring.dev/id"


def test_a_clone_carries_the_id_of_another_object() -> None:
    for original in (key("web2", "Deployment", "apps"), replace(WEB, namespace="staging"), SETTINGS):
        clone = ours(WEB, id=object_id(HERE, APP, original))
        assert owner(clone, APP, HERE).whose is Whose.COPY
        assert "names another object" in why_not_ours(clone, APP, HERE, APPLYSET, CREATED)


def test_a_clone_of_another_apps_object_is_not_bound_by_its_id() -> None:
    clone = live(WEB, id=object_id(HERE, OTHER_APP, SETTINGS))
    assert owner(clone, APP, HERE) == Owner(Whose.COPY)


def test_another_apps_object_is_that_apps() -> None:
    found = ours(WEB, id=object_id(HERE, OTHER_APP, WEB))
    assert owner(found, APP, HERE) == Owner(Whose.OTHER_APP, "mooring_bakery")
    assert why_not_ours(found, APP, HERE, APPLYSET, CREATED) == "it belongs to mooring_bakery"


def test_an_app_of_the_same_name_in_another_namespace_is_another_app() -> None:
    found = ours(WEB, id=object_id(HERE, AppKey("team", "shop"), WEB))
    assert owner(found, APP, HERE).whose is Whose.OTHER_APP


def test_another_installations_object_is_not_ours_whatever_its_app_is_called() -> None:
    found = ours(WEB, id=object_id("elsewhere", APP, WEB))
    assert owner(found, APP, HERE).whose is Whose.OTHER_INSTALLATION
    assert why_not_ours(found, APP, HERE, APPLYSET, CREATED) == "it belongs to another Mooring"


@given(st.text(max_size=60))
def test_no_text_makes_an_object_ours_but_its_own_id(text: str) -> None:
    found = owner(live(WEB, id=text), APP, HERE)
    assert (found.whose is Whose.OURS) == (text == object_id(HERE, APP, WEB))


def test_a_child_with_copied_marks_belongs_to_its_controller() -> None:
    child = ours(WEB, owner_references=({"kind": "Rollout", "controller": True},))
    assert why_not_ours(child, APP, HERE, APPLYSET, CREATED) == "a controller owns it"
    kept_with = ours(WEB, owner_references=({"kind": "ConfigMap"},))
    assert why_not_ours(kept_with, APP, HERE, APPLYSET, CREATED) == ""


def test_a_label_that_somebody_else_put_there_proves_nothing() -> None:
    for fields in (
        (),
        (managed(APPLYSET_PART_OF, manager="kubectl"),),
        (managed("app"),),
        (managed(APPLYSET_PART_OF) | {"subresource": "status"},),
        (managed(APPLYSET_PART_OF, operation="Update"),),
    ):
        assert "does not own its label" in why_not_ours(
            ours(WEB, fields=fields), APP, HERE, APPLYSET, CREATED
        )


def test_an_update_counts_only_where_the_inventory_says_that_we_merge() -> None:
    merged = ours(WEB, fields=(managed(APPLYSET_PART_OF, operation="Update"),))
    assert why_not_ours(merged, APP, HERE, APPLYSET, Entry("created", "merge")) == ""
    assert why_not_ours(merged, APP, HERE, APPLYSET, Entry("created", "apply")) != ""
    applied_since = ours(WEB)
    assert why_not_ours(applied_since, APP, HERE, APPLYSET, Entry("created", "merge")) == ""


def test_what_is_in_no_inventory_is_not_ours_to_delete() -> None:
    assert why_not_ours(ours(WEB), APP, HERE, APPLYSET, None) == "it is not in this app's inventory"


@pytest.mark.parametrize("label", [None, "", "applyset-other-v1"])
def test_what_has_lost_its_label_is_not_ours_to_delete(label: str | None) -> None:
    labels = {} if label is None else {APPLYSET_PART_OF: label}
    assert "label" in why_not_ours(ours(WEB, labels=labels), APP, HERE, APPLYSET, CREATED)


def test_argos_tracking_counts_for_exactly_this_object_and_app() -> None:
    def tracked(text: str) -> bool:
        return tracked_by_argo(live(WEB, annotations={TRACKING_ID: text}), "shop")

    assert tracked("shop:apps/Deployment:shop/web")
    assert not tracked("bakery:apps/Deployment:shop/web")
    assert not tracked("shop:apps/Deployment:shop/web2")
    assert not tracked("shop:apps/StatefulSet:shop/web")
    assert not tracked_by_argo(live(WEB), "shop")
    core = live(SETTINGS, annotations={TRACKING_ID: "shop:/ConfigMap:shop/settings"})
    assert tracked_by_argo(core, "shop")


def test_argos_label_counts_where_argo_itself_has_put_it_and_no_annotation_says_otherwise() -> None:
    labels = {TRACKING_LABEL: "shop"}
    for how in ("Apply", "Update"):
        fields = (managed(TRACKING_LABEL, manager=ARGO_MANAGER, operation=how),)
        assert tracked_by_argo(live(WEB, labels=labels, fields=fields), "shop")
        assert not tracked_by_argo(live(WEB, labels=labels, fields=fields), "bakery")
        annotations = {TRACKING_ID: "bakery:apps/Deployment:shop/web"}
        assert not tracked_by_argo(live(WEB, labels=labels, annotations=annotations, fields=fields), "shop")
        child = live(WEB, labels=labels, fields=fields, owner_references=({"controller": True},))
        assert not tracked_by_argo(child, "shop")
    charts = (managed(TRACKING_LABEL, manager="helm"), managed("other", manager=ARGO_MANAGER))
    assert not tracked_by_argo(live(WEB, labels=labels, fields=charts), "shop")


ASKED = "2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-23T12:00:01Z",
        "2026-11-23T13:30:00+01:00",
        "2026-11-23T12:00:00.5Z",
        "2026-11-23T08:00:00-05:00",
    ],
)
def test_an_approval_after_the_question_counts(at: str) -> None:
    assert approved({DELETION_APPROVED: at}, ASKED)
    assert approved({"mooring.dev/deletion-approved": at}, ASKED)


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-23T11:59:59Z",
        "2026-11-23T12:00:00Z",  # the same second: nobody knows which came first
        "2026-11-23T12:30:00+01:00",  # half past eleven in UTC
        "true",
        "yes",
        "",
        "9",
        "2026-11-23",
        "2026-11-24T00:00:00",  # of no time zone: anybody's guess
    ],
)
def test_no_approval_is_read_into_anything_else(at: str) -> None:
    assert not approved({DELETION_APPROVED: at}, ASKED)


def test_nothing_is_approved_that_was_never_asked() -> None:
    assert not approved({DELETION_APPROVED: ASKED}, "")
    assert not approved({}, ASKED)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_words_may_stand_in_an_approval(at: str, since: str) -> None:
    assert approved({DELETION_APPROVED: at}, since) in (True, False)


def test_what_holds_data_is_precious() -> None:
    assert all(
        precious(of)
        for of in (
            key("shop", "Namespace"),
            key("anchors.example.com", "CustomResourceDefinition", "apiextensions.k8s.io"),
            key("disk", "PersistentVolume"),
            key("disk", "PersistentVolumeClaim"),
        )
    )
    assert not precious(WEB)
    assert not precious(key("x", "Namespace", "example.com"))
