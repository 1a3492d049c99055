"""What an app may take from others that nobody can read: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mooring.keys import ObjectKey
from mooring.model.spec import Destination
from mooring.model.status import ComparedTo, ResourceStatus, SyncStatus
from tests.workers.apps.conftest import World, manifest
from workers.apps.state import State
from workers.plan import Viewpoint
from workers.viewpoint import viewpoint

pytestmark = pytest.mark.cluster

SHARED = ObjectKey("", "ConfigMap", "shop", "shared")
OTHER = ObjectKey("", "ConfigMap", "shop", "other")


def seen_from(world: World, name: str) -> Viewpoint:
    return viewpoint(world.apps, "here", world.read(name), "applyset-x-v1")


def compared(world: World, name: str, *resources: ResourceStatus) -> None:
    """The app `name` was looked at, and has `resources` in Git."""
    app = world.make(name)
    sync = SyncStatus(
        status="OutOfSync",
        revision="c1",
        compared_to=ComparedTo(source=app.spec.source, destination=app.spec.destination or Destination()),
    )
    status = app.status.model_copy(update={"sync": sync, "resources": resources})
    world.apps.report(app, status, State())


def test_an_app_that_cannot_be_read_keeps_what_it_has_and_what_it_claims(
    files: World, tmp_path: Path
) -> None:
    resource = ResourceStatus(version="v1", kind="ConfigMap", namespace="shop", name="shared")
    compared(files, "first", resource)
    files.make("second")
    first = f"{files.namespace}_first"
    assert seen_from(files, "second").claimed(SHARED)
    assert seen_from(files, "second").renders(first, SHARED)
    assert not seen_from(files, "second").renders(first, OTHER)

    (tmp_path / "again.yaml").write_text(yaml.safe_dump(manifest("first", files.namespace)))
    assert seen_from(files, "second").claimed(SHARED)
    assert not seen_from(files, "second").claimed(OTHER)
    assert seen_from(files, "second").renders(first, SHARED)
    assert seen_from(files, "second").renders(first, OTHER), "it may have it in Git by now"
    assert not seen_from(files, "second").renders(f"{files.namespace}_third", SHARED)


def test_a_file_that_cannot_be_read_may_be_the_app_that_is_missing(files: World, tmp_path: Path) -> None:
    files.make("second")
    third = f"{files.namespace}_third"
    (tmp_path / "note.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    assert not seen_from(files, "second").renders(third, SHARED), "what is no Application is none"
    (tmp_path / "third.yaml").write_text("kind: [")
    assert seen_from(files, "second").renders(third, SHARED)
