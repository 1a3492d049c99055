"""Sync options of an application, and of an object over them."""

from __future__ import annotations

from mooring.model.sync_options import Consent, SyncOptions, sync_options


def test_nothing_said_is_the_default() -> None:
    assert sync_options(()) == SyncOptions()


def test_the_object_wins_over_the_application() -> None:
    options = sync_options(
        ["Prune=false", "ServerSideApply=true", "CreateNamespace=true"],
        {"argocd.argoproj.io/sync-options": "Prune=confirm, ServerSideApply=false"},
    )
    assert options.prune is Consent.CONFIRM
    assert options.server_side_apply is False
    assert options.create_namespace


def test_either_spelling_is_read() -> None:
    assert sync_options((), {"mooring.dev/sync-options": "Delete=false"}).delete is Consent.NO


def test_helms_keep_is_kept_whatever_else_is_said() -> None:
    options = sync_options(
        (), {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=true"}
    )
    assert (options.prune, options.delete) == (Consent.NO, Consent.NO)


def test_what_is_not_understood_is_listed() -> None:
    options = sync_options(["Prune=maybe", "Colour=red", "", "Replace"])
    assert options.not_understood == ("Prune=maybe", "Colour=red", "Replace")
    assert options.prune is Consent.YES
