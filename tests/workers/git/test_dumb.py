"""A host that merely hands out files, such as any web server over a bare repository."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.errors import GitFailed, GitRefused
from workers.git.credentials import Credential
from workers.git.mirror import Mirror, checkout

FILE = "apps/web/a.yaml"


class Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, asked: list[str], directory: Path) -> None:
        self.asked = asked
        super().__init__(*args, directory=str(directory))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.asked.append(f"{int(code)} {self.path}")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def files_of(folder: Path, asked: list[str] | None = None) -> Iterator[str]:
    handler = partial(Files, asked=[] if asked is None else asked, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def publish(repo: Repository, to: Path) -> Path:
    """What a person does who has no more than a web server: a bare clone, and its index for clients."""
    if to.exists():
        git("--git-dir", to, "fetch", "--quiet", repo.path, "+refs/*:refs/*")
    else:
        git("clone", "--quiet", "--bare", repo.path, to)
    git("--git-dir", to, "update-server-info")
    return to


def git(*args: object) -> None:
    subprocess.run(["git", *map(str, args)], check=True)


def head(repo: Repository) -> str:
    commit = repo.resolve()
    assert commit is not None
    return commit


def read(mirror: Mirror, commit: str) -> bytes:
    blob = mirror.tree.tree_id(commit, FILE)
    assert blob is not None
    return mirror.tree.read(blob)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    Mirror.close_all()


def test_a_repository_on_a_plain_web_server_is_followed(repo: Repository, tmp_path: Path) -> None:
    served = publish(repo, tmp_path / "www/app.git")
    with files_of(served.parent) as url:
        mirror = Mirror.open(tmp_path / "mirrors", f"{url}/app.git", Credential())
        found = checkout(mirror, "main")
        assert found.ref == "refs/heads/main"
        assert found.commit == head(repo)
        assert read(mirror, found.commit) == b"a: 1\n"

        second = repo.commit({FILE: "a: 2\n"})
        publish(repo, served)
        assert checkout(mirror, "main", second).commit == second
        assert read(mirror, second) == b"a: 2\n"
        assert not mirror.partial
        assert not list(mirror.git_dir.glob("walk-*"))
        mirror.fetch_refs()

        with pytest.raises(GitRefused, match=r"version 'mian': correct spec\.source\.targetRevision"):
            checkout(mirror, "mian")


def test_its_list_of_refs_is_sent_only_when_it_has_changed(repo: Repository, tmp_path: Path) -> None:
    served = publish(repo, tmp_path / "www/app.git")
    for file in ("info/refs", "HEAD"):
        os.utime(served / file, (1_700_000_000, 1_700_000_000))
    asked: list[str] = []
    with files_of(served.parent, asked) as url:
        mirror = Mirror.open(tmp_path / "mirrors", f"{url}/app.git", Credential())
        first = {"HEAD": head(repo), "refs/heads/main": head(repo)}
        assert mirror.list_refs(["HEAD", "refs/heads/"]) == first
        asked.clear()
        assert mirror.list_refs(["HEAD", "refs/heads/"]) == first
        assert [line.partition(" ")[0] for line in asked] == ["304", "304"]

        git("--git-dir", repo.path, "tag", "-a", "-m", "one", "v1", "main")
        publish(repo, served)
        assert mirror.list_refs(["refs/heads/main", "refs/tags/v1"]) == {
            "refs/heads/main": head(repo),
            "refs/tags/v1": head(repo),
        }
        assert mirror.list_refs(["refs/tags/v1"], peeled=False) != {"refs/tags/v1": head(repo)}
        # Cut off in the midst of a line, it tells nothing.
        whole = (served / "info/refs").read_bytes()
        (served / "info/refs").write_bytes(whole[:-5])
        with pytest.raises(GitFailed, match="cut short"):
            mirror.list_refs()


def test_a_walk_that_breaks_off_leaves_no_half_commit(repo: Repository, tmp_path: Path) -> None:
    served = publish(repo, tmp_path / "www/app.git")
    commit = head(repo)
    for pack in served.glob("objects/pack/*.pack"):  # git writes object by object where there are no packs
        aside = pack.rename(tmp_path / "aside.pack")
        with aside.open("rb") as stream:
            subprocess.run(["git", "--git-dir", served, "unpack-objects", "-q"], stdin=stream, check=True)
    for index in served.glob("objects/pack/*"):
        index.unlink()
    git("--git-dir", served, "update-server-info")
    blob = subprocess.check_output(["git", "--git-dir", served, "rev-parse", f"{commit}:{FILE}"], text=True)
    lost = served / "objects" / blob[:2] / blob[2:].strip()
    there = lost.rename(tmp_path / "lost")
    with files_of(served.parent) as url:
        mirror = Mirror.open(tmp_path / "mirrors", f"{url}/app.git", Credential())
        with pytest.raises((GitFailed, GitRefused)):
            checkout(mirror, "main")
        assert not mirror.has(commit)
        there.rename(lost)
        assert checkout(mirror, "main").commit == commit
        assert read(mirror, commit) == b"a: 1\n"


def test_such_a_host_sends_nobody_elsewhere(repo: Repository, tmp_path: Path) -> None:
    served = publish(repo, tmp_path / "www/app.git")
    (tmp_path / "else").mkdir()
    (served / "objects").rename(tmp_path / "else/objects")
    (served / "objects/info").mkdir(parents=True)
    asked: list[str] = []
    with files_of(tmp_path / "else", asked) as elsewhere, files_of(served.parent) as url:
        (served / "objects/info/http-alternates").write_text(f"{elsewhere}/objects\n")
        mirror = Mirror.open(tmp_path / "mirrors", f"{url}/app.git", Credential())
        with pytest.raises((GitFailed, GitRefused)):
            checkout(mirror, "main")
        assert not asked
