"""The roles of a project are read as Argo CD reads them, and what nobody could obey is named."""

from __future__ import annotations

import pytest

from mooring.model.project import Role
from mooring.model.roles import mistakes


def _wrong(*policies: str, name: str = "deployer", groups: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return list(mistakes("shop", (Role(name=name, policies=policies, groups=groups),)))


@pytest.mark.parametrize(
    "policy",
    [
        "p, proj:shop:deployer, applications, sync, shop/*, allow",
        "p,proj:shop:deployer,applications,get,shop/web,deny",
        "p, proj:shop:deployer, applications, *, shop/team-a/web, allow",
        "p, proj:shop:deployer, applications, action/apps/Deployment/restart, shop/*, allow",
        "p, proj:shop:deployer, applications, delete/*/Pod/*/*, shop/*, allow",
        "p, proj:shop:deployer, logs, get, shop/*, allow",
        "p, proj:shop:deployer, repositories, create, shop/*, allow",
    ],
)
def test_what_argo_cd_takes_is_no_mistake(policy: str) -> None:
    assert _wrong(policy) == []


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("sync everything", "is no policy: write p, proj:shop:deployer,"),
        ("g, proj:shop:deployer, applications, sync, shop/*, allow", "is no policy"),
        (
            "p, proj:other:deployer, applications, sync, shop/*, allow",
            "its subject must be proj:shop:deployer",
        ),
        ("p, proj:shop:admin, applications, sync, shop/*, allow", "its subject must be proj:shop:deployer"),
        (
            "p, proj:shop:deployer, accounts, get, shop/*, allow",
            "'accounts' is nothing that a project's role",
        ),
        ("p, proj:shop:deployer, applications, sinc, shop/*, allow", "'sinc' is no action"),
        ("p, proj:shop:deployer, applications, sync/x, shop/*, allow", "'sync/x' is no action"),
        ("p, proj:shop:deployer, applications, sync, other/*, allow", "it must begin with shop/"),
        ("p, proj:shop:deployer, applications, sync, shop/, allow", "it must begin with shop/"),
        ("p, proj:shop:deployer, applications, sync, *, allow", "it must begin with shop/"),
        ("p, proj:shop:deployer, applications, sync, shop/*, permit", "'permit' is neither allow nor deny"),
    ],
)
def test_a_policy_that_gives_nobody_a_right_is_told(policy: str, why: str) -> None:
    ((path, told),) = _wrong(policy)
    assert path == "roles[0].policies[0]"
    assert told.startswith(repr(policy)) and why in told


def test_names_of_roles_and_groups_are_looked_at_too() -> None:
    assert [path for path, _ in _wrong(name="no name")] == ["roles[0].name"]
    assert [path for path, _ in _wrong(groups=("team", "a,b", " "))] == [
        "roles[0].groups[1]",
        "roles[0].groups[2]",
    ]
    twice = (Role(name="a"), Role(name="a"))
    assert list(mistakes("shop", twice)) == [("roles[1].name", "a is the name of an earlier role, too")]
