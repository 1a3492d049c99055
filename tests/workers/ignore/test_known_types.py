"""What means the same in a field of one of Kubernetes' own types, by what a real server publishes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cluster.api import Api
from workers.ignore.comparing import KnownField
from workers.ignore.known_types import Types, alike
from workers.ignore.quantities import amount
from workers.schema.openapi import Schemas


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"),
        (1, "1"),
        (0.5, "500m"),
        ("1Gi", "1024Mi"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1k"),
        ("1E3", "1000"),
        ("100u", "100000n"),
        (".5", "0.50"),
        ("+2", "2.0"),
        ("0.1n", "1n"),  # the smallest that there is
        ("-1M", "-1000k"),
        ("1E", "1e18"),
    ],
)
def test_quantities_that_are_the_same(one: Any, other: Any) -> None:
    assert amount(one) == amount(other) is not None


@pytest.mark.parametrize(
    "text", ["", "1 Gi", "1gi", "Gi", "1.2.3", "1e", "1e1000", "\u0661", "1Ki5", None, True]
)
def test_what_is_no_quantity(text: Any) -> None:
    assert amount(text) is None


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6), st.sampled_from("munkMG"))
def test_a_quantity_is_what_its_number_and_its_suffix_say(number: Decimal, suffix: str) -> None:
    scale = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9}[suffix]
    told = amount(f"{number:f}{suffix}")
    assert told is not None
    assert abs(told - number.scaleb(scale)) < Decimal("1e-9")


POD = KnownField(("spec", "template"), "core/v1/PodSpec")


def container(**more: Any) -> dict[str, Any]:
    return {"name": "web", "image": "web:1", **more}


def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"containers": [*containers], **more}}}


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("field", "git", "live"),
    [
        (
            POD,
            pod(container(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}})),
            pod(container(resources={"limits": {"cpu": "1", "memory": "1Gi"}})),
        ),
        (POD, pod(container(), nodeSelector={}, tolerations=[]), pod(container())),
        (POD, pod(container(env=[])), pod(container())),
        (POD, pod(container()), pod(container(), hostAliases=[])),
        (POD, pod(container(), affinity=None), pod(container())),
        (
            KnownField(("spec", "containers"), "core/v1/Container"),
            {"spec": {"containers": [container(resources={"requests": {"cpu": 2}})]}},
            {"spec": {"containers": [container(resources={"requests": {"cpu": "2"}})]}},
        ),
        (
            KnownField(("spec", "pools", "limits"), "core/v1/ResourceList"),
            {"spec": {"pools": [{"limits": {"cpu": "100m"}}, {"limits": {"cpu": "2e0"}}]}},
            {"spec": {"pools": [{"limits": {"cpu": "0.1"}}, {"limits": {"cpu": "2"}}]}},
        ),
        (
            KnownField(("spec", "size"), "core/Quantity"),
            {"spec": {"size": "1024Gi"}},
            {"spec": {"size": "1Ti"}},
        ),
        (
            KnownField(("spec", "wait"), "meta/v1/Duration"),
            {"spec": {"wait": "90s"}},
            {"spec": {"wait": "1m30s"}},
        ),
    ],
)
def test_what_a_controller_writes_in_other_words_means_the_same(
    api: Api, field: KnownField, git: Any, live: Any
) -> None:
    types = Types(Schemas(), api).of([field])
    assert alike(git, live, [field], types) == live
    assert alike(live, git, [field], types) == git
    assert git != live


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("field", "git", "live"),
    [
        (POD, pod(container(args=["1000m"])), pod(container(args=["1"]))),  # no quantity to anybody
        (POD, pod(container(image="web:1.0")), pod(container(image="web:1"))),
        (
            POD,
            pod(container(resources={"limits": {"cpu": "1001m"}})),
            pod(container(resources={"limits": {"cpu": "1"}})),
        ),
        (POD, pod(container(), nodeSelector={"a": "b"}), pod(container())),
        (
            POD,
            pod(container(), volumes=[{"name": "x", "emptyDir": {}}]),
            pod(container(), volumes=[{"name": "x"}]),
        ),
        (POD, pod(container(), container(name="b")), pod(container())),
        (POD, {**pod(container()), "size": "1000m"}, {**pod(container()), "size": "1"}),  # in another field
        (KnownField(("spec", "size"), "core/Quantity"), {"spec": {"size": "big"}}, {"spec": {"size": "1"}}),
        (
            KnownField(("spec", "wait"), "meta/v1/Duration"),
            {"spec": {"wait": "-1"}},
            {"spec": {"wait": "-1s"}},
        ),
        (KnownField(("spec",), "core/v1/Nothing"), {"spec": {"cpu": "1000m"}}, {"spec": {"cpu": "1"}}),
        (KnownField(("spec", "no"), "core/Quantity"), {"spec": {"no": "1"}}, {"spec": {}}),
    ],
)
def test_what_differs_stays_different(api: Api, field: KnownField, git: Any, live: Any) -> None:
    types = Types(Schemas(), api).of([field])
    assert alike(git, live, [field], types) == git != live
    assert alike(live, git, [field], types) == live


@pytest.mark.cluster
def test_beside_what_differs_what_means_the_same_is_not_shown(api: Api) -> None:
    git = pod(container(image="web:2", resources={"limits": {"cpu": "1000m"}}), nodeSelector={})
    live = pod(container(resources={"limits": {"cpu": "1"}}))
    shown = alike(git, live, [POD], Types(Schemas(), api).of([POD]))
    assert shown == pod(container(image="web:2", resources={"limits": {"cpu": "1"}}))
