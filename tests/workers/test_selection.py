"""A sync of some objects only: what of a plan is carried out, and what is only compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.spec import Operation, OperationResource, SyncOperation
from mooring.model.sync_options import sync_options
from workers.applyset.inventory import Entry
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import Desired
from workers.plan import Extra, Plan, Step, Verb
from workers.selection import selection, selects, split

KIND = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)
NAMES = "abcdef"


def key(name: str, namespace: str = "shop") -> ObjectKey:
    return ObjectKey("apps", "Deployment", namespace, name)


def named(name: str, **more: str) -> OperationResource:
    return OperationResource(**{"group": "apps", "kind": "Deployment", "name": name, **more})


def plan() -> Plan:
    def step(verb: Verb, name: str) -> Step:
        metadata = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"}
        live = Live.read(KIND, {"metadata": metadata})
        if verb is Verb.PRUNE:
            return Step(verb, key(name), None, live)
        item = Desired(key(name), KIND, {}, "", sync_options(()), "a.yaml:1")
        return Step(verb, key(name), item, None if verb is Verb.CREATE else live)

    left = step(Verb.PRUNE, "f")
    assert left.live is not None
    return Plan(
        writes=((step(Verb.CREATE, "a"), step(Verb.UPDATE, "b")),),
        prunes=((step(Verb.PRUNE, "e"),),),
        kept=(step(Verb.KEEP, "c"),),
        refused=(step(Verb.REFUSE, "d"),),
        extras=(Extra(key("f"), left.live, "left Git"),),
        grow={key("a"): Entry("created"), key("b"): Entry("adopted")},
        gone=frozenset({key("z")}),
        notices=(),
    )


def keys(found: Plan) -> list[ObjectKey]:
    pruned = (step.key for group in found.prunes for step in group)
    return [*(step.key for step in found.steps), *pruned, *(extra.key for extra in found.extras)]


@given(st.sets(st.sampled_from(NAMES), min_size=1))
def test_each_object_is_either_selected_or_left_and_none_is_lost(names: set[str]) -> None:
    chosen, rest = split(plan(), [named(name) for name in names])
    assert {one.name for one in keys(chosen)} == names
    assert {one.name for one in keys(rest)} == set(NAMES) - names
    assert {one.name for one in chosen.grow} == names & {"a", "b"}, "no other is to be created"
    assert (chosen.gone, rest.gone) == (plan().gone, frozenset()), "what is gone is gone"


def test_an_object_is_named_by_group_kind_name_and_where_given_namespace() -> None:
    assert selects(named("a"), key("a"))
    assert selects(named("a"), key("a", "bank"))
    assert selects(named("a", namespace="shop"), key("a"))
    for other in (
        named("b"),
        named("a", group=""),
        named("a", kind="StatefulSet"),
        named("a", namespace="bank"),
        named("*"),
    ):
        assert not selects(other, key("a"))


def test_a_selection_of_nothing_is_refused_by_the_name_of_the_first() -> None:
    with pytest.raises(Refused, match="selects Deployment shop/x and 1 more, and the app has no such object"):
        split(plan(), [named("x", namespace="shop"), named("y")])


def test_an_operation_without_a_selection_is_of_everything() -> None:
    assert selection(None) == ()
    assert selection(Operation()) == ()
    assert selection(Operation(sync=SyncOperation())) == ()
    assert selection(Operation(sync=SyncOperation(resources=(named("a"),)))) == (named("a"),)
