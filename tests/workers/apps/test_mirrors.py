"""Which mirrors and credentials Applications use, and that upkeep leaves them what they need."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.errors import GitFailed, Refused
from mooring.model.spec import Source
from mooring.settings import Settings
from tests.stories.ship import until
from workers import checkout, mirrors
from workers.applyset.store import CONFIG_MAP
from workers.git.mirror import Mirror
from workers.installation import SECRET
from workers.origin import GitOrigin

from .conftest import World


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield Settings(state_dir=str(tmp_path))
    Mirror.close_all()


def mirror_of(world: World, settings: Settings, repository: Repository) -> Mirror:
    return checkout.open_mirror(world.apps, settings, Source(repo_url=repository.url, path="."), "default")


def make(world: World, url: str, *history: str, name: str = "shop") -> None:
    spec = {
        "project": "default",
        "source": {"repoURL": url, "path": "."},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    }
    entries: list[dict[str, Any]] = [
        {"id": number, "revision": commit, "deployedAt": "2026-01-01T00:00:00Z"}
        for number, commit in enumerate(history)
    ]
    world.make(name, spec=spec, status={"history": entries})


def aged(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def test_commits_that_an_app_may_be_rolled_back_to_stay(
    home: World, settings: Settings, git_repo: Repository
) -> None:
    mirror = mirror_of(home, settings, git_repo)
    commits = [git_repo.commit({"a": str(number)}, parent="") for number in range(3)]
    for commit in commits:
        mirror.fetch_commit(commit)
        GitOrigin(mirror).keep(commit)
    make(home, git_repo.url, *commits[:2])
    aged(mirror.home / "about.json", 2)
    mirrors.maintain(home.apps, settings)
    assert mirror.kept() == set(commits[:2])
    assert (mirror.home / "maintained").exists()


def test_a_mirror_that_no_app_uses_goes_after_a_week(
    home: World, settings: Settings, git_repo: Repository
) -> None:
    place = mirror_of(home, settings, git_repo).home
    aged(place / "about.json", 8)
    make(home, git_repo.url)
    mirrors.maintain(home.apps, settings)
    assert place.is_dir()
    home.remove("shop")
    mirrors.maintain(home.apps, settings)
    assert place.is_dir()  # it was in use until now
    aged(place / "used", 8)
    make(home, "ext::nobody knows", name="odd")  # which one it uses cannot be told: none is removed
    mirrors.maintain(home.apps, settings)
    assert place.is_dir()
    home.remove("odd")
    mirrors.maintain(home.apps, settings)
    assert not place.exists()


def test_keeping_a_commit_that_is_not_there_is_no_error(
    home: World, settings: Settings, git_repo: Repository
) -> None:
    mirror = mirror_of(home, settings, git_repo)
    with pytest.raises(GitFailed):
        mirror.keep("f" * 40)
    GitOrigin(mirror).keep("f" * 40)
    assert mirror.kept() == frozenset()


def test_a_secret_of_a_project_is_for_its_apps_alone(home: World, settings: Settings) -> None:
    source = Source(repo_url="https://git.example.com/shop", path=".")
    fields = {"url": source.repo_url, "password": "hunter2", "project": "shop"}
    labels = {"argocd.argoproj.io/secret-type": "repository"}
    metadata = {"name": "shop", "namespace": home.namespace, "labels": labels}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in fields.items()}
    home.api.create(SECRET, {"metadata": metadata, "data": data})
    # Secrets are read from the API server's cache, and kept for a second: what is new is seen soon.
    until(
        "it to be known", lambda: checkout.credential_of(home.apps, settings, source, "shop").secret or None
    )
    assert checkout.credential_of(home.apps, settings, source, "shop").secret == "hunter2"
    assert checkout.credential_of(home.apps, settings, source, "other").secret == ""


def test_hosts_are_known_from_the_file_and_the_config_map(home: World, tmp_path: Path) -> None:
    metadata = {"name": "argocd-ssh-known-hosts-cm", "namespace": home.namespace}
    home.api.create(CONFIG_MAP, {"metadata": metadata, "data": {"ssh_known_hosts": "a ssh-ed25519 AAAA\n"}})
    (tmp_path / "known_hosts").write_text("b ssh-ed25519 BBBB")
    source = Source(repo_url="git@git.example.com:shop", path=".")
    settings = Settings(git_known_hosts=str(tmp_path / "known_hosts"))
    found = checkout.credential_of(home.apps, settings, source, "default")
    assert found.known_hosts == "b ssh-ed25519 BBBB\na ssh-ed25519 AAAA\n"
    missing = Settings(git_known_hosts=str(tmp_path / "none"))
    with pytest.raises(Refused, match="MOORING_GIT_KNOWN_HOSTS"):
        checkout.credential_of(home.apps, missing, source, "default")
