"""Which kinds are to be watched, told by the annotations of inventories."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import AppKey, ObjectKey
from workers.applyset.inventory import Entry, Inventory
from workers.applyset.parent import Parent, manifest
from workers.applyset.store import CONFIG_MAP
from workers.cluster.live import Live
from workers.cluster.watch import Changed, Gone, Listed
from workers.observer.inventories import Inventories

SHOP = Parent(AppKey("apps", "shop"), "abcdefgh", "home")
BLOG = Parent(AppKey("apps", "blog"), "abcdefgh", "home")
CONFIG = ObjectKey("", "ConfigMap", "home", "a")
WEB = ObjectKey("apps", "Deployment", "shop", "web")
ROLE = ObjectKey("rbac.authorization.k8s.io", "ClusterRole", "", "reader")


def live(parent: Parent, *keys: ObjectKey) -> Live:
    held = parent.with_inventory(Inventory().with_({key: Entry("created") for key in keys}))
    return Live.read(CONFIG_MAP, manifest(held), metadata_only=True)


def test_kinds_come_with_what_is_deployed_and_go_with_the_last_of_them() -> None:
    found = Inventories()
    found.hear(Listed((live(SHOP, CONFIG), live(BLOG, CONFIG))))
    assert found.kinds() == {("", "ConfigMap"): {"home"}}
    assert (found.app(SHOP.applyset), found.app(BLOG.applyset)) == (SHOP.app, BLOG.app)

    found.hear(Changed(live(SHOP, CONFIG, WEB, ROLE)))
    assert found.kinds() == {
        ("", "ConfigMap"): {"home", "shop"},
        ("apps", "Deployment"): {"home", "shop"},
        ("rbac.authorization.k8s.io", "ClusterRole"): {"home", "shop"},
    }
    assert found.with_kind("apps", "Deployment") == (SHOP.applyset,)

    found.hear(Gone(live(SHOP, CONFIG, WEB)))
    assert found.kinds() == {("", "ConfigMap"): {"home"}}
    assert found.app(SHOP.applyset) is None
    found.hear(Listed(()))
    assert found.kinds() == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([SHOP, BLOG]),
            st.sets(st.sampled_from([CONFIG, WEB, ROLE])),
            st.booleans(),
            st.booleans(),
        )
    )
)
def test_kinds_are_those_of_what_there_is_however_that_came(
    changes: Sequence[tuple[Parent, set[ObjectKey], bool, bool]],
) -> None:
    found, there = Inventories(), dict[str, Live]()
    for parent, keys, gone, asked in changes:
        one = live(parent, *keys)
        found.hear(Gone(one) if gone else Changed(one))
        if gone:
            there.pop(parent.applyset, None)
        else:
            there[parent.applyset] = one
        if asked:  # what was told once is kept
            found.kinds()
    anew = Inventories()
    anew.hear(Listed(tuple(there.values())))
    assert found.kinds() == anew.kinds()
    assert found.apps() == anew.apps()


def test_what_another_installation_has_in_the_cluster_is_none_of_ours() -> None:
    found = Inventories()
    found.installation = SHOP.installation
    theirs = Parent(BLOG.app, "hgfedcba", "home")
    found.hear(Listed((live(SHOP, CONFIG), live(theirs, WEB))))
    assert found.kinds() == {("", "ConfigMap"): {"home"}}
    assert (found.app(SHOP.applyset), found.app(theirs.applyset)) == (SHOP.app, None)


def test_what_makes_no_sense_is_nobodys() -> None:
    found = Inventories()
    garbled = live(SHOP, CONFIG)
    found.hear(Changed(garbled))
    annotations = {**garbled.annotations, "mooring.dev/id": "whose?"}
    found.hear(
        Changed(
            Live.read(
                CONFIG_MAP,
                {"metadata": {"name": "x", "labels": dict(garbled.labels), "annotations": annotations}},
            )
        )
    )
    assert found.app(SHOP.applyset) is None
