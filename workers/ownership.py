"""Whose an object is, and whether it may be deleted. Pure; the whole of "only our own is ever deleted".

Labels alone prove nothing: controllers copy them to children, and people clone objects. An object is
this app's own only if its annotation names this very object and app *and* our field manager put the
label there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mooring.keys import AppKey, ObjectKey
from mooring.names import (
    APPLYSET_PART_OF,
    ARGO,
    ARGO_MANAGER,
    DELETION_APPROVED,
    ID,
    OURS,
    TRACKING_ID,
    TRACKING_LABEL,
)
from workers.applyset.identity import parse_object_id
from workers.applyset.inventory import Entry
from workers.cluster.live import Live


class Whose(StrEnum):
    """Who an object belongs to, as far as it says so itself."""

    OURS = "ours"
    NOBODY = "nobody"  # no claim at all: may be adopted when Git names it
    COPY = "copy"  # carries the id of another object: a clone or a controller's child
    OTHER_APP = "other-app"
    OTHER_INSTALLATION = "other-installation"


@dataclass(frozen=True, slots=True)
class Owner:
    """`app` is the other application's key for OTHER_APP, else empty."""

    whose: Whose
    app: str = ""


def owner(live: Live, app: AppKey, installation: str) -> Owner:
    """Whose `live` is, seen from `app` of `installation`.

    An id of another app counts only when it names this very object: a clone's id does not bind it.
    """
    text = live.annotations.get(ID)
    if text is None:
        return Owner(Whose.NOBODY)
    said = parse_object_id(text)
    if said is None or said.key != live.key:
        return Owner(Whose.COPY)
    if said.installation != installation:
        return Owner(Whose.OTHER_INSTALLATION)
    if said.app != str(app):
        return Owner(Whose.OTHER_APP, said.app)
    return Owner(Whose.OURS)


def tracked_by_argo(live: Live, app_name: str) -> bool:
    """Whether Argo CD's own tracking says that the app of this name owned exactly this object.

    By its annotation; where there is none, by its label, if Argo CD itself has put it there: Helm charts have
    the same label, and controllers copy it.

    https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
    """
    key = live.key
    if said := live.annotations.get(TRACKING_ID):
        return said == f"{app_name}:{key.group}/{key.kind}:{key.namespace}/{key.name}"
    return (
        live.labels.get(TRACKING_LABEL) == app_name
        and any(live.owns_label(TRACKING_LABEL, how, ARGO_MANAGER) for how in ("Apply", "Update"))
        and not live.controller_owner
    )


def why_not_ours(live: Live, app: AppKey, installation: str, applyset: str, entry: Entry | None) -> str:
    """The first reason why `live` must not be deleted for `app`; empty when all of DESIGN's rules hold."""
    if live.annotations.get(ID) is None:
        return "it does not carry mooring.dev/id"
    found = owner(live, app, installation)
    if found.whose is Whose.COPY:
        return "its mooring.dev/id names another object"
    if found.whose is not Whose.OURS:
        return f"it belongs to {found.app or 'another Mooring'}"
    if live.labels.get(APPLYSET_PART_OF) != applyset:
        return f"its label {APPLYSET_PART_OF} is not this app's"
    if entry is None:
        return "it is not in this app's inventory"
    merged = entry.writer != "apply" and live.owns_label(APPLYSET_PART_OF, "Update")
    if not merged and not live.owns_label(APPLYSET_PART_OF):
        return f"field manager mooring does not own its label {APPLYSET_PART_OF}"
    if live.controller_owner:
        return "a controller owns it"
    return ""


# Whose annotations say whether an object may be deleted: ids, tracking, sync options, Helm's policy.
_DECISIVE = (f"{ARGO}/", f"{OURS}/", "helm.sh/")


def judged_alike(before: Live, now: Live) -> bool:
    """Whether `now` is the object `before`, with nothing changed that a judgement about it rests on.

    A status that a controller has written since changes the resourceVersion, and no judgement.
    """

    def grounds(live: Live) -> tuple[Any, ...]:
        return (
            live.uid,
            live.labels.get(APPLYSET_PART_OF),
            {name: text for name, text in live.annotations.items() if name.startswith(_DECISIVE)},
            live.owns_label(APPLYSET_PART_OF),
            live.owns_label(APPLYSET_PART_OF, "Update"),
            live.owner_references,
            live.deletion_timestamp,
        )

    return grounds(before) == grounds(now)


def approved(annotations: Mapping[str, Any], since: str) -> bool:
    """Whether somebody approved deletions on the Application after `since` (RFC 3339, "" for never asked).

    https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#resource-pruning-with-confirmation
    """
    at = annotations.get(DELETION_APPROVED) or annotations.get(DELETION_APPROVED.replace(ARGO, OURS))
    said, asked = moment(at), moment(since)
    # Within the same second nobody can tell which came first: then it answers nothing.
    return said is not None and asked is not None and said > asked


def moment(text: object) -> datetime | None:
    """The moment that `text` names; None for anything that is not one moment, as "yes" is not."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


# Deleting one of these deletes what people cannot get back from Git.
PRECIOUS = frozenset(
    {
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
    }
)


def precious(key: ObjectKey) -> bool:
    """Whether deleting `key` loses more than the object itself."""
    return (key.group, key.kind) in PRECIOUS
