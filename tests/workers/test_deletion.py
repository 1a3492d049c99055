"""What goes with an Application, in which order, and above all what never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.model.finalizers import RESOURCES, cascade, obeyed, without_cascade
from mooring.names import APPLYSET_PART_OF, SYNC_OPTIONS
from tests.workers.objects import APP, APPLYSET, HERE, OTHER_APP, key, live, managed, ours
from workers.applyset.identity import object_id
from workers.applyset.inventory import Entry, Inventory
from workers.cluster.live import Live
from workers.delete import waiting
from workers.deletion import Deletion, deletion
from workers.observe import Observed
from workers.plan import Viewpoint

WEB = key("web", "Deployment", "apps")
SETTINGS = key("settings")
HOME = key("shop", "Namespace")
CRD = key("boats.example.org", "CustomResourceDefinition", "apiextensions.k8s.io")
SELF = ObjectKey("argoproj.io", "Application", APP.namespace, APP.name)
DELETED = "2026-01-01T00:00:00Z"
CREATED = Entry("created", "apply")


def left(
    objects: Sequence[Live],
    inventory: Mapping[ObjectKey, Entry] | None = None,
    *,
    absent: Sequence[ObjectKey] = (),
    claimed: Sequence[ObjectKey] = (),
    options: Sequence[str] = (),
    approved: bool = False,
    forbidden: Sequence[ObjectKey] = (),
) -> Deletion:
    view = Viewpoint(APP, HERE, APPLYSET, lambda app, of: False, lambda of: of in claimed)
    entries = (
        dict.fromkeys([*(each.key for each in objects), *absent], CREATED) if inventory is None else inventory
    )
    return deletion(
        Observed({each.key: each for each in objects}, frozenset(absent)),
        Inventory(entries),
        view,
        options,
        cascade="foreground",
        approved=approved,
        why_not=lambda each: "project shop does not permit it" if each.key in forbidden else "",
    )


def now(found: Deletion) -> list[ObjectKey]:
    return [step.key for group in found.now for step in group]


def in_wave(of: ObjectKey, wave: int, **more: object) -> Live:
    return ours(of, annotations={"argocd.argoproj.io/sync-wave": str(wave)}, **more)


def test_of_one_wave_what_depends_on_another_goes_first() -> None:
    found = left([ours(HOME), ours(SETTINGS), ours(WEB)])
    assert now(found) == [WEB, SETTINGS, HOME]
    assert not found.later


def test_a_wave_waits_until_the_higher_one_was_seen_gone() -> None:
    found = left([in_wave(WEB, 1), ours(SETTINGS)])
    assert (now(found), found.later) == ([WEB], (SETTINGS,))
    going = in_wave(WEB, 1, deletion_timestamp=DELETED, finalizers=("example.org/hold",))
    found = left([going, ours(SETTINGS)])
    assert (now(found), found.going, found.later) == ([], (going,), (SETTINGS,))
    said = waiting(found)
    assert said == (
        "waits for apps/Deployment shop/web (finalizers: example.org/hold) to be gone, "
        "then for 1 more of lower waves"
    )
    assert now(left([ours(SETTINGS)], {WEB: CREATED, SETTINGS: CREATED}, absent=[WEB])) == [SETTINGS]


def test_what_was_not_seen_for_certain_is_waited_for_and_nothing_else_deleted() -> None:
    found = left([ours(SETTINGS)], {WEB: CREATED, SETTINGS: CREATED})
    assert (now(found), found.unseen, found.gone) == ([], (WEB,), frozenset())
    assert not found.done


@pytest.mark.parametrize(
    ("option", "approved", "stays", "asks"),
    [
        ("Delete=false", True, True, False),
        ("Delete=confirm", False, False, True),
        ("Delete=confirm", True, False, False),
        ("Prune=false", False, False, False),
    ],
)
def test_the_option_of_an_object_or_of_the_app_says_whether_it_is_deleted(
    option: str, approved: bool, stays: bool, asks: bool
) -> None:
    own = left([ours(SETTINGS, annotations={SYNC_OPTIONS: option}), ours(WEB)], approved=approved)
    apps = left([ours(SETTINGS)], options=[option], approved=approved)
    for found in (own, apps):
        assert bool(found.stays) is stays
        assert found.asked == ((SETTINGS,) if asks else ())
        assert (SETTINGS in now(found)) is not (stays or asks)
    assert (WEB in now(own)) is not asks, "what asks for a confirmation holds all"


def test_what_stays_lawfully_is_in_nobodys_way() -> None:
    found = left([ours(CRD), in_wave(SETTINGS, 5), live(WEB), ours(SELF)], forbidden=[SETTINGS], claimed=[])
    assert found.done
    assert [extra.key for extra in found.stays] == [SETTINGS, CRD, WEB]
    assert found.gone == {SELF}, "it is being deleted already, and waits for nothing but us"


def test_what_is_anothers_by_now_leaves_the_inventory_and_what_another_wants_stays_for_it() -> None:
    theirs = live(WEB, id=object_id(HERE, OTHER_APP, WEB), labels={APPLYSET_PART_OF: "applyset-x-v1"})
    found = left([theirs, ours(SETTINGS)], claimed=[SETTINGS])
    assert found.gone == {WEB}
    assert [extra.key for extra in found.stays] == [SETTINGS]
    assert found.done


# --- whatever there is ------------------------------------------------------------------------------

UNIVERSE = [key(f"c{number}") for number in range(5)] + [WEB, HOME]


@dataclass(frozen=True)
class Thing:
    """What the cluster and the inventory have of one key."""

    found: Live | None
    entered: bool
    absent: bool


def things() -> st.SearchStrategy[list[Thing]]:
    def one(of: ObjectKey) -> st.SearchStrategy[Thing]:
        right = object_id(HERE, APP, of)
        lives = st.builds(
            lambda id, label, fields, wave, controlled, options, deleted: live(
                of,
                id=id,
                labels={APPLYSET_PART_OF: label} if label else {},
                fields=(managed(APPLYSET_PART_OF),) if fields else (),
                annotations={"argocd.argoproj.io/sync-wave": str(wave), SYNC_OPTIONS: options},
                owner_references=({"controller": True},) if controlled else (),
                deletion_timestamp=DELETED if deleted else None,
            ),
            st.sampled_from([right] * 5 + [None, "x", object_id(HERE, OTHER_APP, of)]),
            st.sampled_from([APPLYSET] * 5 + ["other", ""]),
            st.sampled_from([True] * 5 + [False]),
            st.integers(-2, 2),
            st.sampled_from([False] * 5 + [True]),
            st.sampled_from([""] * 5 + ["Delete=false"]),
            st.booleans(),
        )
        return st.builds(
            Thing,
            st.one_of(st.none(), lives, lives, lives),
            st.sampled_from([True] * 4 + [False]),
            st.booleans(),
        )

    return st.tuples(*(one(of) for of in UNIVERSE)).map(list)


def world(found: Sequence[Thing]) -> tuple[list[Live], dict[ObjectKey, Entry], list[ObjectKey]]:
    pairs = list(zip(UNIVERSE, found, strict=True))
    objects = [thing.found for _, thing in pairs if thing.found is not None]
    absent = [of for of, thing in pairs if thing.found is None and thing.absent]
    return objects, {of: CREATED for of, thing in pairs if thing.entered}, absent


@given(things(), st.sets(st.sampled_from(UNIVERSE)))
def test_only_what_is_proved_ours_is_ever_deleted_and_the_highest_wave_first(
    drawn: list[Thing], claimed: set[ObjectKey]
) -> None:
    objects, inventory, absent = world(drawn)
    found = left(objects, inventory, absent=absent, claimed=sorted(claimed))
    by_key = {each.key: each for each in objects}
    for of in (*now(found), *found.later):
        each = by_key[of]
        assert each.annotations.get("mooring.dev/id") == f"{HERE}/{APP}/{of}"
        assert each.labels.get(APPLYSET_PART_OF) == APPLYSET
        assert each.managed_fields and not each.owner_references
        assert of in inventory and of not in claimed
        assert each.annotations[SYNC_OPTIONS] != "Delete=false"
    waves = {int(by_key[of].annotations["argocd.argoproj.io/sync-wave"]) for of in now(found)}
    rest = [int(by_key[of].annotations["argocd.argoproj.io/sync-wave"]) for of in found.later]
    rest += [int(each.annotations["argocd.argoproj.io/sync-wave"]) for each in found.going]
    assert len(waves) <= 1
    assert all(wave <= min(waves) for wave in rest if waves)
    assert not (found.unseen and found.now)
    assert found.gone <= inventory.keys()
    event(f"deletes {len(now(found))}")


@given(things())
def test_an_honest_cluster_is_emptied_of_what_is_ours_in_as_many_rounds_as_there_are_waves(
    drawn: list[Thing],
) -> None:
    objects, inventory, _ = world(drawn)
    absent = [of for of in inventory if of not in {each.key for each in objects}]
    objects = [replace(each, deletion_timestamp=None) for each in objects]
    left_there, order = list(objects), list[int]()
    for _ in range(6):
        found = left(left_there, inventory, absent=absent)
        if found.done:
            break
        deleted = now(found)
        order += [step.wave for group in found.now for step in group]
        left_there = [each for each in left_there if each.key not in deleted]
        absent += deleted
    assert found.done
    assert order == sorted(order, reverse=True)
    kept = {extra.key for extra in found.stays}
    assert {each.key for each in left_there} >= kept


# --- finalizers -------------------------------------------------------------------------------------


def test_finalizers_are_read_as_argo_cd_writes_them() -> None:
    assert cascade([]) is None
    assert cascade(["example.org/other"]) is None
    assert cascade([RESOURCES]) == cascade([f"{RESOURCES}/foreground"]) == "foreground"
    assert cascade(["example.org/other", f"{RESOURCES}/background"]) == "background"
    assert cascade([f"{RESOURCES}/orphan"]) is None
    names = ["example.org/other", RESOURCES, "post-delete-finalizer.argocd.argoproj.io/cleanup"]
    assert without_cascade(names) == (names[0], names[2])
    assert obeyed(names) == (names[1], names[2])
