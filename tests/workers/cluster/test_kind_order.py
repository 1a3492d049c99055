"""The order of kinds: what others need comes first, and goes last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from workers.cluster.order import KINDS, apply_order, prune_order

keys = st.builds(
    ObjectKey,
    group=st.sampled_from(["", "apps", "example.com"]),
    kind=st.sampled_from([*KINDS, "Anchor"]),
    namespace=st.sampled_from(["", "shop"]),
    name=st.sampled_from(["a", "b", "anchors.example.com"]),
)


def test_kinds_are_applied_as_argo_cd_applies_them() -> None:
    anchor = ObjectKey("example.com", "Anchor", "shop", "bow")
    web = ObjectKey("apps", "Deployment", "shop", "web")
    definition = ObjectKey("apiextensions.k8s.io", "CustomResourceDefinition", "", "anchors.example.com")
    shop = ObjectKey("", "Namespace", "", "shop")
    first, second = (ObjectKey("", "ConfigMap", "shop", name) for name in "ab")
    expected = ((shop,), (first, second), (definition,), (web,), (anchor,))
    assert apply_order([anchor, web, second, definition, first, shop]) == expected
    assert prune_order([anchor, web, second, definition, first, shop]) == expected[::-1]


def test_a_definition_comes_before_its_objects_even_if_their_kind_has_a_known_name() -> None:
    policy = ObjectKey("crd.projectcalico.org", "NetworkPolicy", "shop", "deny")
    definition = ObjectKey(
        "apiextensions.k8s.io", "CustomResourceDefinition", "", "networkpolicies.crd.projectcalico.org"
    )
    assert apply_order([policy, definition]) == ((definition,), (policy,))


@given(st.sets(keys))
def test_each_object_is_in_one_group_whatever_order_it_came_in(objects: set[ObjectKey]) -> None:
    groups = apply_order(objects)
    assert sorted(key for group in groups for key in group) == sorted(objects)
    assert all(groups)
    assert groups == apply_order(sorted(objects, reverse=True))
