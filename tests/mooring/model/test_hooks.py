"""What is a hook, when it runs, and in which order: as Argo CD's documentation has it."""

from __future__ import annotations

import pytest

from mooring.model.hooks import DeletePolicy, Hook, Phase, hook_of, wave_of

ARGO, OURS = "argocd.argoproj.io", "mooring.dev"


@pytest.mark.parametrize("domain", [ARGO, OURS])
@pytest.mark.parametrize(
    ("asked", "phases"),
    [
        ("PreSync", (Phase.PRE_SYNC,)),
        ("PreSync,PostSync", (Phase.PRE_SYNC, Phase.POST_SYNC)),
        (" Sync , SyncFail", (Phase.SYNC, Phase.SYNC_FAIL)),
        ("PreDelete", (Phase.PRE_DELETE,)),
        ("PostDelete,PostDelete", (Phase.POST_DELETE,)),
        ("Skip", ()),
    ],
)
def test_a_hook_runs_in_its_phases(domain: str, asked: str, phases: tuple[Phase, ...]) -> None:
    assert hook_of({f"{domain}/hook": asked}) == Hook(phases)


def test_what_has_no_such_annotation_is_kept() -> None:
    assert hook_of({}) is None
    assert hook_of({f"{ARGO}/hook": " "}) is None
    assert hook_of({f"{ARGO}/sync-wave": "3", "helm.sh/hook": "crd-install"}) is None


def test_a_hook_is_deleted_when_it_says_so() -> None:
    found = hook_of({f"{ARGO}/hook": "Sync", f"{ARGO}/hook-delete-policy": "HookSucceeded, HookFailed"})
    assert found == Hook((Phase.SYNC,), (DeletePolicy.SUCCEEDED, DeletePolicy.FAILED))


def test_helm_s_hooks_run_where_argo_cd_runs_them() -> None:
    helm = {"helm.sh/hook": "pre-upgrade,pre-install", "helm.sh/hook-delete-policy": "hook-succeeded"}
    assert hook_of(helm) == Hook((Phase.PRE_SYNC,), (DeletePolicy.SUCCEEDED,))
    assert hook_of({**helm, f"{ARGO}/hook": "PostSync"}) == Hook((Phase.POST_SYNC,))
    told = hook_of({**helm, f"{ARGO}/hook-delete-policy": "BeforeHookCreation"})
    assert told == Hook((Phase.PRE_SYNC,), (DeletePolicy.BEFORE_CREATION,))
    assert hook_of({"helm.sh/hook": "test"}) == Hook(())


def test_what_nobody_knows_is_told_and_never_guessed() -> None:
    found = hook_of({f"{ARGO}/hook": "PreSynch,Sync", f"{ARGO}/hook-delete-policy": "Always"})
    assert found == Hook((Phase.SYNC,), not_understood=("PreSynch", "Always"))


@pytest.mark.parametrize(
    ("annotations", "wave"),
    [
        ({}, 0),
        ({f"{ARGO}/sync-wave": "5"}, 5),
        ({f"{ARGO}/sync-wave": "-1"}, -1),
        ({f"{OURS}/sync-wave": "2", f"{ARGO}/sync-wave": "5"}, 2),
        ({f"{ARGO}/sync-wave": "first"}, 0),
        ({"helm.sh/hook-weight": "7"}, 7),
        ({"helm.sh/hook-weight": "7", f"{ARGO}/sync-wave": "0"}, 0),
        ({"helm.sh/hook-weight": "heavy"}, 0),
    ],
)
def test_waves_order(annotations: dict[str, str], wave: int) -> None:
    assert wave_of(annotations) == wave
