"""What a sync would do: above all, what it never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.names import APPLYSET_PART_OF, SYNC_OPTIONS, TRACKING_ID
from mooring.store.proofs import Proof
from tests.workers.objects import APP, APPLYSET, HERE, OTHER_APP, desired, key, live, managed, ours
from workers.applyset.identity import object_id
from workers.applyset.inventory import Entry, Inventory
from workers.cluster.live import Live
from workers.desired import Desired
from workers.observe import Observed
from workers.plan import (
    NOT_ALLOWED,
    PRUNE_SKIPPED,
    Permission,
    Plan,
    Step,
    Verb,
    Viewpoint,
    plan,
    without_prunes,
)
from workers.proof import record

WEB = key("web", "Deployment", "apps")
SETTINGS = key("settings")
DISK = key("disk", "PersistentVolumeClaim")
HOME = key("shop", "Namespace")
MANY = [key(f"c{number}") for number in range(6)]

AUTOMATED = Permission(prune=True, by_hand=False, approved=False)
NO_PRUNE = replace(AUTOMATED, prune=False)
BY_HAND = Permission(prune=True, by_hand=True, approved=False)
APPROVED = replace(AUTOMATED, approved=True)
CREATED = Entry("created", "apply")


def planned(
    wanted: Sequence[Desired] = (),
    objects: Sequence[Live] = (),
    inventory: dict[ObjectKey, Entry] | None = None,
    *,
    absent: Sequence[ObjectKey] = (),
    permission: Permission = AUTOMATED,
    proofs: dict[ObjectKey, Proof] | None = None,
    options: Sequence[str] = (),
    rendered_elsewhere: Sequence[ObjectKey] = (),
    hooks: Sequence[ObjectKey] = (),
) -> Plan:
    view = Viewpoint(
        APP,
        HERE,
        APPLYSET,
        lambda app, of: app == str(OTHER_APP) and of in rendered_elsewhere,
        lambda of: of in rendered_elsewhere,
    )
    observed = Observed({found.key: found for found in objects}, frozenset(absent))
    books = Inventory(inventory or {})
    return plan(wanted, observed, books, proofs or {}, lambda _: "v1", view, options, permission, hooks)


def steps(groups: tuple[tuple[Step, ...], ...]) -> list[Step]:
    return [step for group in groups for step in group]


def pruned(found: Plan) -> set[ObjectKey]:
    return {step.key for step in steps(found.prunes)}


def reasons(found: Plan) -> dict[ObjectKey, str]:
    return {extra.key: extra.reason for extra in found.extras}


# --- writing --------------------------------------------------------------------------------------


def test_what_is_missing_is_created_and_written_down_before() -> None:
    found = planned([desired(SETTINGS)], absent=[SETTINGS])
    assert [step.verb for step in steps(found.writes)] == [Verb.CREATE]
    assert found.grow == {SETTINGS: CREATED}
    assert found.changes


def test_what_is_proved_is_left_alone() -> None:
    wanted = desired(SETTINGS)
    proof = record(wanted.digest, "v1", ours(SETTINGS))
    found = planned([wanted], [ours(SETTINGS)], {SETTINGS: CREATED}, proofs={SETTINGS: proof})
    assert [step.key for step in found.kept] == [SETTINGS]
    assert not found.changes
    assert found.grow == {}
    doubted = planned([wanted], [ours(SETTINGS)], {SETTINGS: CREATED})
    assert [step.verb for step in steps(doubted.writes)] == [Verb.UPDATE]


def test_a_proof_does_not_make_a_strangers_object_ours() -> None:
    wanted, found = desired(SETTINGS), live(SETTINGS)
    proof = record(wanted.digest, "v1", found)
    assert not planned([wanted], [found], proofs={SETTINGS: proof}).kept


def test_what_existed_before_is_adopted_and_what_argo_owned_counts_as_ours() -> None:
    (step,) = steps(planned([desired(SETTINGS)], [live(SETTINGS)]).writes)
    assert (step.verb, step.adopts) == (Verb.UPDATE, True)
    assert planned([desired(SETTINGS)], [live(SETTINGS)]).grow == {SETTINGS: Entry("adopted", "apply")}
    tracked = live(SETTINGS, annotations={TRACKING_ID: "shop:/ConfigMap:shop/settings"})
    assert planned([desired(SETTINGS)], [tracked]).grow == {SETTINGS: CREATED}


def test_what_somebody_made_anew_is_adopted_though_we_had_made_one_like_it() -> None:
    # It was ours, somebody deleted it and made another: what is in it now is theirs.
    found = planned([desired(SETTINGS)], [live(SETTINGS)], {SETTINGS: CREATED})
    assert found.grow == {SETTINGS: Entry("adopted", "apply")}


def test_how_an_object_is_written_is_written_down_when_it_changes() -> None:
    merged = desired(SETTINGS, server_side=False)
    found = planned([merged], [ours(SETTINGS)], {SETTINGS: Entry("adopted", "apply")})
    assert found.grow == {SETTINGS: Entry("adopted", "merge")}
    assert planned([merged], [ours(SETTINGS)], {SETTINGS: Entry("created", "merge")}).grow == {}


def test_another_installations_object_is_not_written() -> None:
    found = planned([desired(SETTINGS)], [ours(SETTINGS, id=object_id("elsewhere", APP, SETTINGS))])
    assert not found.changes
    assert [step.key for step in found.refused] == [SETTINGS]
    assert found.grow == {}
    assert [notice.type for notice in found.notices] == ["SharedResourceWarning"]


def test_another_apps_object_is_handed_over_only_when_that_app_has_dropped_it() -> None:
    theirs = ours(SETTINGS, id=object_id(HERE, OTHER_APP, SETTINGS))
    shared = planned([desired(SETTINGS)], [theirs], rendered_elsewhere=[SETTINGS])
    assert not shared.changes
    assert "bakery" in shared.notices[0].message
    handed = planned([desired(SETTINGS)], [theirs])
    (step,) = steps(handed.writes)
    assert step.adopts
    assert step.live == theirs, "written under the version that was seen"


def test_what_was_handed_over_is_forgotten_and_not_pruned_by_who_had_it() -> None:
    theirs = ours(SETTINGS, id=object_id(HERE, OTHER_APP, SETTINGS))
    found = planned([desired(WEB)], [theirs], {SETTINGS: CREATED}, absent=[WEB])
    assert pruned(found) == set()
    assert found.gone == {SETTINGS}


def test_writes_are_in_the_order_of_kinds() -> None:
    found = planned([desired(of) for of in (WEB, SETTINGS, HOME)], absent=[WEB, SETTINGS, HOME])
    assert [[step.key for step in group] for group in found.writes] == [[HOME], [SETTINGS], [WEB]]


# --- pruning --------------------------------------------------------------------------------------


def left(objects: Sequence[Live], permission: Permission = AUTOMATED, **more: Entry) -> Plan:
    """A plan of an app that keeps four objects while `objects` have left Git."""
    stay = [desired(of) for of in MANY[:4]]
    inventory = {found.key: more.get("entry", CREATED) for found in objects}
    inventory |= {item.key: CREATED for item in stay}
    return planned(stay, [*objects, *(ours(item.key) for item in stay)], inventory, permission=permission)


def test_our_own_that_left_git_is_pruned() -> None:
    found = left([ours(WEB), ours(SETTINGS)])
    assert [[step.key for step in group] for group in found.prunes] == [[WEB], [SETTINGS]]
    assert found.gone == frozenset(), "it leaves the inventory when it was seen gone"


def test_without_permission_nothing_is_pruned_and_everything_is_shown() -> None:
    found = left([ours(WEB)], NO_PRUNE)
    assert pruned(found) == set()
    assert reasons(found) == {WEB: NOT_ALLOWED}
    assert found.notices == ()


def test_what_was_not_seen_is_neither_pruned_nor_forgotten() -> None:
    found = planned([], [], {WEB: CREATED}, permission=BY_HAND)
    assert pruned(found) == set()
    assert found.gone == frozenset()


def test_what_was_seen_gone_leaves_the_inventory() -> None:
    assert planned([], [], {WEB: CREATED}, absent=[WEB]).gone == {WEB}


@pytest.mark.parametrize("of", [DISK, HOME])
def test_an_automated_sync_deletes_nothing_precious(of: ObjectKey) -> None:
    found = left([ours(of), ours(WEB)])
    assert pruned(found) == {WEB}
    assert [notice.type for notice in found.notices] == [PRUNE_SKIPPED]
    assert pruned(left([ours(of)], BY_HAND)) == {of}
    assert pruned(left([ours(of)], APPROVED)) == {of}


def test_an_automated_sync_deletes_nothing_adopted() -> None:
    adopted = Entry("adopted", "apply")
    assert pruned(left([ours(WEB)], entry=adopted)) == set()
    assert pruned(left([ours(WEB)], BY_HAND, entry=adopted)) == {WEB}


def test_an_automated_sync_does_not_delete_most_of_an_app() -> None:
    gone, stay = [ours(of) for of in MANY[:3]], MANY[3:5]
    inventory = dict.fromkeys(MANY[:5], CREATED)
    objects = [*gone, *(ours(of) for of in stay)]
    wanted = [desired(of) for of in stay]
    found = planned(wanted, objects, inventory)
    assert pruned(found) == set()
    assert set(reasons(found)) == set(MANY[:3])
    assert "3 of 5" in found.notices[0].message
    assert pruned(planned(wanted, objects, inventory, permission=BY_HAND)) == set(MANY[:3])
    assert pruned(planned(wanted, objects, {**inventory, MANY[5]: CREATED}, permission=AUTOMATED)) == set(
        MANY[:3]
    ), "three of six are not more than half"


def test_two_objects_are_never_most_of_an_app() -> None:
    assert pruned(
        planned([desired(WEB)], [ours(SETTINGS), ours(MANY[0])], {SETTINGS: CREATED, MANY[0]: CREATED})
    )


def test_an_empty_git_deletes_nothing_unless_allowed() -> None:
    found = planned([], [ours(WEB)], {WEB: CREATED})
    assert pruned(found) == set()
    assert "allowEmpty" in found.notices[0].message
    assert pruned(planned([], [ours(WEB)], {WEB: CREATED}, permission=replace(AUTOMATED, allow_empty=True)))
    assert pruned(planned([], [ours(WEB)], {WEB: CREATED}, permission=BY_HAND))


def test_sync_options_keep_an_object() -> None:
    keep = ours(WEB)
    keep = replace(keep, annotations={**keep.annotations, SYNC_OPTIONS: "Prune=false"})
    for permission in (AUTOMATED, BY_HAND, APPROVED):
        assert pruned(left([keep], permission)) == set()
    helm = ours(WEB)
    helm = replace(helm, annotations={**helm.annotations, "helm.sh/resource-policy": "keep"})
    assert pruned(left([helm], BY_HAND)) == set()
    confirm = replace(keep, annotations={**keep.annotations, SYNC_OPTIONS: "Prune=confirm"})
    assert pruned(left([confirm], AUTOMATED)) == set()
    assert pruned(left([confirm], BY_HAND)) == set()
    assert pruned(left([confirm], APPROVED)) == {WEB}
    whole_app = planned([], [ours(WEB)], {WEB: CREATED}, permission=BY_HAND, options=["Prune=false"])
    assert pruned(whole_app) == set()


def test_nobody_is_told_to_do_what_would_not_help() -> None:
    keep = ours(WEB)
    keep = replace(keep, annotations={**keep.annotations, SYNC_OPTIONS: "Prune=false"})
    assert left([keep]).notices == (), "it was asked to stay"
    confirm = replace(keep, annotations={**keep.annotations, SYNC_OPTIONS: "Prune=confirm"})
    (notice,) = left([confirm]).notices
    assert "deletion-approved" in notice.message
    assert "sync with prune" not in notice.message, "a confirmation is asked for, not another sync"


def test_how_to_delete_is_said_by_the_object() -> None:
    found = ours(WEB)
    found = replace(
        found, annotations={**found.annotations, SYNC_OPTIONS: "PrunePropagationPolicy=background"}
    )
    assert [step.propagation for step in steps(left([found]).prunes)] == ["background"]
    orphan = replace(found, annotations={**found.annotations, SYNC_OPTIONS: "PrunePropagationPolicy=orphan"})
    assert [step.propagation for step in steps(left([orphan]).prunes)] == ["orphan"], "its children stay"
    assert [step.propagation for step in steps(left([ours(WEB)]).prunes)] == ["foreground"]


def test_what_is_going_already_is_not_deleted_again() -> None:
    found = left([ours(WEB, deletion_timestamp="2026-11-23T12:00:00Z")])
    assert pruned(found) == set()
    assert reasons(found) == {WEB: "is being deleted"}


def test_what_claims_to_be_ours_and_is_nowhere_written_down_is_shown_and_left() -> None:
    found = planned([desired(SETTINGS)], [ours(WEB), ours(SETTINGS)], {SETTINGS: CREATED}, permission=BY_HAND)
    assert pruned(found) == set()
    assert [notice.type for notice in found.notices] == ["OrphanedResourceWarning"]
    child = ours(WEB, owner_references=({"controller": True},))
    assert planned([], [child], permission=BY_HAND).notices == (), "children carry copies of our marks"


def test_what_git_has_as_a_hook_has_not_left_it() -> None:
    kept = ours(SETTINGS)
    found = planned([], [kept], {SETTINGS: CREATED}, hooks=[SETTINGS])
    assert not found.prunes and not found.extras and not found.notices
    assert not found.gone, "until it has made room it is what the app has kept"


def test_what_became_a_hook_leaves_the_inventory_without_a_word() -> None:
    hook = ours(SETTINGS, labels={}, fields=())
    found = planned([], [hook], {SETTINGS: CREATED}, hooks=[SETTINGS])
    assert (set(found.gone), found.notices, found.extras) == ({SETTINGS}, (), ())
    assert planned([], [], {SETTINGS: CREATED}, absent=[SETTINGS], hooks=[SETTINGS]).gone == {SETTINGS}


def test_prunes_can_be_left_for_later() -> None:
    found = without_prunes(left([ours(WEB)]))
    assert pruned(found) == set()
    assert reasons(found) == {WEB: "not pruned because an earlier step failed"}


# --- any combination at all -----------------------------------------------------------------------


@dataclass
class Thing:
    """One object in all its guises."""

    key: ObjectKey
    wanted: bool
    entry: Entry | None
    sight: str  # "seen", "absent" or "unknown"
    id: str | None
    label: str | None
    fields: tuple[tuple[str, str], ...]  # (manager, operation) of who owns the label
    controller: bool
    deleting: bool
    option: str
    live: Live | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.sight != "seen":
            return
        self.live = live(
            self.key,
            id=self.id,
            labels={} if self.label is None else {APPLYSET_PART_OF: self.label},
            annotations={SYNC_OPTIONS: self.option} if self.option else {},
            fields=tuple(managed(APPLYSET_PART_OF, manager=m, operation=o) for m, o in self.fields),
            owner_references=({"controller": True},) if self.controller else (),
            deletion_timestamp="2026-11-23T12:00:00Z" if self.deleting else None,
        )


UNIVERSE = [WEB, SETTINGS, DISK, HOME, *MANY[:4]]


def mostly(usual: object, *others: object) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * (2 * len(others) + 1) + list(others))


def things() -> st.SearchStrategy[list[Thing]]:
    def one(of: ObjectKey) -> st.SearchStrategy[Thing]:
        other = key("another")
        return st.builds(
            Thing,
            key=st.just(of),
            wanted=st.sampled_from([False, False, True]),
            entry=mostly(CREATED, None, Entry("adopted", "apply"), Entry("created", "merge")),
            sight=mostly("seen", "absent", "unknown"),
            id=mostly(
                object_id(HERE, APP, of),
                None,
                "nonsense",
                object_id(HERE, APP, other),
                object_id(HERE, OTHER_APP, of),
                object_id("elsewhere", APP, of),
            ),
            label=mostly(APPLYSET, None, "applyset-other-v1"),
            fields=mostly(
                (("mooring", "Apply"),),
                (),
                (("kubectl", "Apply"),),
                (("mooring", "Update"),),
                (("kubectl", "Update"), ("mooring", "Apply")),
            ),
            controller=mostly(False, True),
            deleting=mostly(False, True),
            option=mostly("", "Prune=false", "Prune=confirm"),
        )

    return st.tuples(*(one(of) for of in UNIVERSE)).map(list)


permissions = st.builds(Permission, st.booleans(), st.booleans(), st.booleans(), st.booleans())


def forbids(thing: Thing, world: list[Thing], permission: Permission) -> Iterator[str]:
    """Why DESIGN's rules forbid to delete it, in this test's own words."""
    answered = permission.by_hand or permission.approved
    if thing.wanted:
        yield "Git wants it"
    if thing.sight != "seen":
        yield "it was not seen"
    if thing.entry is None:
        yield "no inventory"
    if thing.id != f"{HERE}/{APP}/{thing.key}":
        yield "the id is not of this very object and app"
    if thing.label != APPLYSET:
        yield "no label"
    if ("mooring", "Apply") not in thing.fields and not (
        ("mooring", "Update") in thing.fields and thing.entry == Entry("created", "merge")
    ):
        yield "not we put the label there"
    if thing.controller:
        yield "a controller's"
    if thing.deleting:
        yield "going already"
    if not permission.prune:
        yield "not permitted"
    if thing.option == "Prune=false":
        yield "told to stay"
    if thing.option == "Prune=confirm" and not permission.approved:
        yield "not confirmed"
    if not answered:
        if thing.key.kind in ("Namespace", "PersistentVolumeClaim"):
            yield "precious"
        if thing.entry and thing.entry.origin == "adopted":
            yield "adopted"
        if not permission.allow_empty and not any(one.wanted for one in world):
            yield "Git is empty"


@settings(max_examples=600)
@given(things(), permissions, st.booleans())
def test_nothing_is_ever_destroyed_on_doubt(
    world: list[Thing], permission: Permission, rendered: bool
) -> None:
    inventory = {thing.key: thing.entry for thing in world if thing.entry}
    found = planned(
        [desired(thing.key) for thing in world if thing.wanted],
        [thing.live for thing in world if thing.live],
        inventory,
        absent=[thing.key for thing in world if thing.sight == "absent"],
        permission=permission,
        rendered_elsewhere=UNIVERSE if rendered else (),
    )
    by_key = {thing.key: thing for thing in world}
    names = pruned(found)
    event(f"prunes {len(names)}")

    for step in steps(found.prunes):
        thing = by_key[step.key]
        assert list(forbids(thing, world, permission)) == []
        assert step.live is thing.live, "deleted under the version that was judged"
    if not (permission.by_hand or permission.approved):
        assert len(names) <= max(2, len(inventory) // 2)

    for of in found.gone:
        thing = by_key[of]
        assert not thing.wanted
        assert thing.entry is not None
        assert thing.sight == "absent" or thing.id in (
            object_id(HERE, OTHER_APP, of),
            object_id("elsewhere", APP, of),
        ), "only what was seen gone, or is somebody else's by its id, is forgotten"

    for step in steps(found.writes):
        thing = by_key[step.key]
        assert thing.wanted
        assert step.live is thing.live
        if step.live is not None:
            assert thing.id != object_id("elsewhere", APP, step.key)
            assert thing.id != object_id(HERE, OTHER_APP, step.key) or not rendered
        if step.adopts:
            assert {**inventory, **found.grow}[step.key].origin == "adopted"
        assert step.key in {**inventory, **found.grow}, "in the inventory before it is written"
    assert not names & {step.key for step in steps(found.writes)}

    # Nothing is passed over in silence: whatever is wanted has a step, whatever stays has a reason.
    told = [*steps(found.writes), *found.kept, *found.refused]
    assert {step.key for step in told} == {thing.key for thing in world if thing.wanted}
    for thing in world:
        if thing.sight == "seen" and thing.entry and not thing.wanted:
            shown = {extra.key for extra in found.extras}
            assert (thing.key in names) + (thing.key in shown) + (thing.key in found.gone) == 1


@settings(max_examples=100)
@given(things(), permissions)
def test_a_plan_is_the_same_however_its_parts_are_ordered(world: list[Thing], permission: Permission) -> None:
    def of(order: list[Thing]) -> Plan:
        return planned(
            [desired(thing.key) for thing in order if thing.wanted],
            [thing.live for thing in order if thing.live],
            {thing.key: thing.entry for thing in order if thing.entry},
            permission=permission,
        )

    one, other = of(world), of(world[::-1])
    assert one.writes == other.writes
    assert one.prunes == other.prunes
    assert one.extras == other.extras
    assert one.gone == other.gone
