"""For how long the drifts of an app are kept: as long as there is the app, whoever can read it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from devcluster.gitserver import Repository
from mooring.drift import Done, Drift, What
from mooring.keys import AppKey, ObjectKey
from mooring.settings import Settings
from tests.stories.ship import configmap
from tests.workers.apps.conftest import manifest
from tests.workers.skiff import Skiff
from workers import pipeline
from workers.engine import start

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

A = ObjectKey("", "ConfigMap", "there", "a")
ONE = Drift(A, What.MISSING, (), 0, 10.0, 20.0, 30.0, Done.LEFT, "selfHeal is off")


def test_an_edit_that_makes_an_app_unreadable_loses_none(
    skiff_settings: Settings, namespace: str, tmp_path: Path
) -> None:
    directory = tmp_path / "apps"
    directory.mkdir()
    engine = start(replace(skiff_settings, apps_dir=str(directory)), lambda step: None)
    broken, gone = AppKey(namespace, "broken"), AppKey(namespace, "gone")
    for name in ("one", "another"):  # none of the two counts
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(manifest("broken", namespace)))
    (directory / "whose.yaml").write_text("kind: [")
    for key in (broken, gone):
        engine.drifts.save(key, [ONE])

    pipeline.reconcile(engine, "", "reconcile")
    assert engine.drifts.of(gone) == (ONE,), "the one without a name may be it"
    (directory / "whose.yaml").unlink()
    pipeline.reconcile(engine, "", "reconcile")
    assert (engine.drifts.of(broken), engine.drifts.of(gone)) == ((ONE,), ())


def test_an_app_of_the_same_name_as_one_that_was_deleted_has_none(
    skiff_settings: Settings, namespace: str, git_repo: Repository
) -> None:
    skiff, key, there = Skiff(skiff_settings), AppKey(namespace, "shop"), f"test-there-{secrets.token_hex(4)}"
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    skiff.create_namespace(there)
    skiff.create_app(
        "shop",
        {
            "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": there},
            "syncPolicy": {"automated": {}},
        },
    )
    skiff.patch_app("shop", {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    skiff.settle()
    skiff.engine.drifts.save(key, [ONE])
    skiff.engine.drifts.put_back(key, {A: (4, skiff.engine.clock())})

    skiff.delete_app("shop")
    skiff.look("shop")
    skiff.settle()
    assert skiff.engine.applications.get(key) is None
    assert skiff.engine.drifts.load(key) == ((), 0.0, {})
    skiff.delete_namespace(there)
