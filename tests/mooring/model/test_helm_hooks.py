"""Helm's hooks are those of Argo CD that its users know."""

from __future__ import annotations

import pytest

from mooring.model.helm_hooks import HelmHook, helm_hook


@pytest.mark.parametrize(
    ("hook", "phases"),
    [
        ("pre-install", ("PreSync",)),
        ("pre-install,pre-upgrade", ("PreSync",)),
        (" post-install , post-upgrade", ("PostSync",)),
        ("pre-install,post-upgrade", ("PreSync", "PostSync")),
        ("pre-delete", ("PreDelete",)),
        ("post-delete,post-rollback", ("PostDelete",)),
        ("test", ()),
        ("test-success", ()),
        ("pre-rollback", ()),
        ("", ()),
    ],
)
def test_a_hook_runs_in_the_phases_that_it_stands_for(hook: str, phases: tuple[str, ...]) -> None:
    assert helm_hook({"helm.sh/hook": hook}) == HelmHook(phases, ("BeforeHookCreation",), 0)


def test_policies_and_weight_are_taken_over() -> None:
    found = helm_hook(
        {
            "helm.sh/hook": "pre-install",
            "helm.sh/hook-delete-policy": "hook-succeeded, hook-failed,unheard-of,hook-succeeded",
            "helm.sh/hook-weight": "-5",
        }
    )
    assert found == HelmHook(("PreSync",), ("HookSucceeded", "HookFailed"), -5)


def test_a_weight_that_is_no_number_is_none() -> None:
    assert helm_hook({"helm.sh/hook": "pre-install", "helm.sh/hook-weight": "first"}) == HelmHook(
        ("PreSync",), ("BeforeHookCreation",), 0
    )


@pytest.mark.parametrize("annotations", [{}, {"helm.sh/hook": "crd-install"}, {"helm.sh/chart": "web-1"}])
def test_what_is_no_hook(annotations: dict[str, str]) -> None:
    assert helm_hook(annotations) is None
