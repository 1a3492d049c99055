"""An Application's finalizers, as Argo CD has them: what is to be done before it may go. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/#about-the-deletion-finalizer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from mooring.names import ARGO

RESOURCES: Final = f"resources-finalizer.{ARGO}"
PRE_DELETE: Final = f"pre-delete-finalizer.{ARGO}"
POST_DELETE: Final = f"post-delete-finalizer.{ARGO}"
CLEANUP: Final = "/cleanup"  # of hooks that have run: their objects are to go, too

Cascade = Literal["foreground", "background"]
CASCADES: Final[Mapping[str, Cascade]] = {
    RESOURCES: "foreground",
    f"{RESOURCES}/foreground": "foreground",
    f"{RESOURCES}/background": "background",
}
_HOOKS: Final = (PRE_DELETE, PRE_DELETE + CLEANUP, POST_DELETE, POST_DELETE + CLEANUP)


def cascade(finalizers: Iterable[str]) -> Cascade | None:
    """How the objects are deleted with the Application; None where they stay. The first one counts."""
    return next((CASCADES[name] for name in finalizers if name in CASCADES), None)


def without_cascade(finalizers: Iterable[str]) -> tuple[str, ...]:
    """Those of others, and those of hooks."""
    return tuple(name for name in finalizers if name not in CASCADES)


def obeyed(finalizers: Iterable[str]) -> tuple[str, ...]:
    """Those among `finalizers` that wait for us, and for nobody else."""
    return tuple(name for name in finalizers if name in CASCADES or name in _HOOKS)
