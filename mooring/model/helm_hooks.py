"""Helm's hooks as Argo CD understands them: which of its own phases run an object, in which order, and when
it is deleted. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#helm-hooks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_HOOK: Final = "helm.sh/hook"
_PHASES: Final = {
    "pre-install": "PreSync",
    "pre-upgrade": "PreSync",
    "post-install": "PostSync",
    "post-upgrade": "PostSync",
    "pre-delete": "PreDelete",
    "post-delete": "PostDelete",
}
_DELETE: Final = {
    "before-hook-creation": "BeforeHookCreation",
    "hook-succeeded": "HookSucceeded",
    "hook-failed": "HookFailed",
}


@dataclass(frozen=True, slots=True)
class HelmHook:
    """An object that Helm would not install with the others.

    `phases` are Argo CD's; none for what it never runs, such as tests and rollbacks. `delete` are its delete
    policies; `wave` is the sync wave that the hook's weight stands for.
    """

    phases: tuple[str, ...]
    delete: tuple[str, ...]
    wave: int


def helm_hook(annotations: Mapping[str, str]) -> HelmHook | None:
    """The hook that an object with these annotations is; None when it is none. Whether Argo CD's own
    annotations win is the caller's to judge."""
    text = annotations.get(_HOOK)
    if text is None or installs_crd(annotations):
        return None
    phases = dict.fromkeys(_PHASES[name] for name in _names(text) if name in _PHASES)
    asked = _names(annotations.get(f"{_HOOK}-delete-policy", ""))
    delete = tuple(dict.fromkeys(_DELETE[name] for name in asked if name in _DELETE))
    return HelmHook(tuple(phases), delete or ("BeforeHookCreation",), weight(annotations))


def installs_crd(annotations: Mapping[str, str]) -> bool:
    """Whether it is a CRD as Helm 2 had them: no hook for Argo CD, but deployed like everything else."""
    return annotations.get(_HOOK) == "crd-install"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def weight(annotations: Mapping[str, str]) -> int:
    """The weight that Helm orders its hooks by, 0 where there is none."""
    try:
        return int(annotations.get(f"{_HOOK}-weight", ""))
    except ValueError:
        return 0  # as Argo CD reads it
