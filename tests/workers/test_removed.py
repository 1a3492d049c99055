"""Fields that have left Git: gone, or told with who keeps them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.workers.objects import key, live
from workers.cluster.live import Live
from workers.removed import still_there

WEB = key("web", "Deployment", "apps")


def owned(**entries: dict[str, Any]) -> Live:
    fields = tuple(
        {
            "manager": manager.replace("_", "-"),
            "operation": "Apply" if manager == "mooring" else "Update",
            "fieldsV1": fields,
        }
        for manager, fields in entries.items()
    )
    return live(WEB, fields=fields)


REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
BOTH: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:paused": {}}}


def test_a_field_that_nobody_owns_any_more_is_gone() -> None:
    assert still_there(owned(mooring=BOTH), owned(mooring=REPLICAS)) == ""


def test_a_field_that_somebody_else_owns_too_is_told_with_its_keeper() -> None:
    before = owned(mooring=BOTH, kubectl_edit=REPLICAS)
    after = owned(mooring={"f:spec": {"f:paused": {}}}, kubectl_edit=REPLICAS)
    assert still_there(before, after) == "spec.replicas left Git and is kept by kubectl-edit"


def test_what_others_own_and_we_never_did_is_their_business() -> None:
    assert still_there(owned(mooring=BOTH), owned(mooring=BOTH, hand={"f:spec": {"f:x": {}}})) == ""


def test_every_keeper_is_named() -> None:
    before = owned(mooring=BOTH, a=BOTH, b=REPLICAS)
    after = owned(mooring={}, a=BOTH, b=REPLICAS)
    assert still_there(before, after) == (
        "spec.paused, spec.replicas left Git and is kept by a; spec.replicas left Git and is kept by b"
    )


def test_items_of_lists_are_named_by_their_keys() -> None:
    item: dict[str, Any] = {'k:{"name":"main"}': {".": {}, "f:image": {}}}
    containers = {"f:spec": {"f:containers": item}}
    told = still_there(owned(mooring=containers, hand=containers), owned(mooring={}, hand=containers))
    assert 'spec.containers.{"name":"main"}.image' in told
    finalizers: dict[str, Any] = {"f:metadata": {"f:finalizers": {'v:"x/y"': {}}}}
    told = still_there(owned(mooring=finalizers, hand=finalizers), owned(mooring={}, hand=finalizers))
    assert told == 'metadata.finalizers."x/y" left Git and is kept by hand'


trees: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(
        st.sampled_from(["f:a", "f:b", ".", 'k:{"n":1}', "v:1"]), below, max_size=3
    ),
    max_leaves=8,
)


@given(trees, trees, trees)
def test_nothing_is_told_that_we_did_not_give_up(
    before: dict[str, Any], after: dict[str, Any], other: dict[str, Any]
) -> None:
    assert still_there(owned(mooring=before), owned(mooring=before, other=other)) == ""
    told = still_there(owned(mooring=before), owned(mooring=after, other=other))
    assert bool(told) <= bool(before and other)
    assert still_there(owned(mooring=before), owned(mooring=after)) == "", (
        "owned by nobody: the server took it out"
    )
