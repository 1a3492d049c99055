"""Hooks, which run at their time of a sync instead of staying, and waves, which order all objects. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mooring.model.annotations import annotation
from mooring.model.helm_hooks import helm_hook, weight


class Phase(StrEnum):
    """When an object is written. The first three follow each other; the others have their own occasions."""

    PRE_SYNC = "PreSync"
    SYNC = "Sync"
    POST_SYNC = "PostSync"
    SYNC_FAIL = "SyncFail"  # once the sync has failed
    PRE_DELETE = "PreDelete"  # before what the Application has is deleted, and after
    POST_DELETE = "PostDelete"


class DeletePolicy(StrEnum):
    """When a hook's object is deleted."""

    SUCCEEDED = "HookSucceeded"
    FAILED = "HookFailed"
    BEFORE_CREATION = "BeforeHookCreation"


_PHASES: Final = {phase.value: phase for phase in Phase}
_POLICIES: Final = {policy.value: policy for policy in DeletePolicy}
_SKIP: Final = "Skip"  # not written at all


@dataclass(frozen=True, slots=True)
class Hook:
    """An object that runs. Without any phase it never does, as with `Skip`, and as what only Helm would run.

    `not_understood` are phases and policies as written that nobody knows.
    """

    phases: tuple[Phase, ...]
    delete: tuple[DeletePolicy, ...] = (DeletePolicy.BEFORE_CREATION,)
    not_understood: tuple[str, ...] = ()


def hook_of(annotations: Mapping[str, str]) -> Hook | None:
    """The hook that an object with these annotations is; None for one that is kept like any other.

    Helm's annotations count where there is none of Argo CD's (or of Mooring's own spelling).
    """
    asked, policies = _names(annotation(annotations, "hook")), annotation(annotations, "hook-delete-policy")
    if not asked:
        helm = helm_hook(annotations)
        if helm is None:
            return None
        asked, policies = [*helm.phases], policies or ",".join(helm.delete)
    deleted = _names(policies)
    unknown = [name for name in asked if name not in _PHASES and name != _SKIP]
    return Hook(
        tuple(dict.fromkeys(_PHASES[name] for name in asked if name in _PHASES)),
        tuple(dict.fromkeys(_POLICIES[name] for name in deleted if name in _POLICIES))
        or (DeletePolicy.BEFORE_CREATION,),
        (*unknown, *(name for name in deleted if name not in _POLICIES)),
    )


def wave_of(annotations: Mapping[str, str]) -> int:
    """The wave of an object: of those of one phase, lower ones are written and healthy before higher ones.

    0 where none is given, or no number. A Helm hook's weight counts where no wave is given.
    """
    text = annotation(annotations, "sync-wave")
    try:
        return int(text) if text else weight(annotations)
    except ValueError:
        return 0  # as Argo CD reads it


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]
