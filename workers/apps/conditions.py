"""Conditions in Argo CD's words: what a person should know about an app. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mooring.model.status import Condition

# https://argo-cd.readthedocs.io/en/stable/operator-manual/argocd-cm-yaml/ names none of them; they are the
# constants of pkg/apis/application/v1alpha1, and other programs show them by these names.
INVALID_SPEC: Final = "InvalidSpecError"
SYNC_ERROR: Final = "SyncError"
SHARED_RESOURCE: Final = "SharedResourceWarning"
# Of what is nobody's in the app's namespace, and of what is its own and stays without Git: the words tell.
ORPHANED_RESOURCE: Final = "OrphanedResourceWarning"
RENDER_NOT_REPRODUCIBLE: Final = "RenderNotReproducible"  # ours
SYNC_WINDOW: Final = "SyncWindow"  # ours
HEALTH_WARNING: Final = "HealthWarning"  # ours: a custom health check fails
REPEATED_RESOURCE: Final = "RepeatedResourceWarning"
DEPENDENCY_CYCLE: Final = "DependencyCycle"  # ours
DEPENDENCY_WAITING: Final = "DependencyWaiting"  # ours
FOREIGN_FIELDS: Final = "ForeignFields"  # ours: what others have set, where that is drift
REPOSITORY_WARNING: Final = "RepositoryWarning"  # ours: a repository cannot be asked what is new
DRIFT: Final = "Drift"  # ours: what has drifted and is left, with the reason
CONTESTED: Final = "Contested"  # ours: what somebody sets again whenever self-heal has put it back
DELETION_ERROR: Final = "DeletionError"
DELETING: Final = "Deleting"  # ours: what a deletion waits for


def merge_conditions(
    before: Iterable[Condition], now: Iterable[tuple[str, str]], at: str
) -> tuple[Condition, ...]:
    """The conditions `now`, given as (type, message), each once; sorted, so that their order is no change.

    One that stood there before with the same words keeps its lastTransitionTime, a new one gets `at`
    (RFC 3339). Those of `before` that are not among `now` are over.
    """
    since = {(condition.type, condition.message): condition.last_transition_time for condition in before}
    return tuple(
        Condition(type=type_, message=message, last_transition_time=since.get((type_, message)) or at)
        for type_, message in sorted(set(now))
    )


def is_error(condition: Condition) -> bool:
    """Whether it says that something failed, and not only that something is worth knowing."""
    return condition.type.endswith("Error")
