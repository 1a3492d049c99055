"""`--resource`: which objects a sync is for."""

from __future__ import annotations

import click
import pytest

from cli.app.selected import pattern, selected
from mooring.errors import Refused
from mooring.model.application import Application

OBJECTS = (
    ("apps", "Deployment", "shop", "web"),
    ("apps", "Deployment", "shop", "db"),
    ("", "ConfigMap", "shop", "web"),
    ("", "ConfigMap", "bank", "web"),
    ("", "Namespace", "", "bank"),
)


def app() -> Application:
    keys = ("group", "kind", "namespace", "name")
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "shop", "namespace": "mooring"},
            "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc"}},
            "status": {
                "resources": [
                    *(dict(zip(keys, one, strict=True)) for one in OBJECTS),
                    {"group": "batch", "kind": "Job", "namespace": "shop", "name": "web", "hook": True},
                ]
            },
        }
    )


def chosen(*texts: str) -> list[tuple[str, str, str, str]]:
    found = selected(app(), [pattern(text) for text in texts])
    return [(one.group, one.kind, one.namespace, one.name) for one in found]


@pytest.mark.parametrize(
    ("texts", "which"),
    [
        (["apps:Deployment:web"], [0]),
        ([":ConfigMap:web"], [2, 3]),
        ([":ConfigMap:bank/web"], [3]),
        ([":Namespace:bank"], [4]),
        (["apps:*:*"], [0, 1]),
        (["*:*:w*"], [0, 2, 3]),
        (["*:*:shop/*"], [0, 1, 2]),
        (["!apps:Deployment:web"], [1, 2, 3, 4]),
        (["*:*:web", "!:ConfigMap:bank/web"], [0, 2]),
        (["apps:Deployment:web", ":Namespace:bank"], [0, 4]),
        ([], []),
    ],
)
def test_objects_are_selected_by_group_kind_and_name(texts: list[str], which: list[int]) -> None:
    assert chosen(*texts) == [OBJECTS[number] for number in which], "hooks are none of them"


def test_what_selects_nothing_is_refused_by_its_name() -> None:
    with pytest.raises(
        Refused, match=r"shop has no object apps:Deployment:wbe: `mooring app resources shop`"
    ):
        chosen("apps:Deployment:web", "apps:Deployment:wbe")
    with pytest.raises(Refused, match="has no object !apps:Deployment:wbe"):
        chosen("!apps:Deployment:wbe")
    with pytest.raises(Refused, match="has no object Deployment:"):
        chosen("Deployment:Deployment:web")
    with pytest.raises(Refused, match="--resource leaves no object"):
        chosen("!*:*:*")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "Deployment:web",
        "apps:Deployment:web:1",
        "apps::web",
        "apps:Deployment:",
        "apps:Deployment:shop/",
    ],
)
def test_what_is_no_pattern_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not GROUP:KIND:NAME"):
        pattern(text)
