"""Sync options: the application's list and an object's annotation, read into one value.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

from mooring.model.annotations import annotation

Propagation = Literal["foreground", "background", "orphan"]


class Consent(StrEnum):
    """Whether something may be deleted."""

    YES = "true"
    NO = "false"
    CONFIRM = "confirm"  # only when a person has said so


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What is asked for. The defaults are what holds when nothing is said."""

    create_namespace: bool = False
    prune: Consent = Consent.YES
    delete: Consent = Consent.YES
    server_side_apply: bool | None = None  # None: not said, so server-side with a fallback
    validate: bool = True
    apply_out_of_sync_only: bool = False
    prune_last: bool = False
    prune_propagation_policy: Propagation = "foreground"
    replace: bool = False
    force: bool = False
    skip_dry_run_on_missing_resource: bool = False
    fail_on_shared_resource: bool = False
    respect_ignore_differences: bool = False
    client_side_apply_migration: bool = True
    not_understood: tuple[str, ...] = ()  # as written


_BOOLEAN = {"true": True, "false": False}
_CONSENT = {consent.value: consent for consent in Consent}
# Name as written -> attribute, and what each value means.
_KNOWN: dict[str, tuple[str, Mapping[str, object]]] = {
    "CreateNamespace": ("create_namespace", _BOOLEAN),
    "Prune": ("prune", _CONSENT),
    "Delete": ("delete", _CONSENT),
    "ServerSideApply": ("server_side_apply", _BOOLEAN),
    "Validate": ("validate", _BOOLEAN),
    "ApplyOutOfSyncOnly": ("apply_out_of_sync_only", _BOOLEAN),
    "PruneLast": ("prune_last", _BOOLEAN),
    "PrunePropagationPolicy": (
        "prune_propagation_policy",
        {policy: policy for policy in get_args(Propagation)},
    ),
    "Replace": ("replace", _BOOLEAN),
    "Force": ("force", _BOOLEAN),
    "SkipDryRunOnMissingResource": ("skip_dry_run_on_missing_resource", _BOOLEAN),
    "FailOnSharedResource": ("fail_on_shared_resource", _BOOLEAN),
    "RespectIgnoreDifferences": ("respect_ignore_differences", _BOOLEAN),
    "ClientSideApplyMigration": ("client_side_apply_migration", _BOOLEAN),
}


def sync_options(app: Iterable[str], annotations: Mapping[str, str] | None = None) -> SyncOptions:
    """The options of an object: those of the app, and over them those of the object's annotations.

    `app` holds `Name=value` texts; `annotations` are the object's, None for the app as a whole. What is
    not understood is listed, never dropped. `helm.sh/resource-policy: keep` means Prune and Delete false.
    """
    annotations = annotations or {}
    said: dict[str, object] = {}
    not_understood: list[str] = []
    keep = annotations.get("helm.sh/resource-policy", "").strip() == "keep"
    texts = (*app, *annotation(annotations, "sync-options").split(","))
    for text in (*texts, "Prune=false", "Delete=false") if keep else texts:
        name, _, value = (part.strip() for part in text.partition("="))
        attribute, meaning = _KNOWN.get(name, ("", {}))
        if value in meaning:
            said[attribute] = meaning[value]
        elif text.strip():
            not_understood.append(text.strip())
    return SyncOptions(**said, not_understood=tuple(not_understood))  # type: ignore[arg-type]
