"""Which Applications, projects and credentials there are, and what happens to those that make no sense."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.model.status import SyncStatus
from tests.stories.ship import until
from workers.applyset.store import CONFIG_MAP
from workers.apps.conditions import INVALID_SPEC
from workers.apps.directory import DirectoryApplications
from workers.apps.events import EVENT
from workers.apps.state import State
from workers.cluster.api import Api
from workers.installation import SECRET

from .conftest import OURS, World, manifest


def project(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"sourceRepos": ["https://git.example.com/*"], "destinations": []},
    }


def names(world: World) -> list[str]:
    return sorted(app.metadata.name for app in world.apps.list().apps)


def test_all_apps_are_listed_with_what_is_said_of_them(world: World) -> None:
    world.make("one")
    app = world.make("two")
    status = app.status.model_copy(update={"sync": SyncStatus(status="Synced", revision="c1")})
    app = world.apps.report(app, status, State(inputs="tree"))
    assert names(world) == ["one", "two"]
    assert app in world.apps.list().apps


def test_what_was_written_of_one_app_is_known_without_a_list_of_all(home: World) -> None:
    app, other = home.make("one"), home.make("two")
    apps = home.open()
    assert len(apps.list().apps) == 2
    status = app.status.model_copy(update={"sync": SyncStatus(status="Synced", revision="c1")})
    written = apps.report(app, status, State(inputs="tree"))
    assert sorted(apps.known().apps, key=lambda one: one.metadata.name) == [written, other]
    assert home.apps.report(written, app.status, State()) != written
    assert written in apps.known().apps, "what others write is not known"
    assert (read := apps.get(written.key)) != written
    assert read in apps.known().apps, "until it is read"


def test_an_app_that_is_not_there_is_none(world: World) -> None:
    assert world.apps.get(AppKey(world.namespace, "nobody")) is None


def test_apps_of_other_namespaces_are_not_ours(home: World) -> None:
    assert home.apps.get(AppKey("default", "shop")) is None


def test_a_file_that_cannot_be_read_is_reported_and_the_others_still_count(
    files: World, tmp_path: Path
) -> None:
    files.make("good")
    (tmp_path / "bad.yaml").write_text("kind: [")
    (tmp_path / "wrong.yaml").write_text(
        yaml.safe_dump(manifest("wrong", files.namespace, spec={"project": 1}))
    )
    (tmp_path / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / ".hidden.yaml").write_text("kind: [")
    listing = files.apps.list()
    assert [app.metadata.name for app in listing.apps] == ["good"]
    messages = "\n".join(sorted(broken.message for broken in listing.broken))
    assert len(listing.broken) == 3
    assert "bad.yaml:" in messages
    assert "wrong.yaml:1: Application" in messages
    assert "other.yaml:1: is neither" in messages


def test_an_app_in_two_files_is_none_of_them(files: World, tmp_path: Path) -> None:
    files.make("shop")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(manifest("shop", files.namespace)))
    listing = files.apps.list()
    assert listing.apps == ()
    assert [broken.key for broken in listing.broken] == [AppKey(files.namespace, "shop")]
    with pytest.raises(Refused, match=r"Application-shop\.yaml:1 and again\.yaml:1"):
        files.read("shop")


def test_a_file_that_changes_is_read_again(files: World) -> None:
    apps = files.apps
    files.make("one")
    assert len(apps.list().apps) == 1
    files.make("two")
    assert len(apps.list().apps) == 2
    files.remove("one")
    assert [app.metadata.name for app in apps.list().apps] == ["two"]


def test_an_app_without_a_namespace_is_in_moorings_own(files: World) -> None:
    body = manifest("shop", "")
    del body["metadata"]["namespace"]
    files.put(body)
    assert files.read("shop").key == AppKey(files.namespace, "shop")


def test_what_a_file_says_of_status_counts_for_nothing(files: World) -> None:
    body = manifest("shop", files.namespace, status={"sync": {"status": "Synced"}}, operation={"sync": {}})
    body["metadata"]["annotations"] = {
        "mooring.dev/state": '{"claim":"x"}',
        "argocd.argoproj.io/refresh": "hard",
        "note": "kept",
    }
    files.put(body)
    app = files.read("shop")
    assert (app.status.sync, app.operation) == (None, None)
    assert app.metadata.annotations == {"note": "kept"}


def test_a_garbled_status_is_written_anew_and_the_app_goes_on(files: World) -> None:
    app = files.make("shop")
    status = app.status.model_copy(update={"sync": SyncStatus(status="Synced", revision="c1")})
    files.apps.report(app, status, State())
    kind, named = files.record
    for garbage in ("{", '{"sync": 1}', "[]"):
        files.api.patch(kind, files.namespace, named("shop"), {"data": {"status": garbage}})
        app = files.read("shop")
        assert app.status.sync is None
        files.apps.report(app, status, State())
        assert files.read("shop").status == status


def test_a_directory_that_is_not_there_is_not_an_empty_one(api: Api, namespace: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is no directory"):
        DirectoryApplications(tmp_path / "nowhere", api, namespace, OURS).list()


# --- projects ---------------------------------------------------------------------------------


def test_the_default_project_permits_everything_when_nobody_wrote_it_down(world: World) -> None:
    found = world.apps.project("default")
    assert found.permits_source("https://anything.example.com/x")
    assert set(world.apps.projects()) == {"default"}


def test_a_written_default_project_counts(world: World) -> None:
    world.put(project("default", world.namespace))
    pause = threading.Event()
    for _ in range(100):  # projects are read from the API server's cache, and kept for a second
        if not world.apps.project("default").permits_source("https://anything.example.com/x"):
            return
        pause.wait(0.1)
    raise AssertionError("the project that permits nothing is not seen")


def test_a_project_is_found_and_a_missing_one_is_the_users_to_fix(world: World) -> None:
    world.put(project("team", world.namespace))
    assert world.apps.project("team").permits_source("https://git.example.com/x")
    assert set(world.apps.projects()) == {"default", "team"}
    with pytest.raises(Refused, match="project nobody does not exist") as refused:
        world.apps.project("nobody")
    assert refused.value.condition == INVALID_SPEC


def test_a_broken_project_permits_nothing_and_is_not_called_missing(files: World) -> None:
    files.put({**project("team", files.namespace), "spec": {"sourceRepos": "all"}})
    files.put({**project("default", files.namespace), "spec": 1})
    for name in ("team", "default"):
        with pytest.raises(Refused, match=f"AppProject {name}: spec"):
            files.apps.project(name)


# --- credentials ------------------------------------------------------------------------------


def test_argo_cds_repository_secrets_are_read_and_no_others(world: World) -> None:
    def put(name: str, label: str, **fields: bytes) -> None:
        world.api.create(
            SECRET,
            {
                "metadata": {
                    "name": name,
                    "namespace": world.namespace,
                    "labels": {"argocd.argoproj.io/secret-type": label},
                },
                "data": {key: base64.b64encode(value).decode() for key, value in fields.items()},
            },
        )

    put("shop", "repository", url=b"https://git.example.com/shop", password=b"hunter2", binary=b"\xff")
    put("all", "repo-creds", url=b"https://git.example.com")
    put("cluster", "cluster", server=b"https://elsewhere")
    until("both to be known", lambda: len(world.apps.repo_secrets()) == 2)  # the list may be a second old
    found = world.apps.repo_secrets()
    assert [(secret.name, secret.kind) for secret in found] == [("all", "repo-creds"), ("shop", "repository")]
    assert found[1].data == {"url": "https://git.example.com/shop", "password": "hunter2"}
    assert "hunter2" not in repr(found)


def test_a_cluster_that_came_after_the_last_look_is_there_for_who_misses_it(world: World) -> None:
    assert world.apps.clusters() == ()
    labels = {"argocd.argoproj.io/secret-type": "cluster"}
    metadata = {"name": "cluster-b", "namespace": world.namespace, "labels": labels}
    fields = {"name": "b", "server": "https://b.example.com", "config": "{}"}
    world.api.create(SECRET, {"metadata": metadata, "stringData": fields})
    assert [one.name for one in world.apps.newest_clusters()] == ["b"]
    assert [one.name for one in world.apps.clusters()] == ["b"], "and for all others"


def test_whom_to_believe_that_it_is_the_host_comes_from_argo_cds_config_maps(world: World) -> None:
    assert world.apps.known_hosts() == ""
    assert world.apps.tls_certificates() == {}
    for name, data in (
        ("argocd-ssh-known-hosts-cm", {"ssh_known_hosts": "git.example.com ssh-ed25519 AAAA\n"}),
        ("argocd-tls-certs-cm", {"Git.example.com": "-----BEGIN CERTIFICATE-----"}),
    ):
        world.api.create(CONFIG_MAP, {"metadata": {"name": name, "namespace": world.namespace}, "data": data})
    assert world.apps.known_hosts() == "git.example.com ssh-ed25519 AAAA\n"
    assert world.apps.tls_certificates() == {"git.example.com": "-----BEGIN CERTIFICATE-----"}


# --- events -----------------------------------------------------------------------------------


def test_the_same_event_said_thrice_is_one_with_a_count(world: World) -> None:
    app = world.make()
    for _ in range(3):
        world.apps.event(app, "Normal", "OperationCompleted", "sync to c1: done")
    world.apps.event(app, "Warning", "SyncError", "x" * 5000)
    bodies = [live.body or {} for live in world.api.list(EVENT, world.namespace)]
    ours = {body["reason"]: body for body in bodies if body["source"].get("component") == "mooring"}
    assert ours["OperationCompleted"]["count"] == 3
    assert ours["OperationCompleted"]["type"] == "Normal"
    assert len(ours["SyncError"]["message"]) == 1024


def test_an_event_that_cannot_be_written_stops_nothing(world: World) -> None:
    world.apps.event(world.make(), "Normal", "x" * 500, "the reason is longer than the API server allows")
