"""What the Git host on loopback promises: it is fetched from, and pushed to, as GitHub is."""

from __future__ import annotations

import gzip
import http.client
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devcluster.errors import DevclusterError
from devcluster.gitserver import GitServer, Repository, Symlink

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example",
}


def git(directory: Path, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=_ENVIRONMENT | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_clone_has_what_was_committed(git_repo: Repository, tmp_path: Path) -> None:
    git_repo.commit({"a.yaml": "a: 1\n", 'odd/näme "quoted".yaml': b"\x00\xff"})
    tip = git_repo.commit(
        {"a.yaml": None, "b.yaml": "b: 2\n", "link": Symlink("b.yaml")}, message="Second\n\nbody"
    )

    git(tmp_path, "clone", "--quiet", git_repo.url, "clone")

    clone = tmp_path / "clone"
    assert git(clone, "rev-parse", "HEAD") == tip == git_repo.resolve()
    assert not (clone / "a.yaml").exists()
    assert (clone / "b.yaml").read_text() == "b: 2\n"
    assert (clone / "link").readlink() == Path("b.yaml")
    assert (clone / 'odd/näme "quoted".yaml').read_bytes() == b"\x00\xff"
    assert git(clone, "log", "-1", "--format=%B") == "Second\n\nbody"


def test_a_push_arrives(git_repo: Repository, tmp_path: Path) -> None:
    git_repo.commit({"a": "1"})
    git(tmp_path, "clone", "--quiet", git_repo.url, ".")
    # Larger than http.postBuffer: Git sends it in chunks.
    (tmp_path / "large").write_bytes(os.urandom(3 << 20))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "large")

    git(tmp_path, "push", "--quiet")

    assert git_repo.resolve() == git(tmp_path, "rev-parse", "HEAD")


def test_a_commit_that_no_branch_has_any_more_is_fetched_by_its_id(
    git_repo: Repository, tmp_path: Path
) -> None:
    git_repo.commit({"a": "1"})
    lost = git_repo.commit({"a": "2"})
    again = git_repo.commit({"a": "3"}, parent="main~1")
    assert git_repo.resolve() == again
    git(tmp_path, "init", "--quiet")

    git(tmp_path, "fetch", "--quiet", "--depth=1", git_repo.url, lost)

    assert git(tmp_path, "show", "FETCH_HEAD:a") == "2"


def test_a_root_commit_begins_a_history_of_its_own(git_repo: Repository) -> None:
    git_repo.commit({"a": "1"})
    root = git_repo.commit({"b": "1"}, parent="")

    assert git_repo.resolve() == root
    assert git_repo.resolve("main~1") is None


def test_refs_are_moved_and_deleted(git_repo: Repository) -> None:
    first = git_repo.commit({"a": "1"})
    proposed = git_repo.commit({"a": "2"}, branch="refs/pull/1/head", parent=first)
    git_repo.point("refs/tags/v1", first)
    assert git_repo.resolve("v1") == first
    assert git_repo.resolve("refs/pull/1/head") == proposed
    assert git_repo.resolve() == first

    git_repo.point("refs/tags/v1", None)

    assert git_repo.resolve("v1") is None


def test_blobs_can_be_left_out(git_repo: Repository, tmp_path: Path) -> None:
    git_repo.commit({"a": "1"})

    git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", git_repo.url, ".")

    assert "?" in git(tmp_path, "rev-list", "--objects", "--missing=print", "HEAD")


def test_the_second_protocol_version_is_spoken(git_repo: Repository, tmp_path: Path) -> None:
    git_repo.commit({"a": "1"})

    trace = subprocess.run(
        ["git", "-c", "protocol.version=2", "ls-remote", git_repo.url],
        cwd=tmp_path,
        env=_ENVIRONMENT | {"GIT_TRACE_PACKET": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "< version 2" in trace.stderr


def test_many_fetch_at_once(git_repo: Repository, tmp_path: Path) -> None:
    tip = git_repo.commit({f"{number}.yaml": "x: 1\n" for number in range(50)})

    def clone(number: int) -> str:
        git(tmp_path, "clone", "--quiet", git_repo.url, str(number))
        return git(tmp_path / str(number), "rev-parse", "HEAD")

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(clone, range(8))) == {tip}


def test_a_server_with_a_password_admits_nobody_without_it(tmp_path: Path) -> None:
    with GitServer(user="robot", password="s3cret") as server:
        repository = server.create("team/private")
        tip = repository.commit({"a": "1"})
        for credentials in ("", "robot:wrong@", "other:s3cret@"):
            refused = subprocess.run(
                ["git", "ls-remote", repository.url.replace("http://", f"http://{credentials}")],
                cwd=tmp_path,
                env=_ENVIRONMENT,
                capture_output=True,
                check=False,
            )
            assert refused.returncode != 0

        listed = git(tmp_path, "ls-remote", repository.url.replace("http://", "http://robot:s3cret@"), "HEAD")

    assert listed.split()[0] == tip


def test_a_compressed_request_and_a_broken_one_are_answered(git_repo: Repository) -> None:
    git_repo.commit({"a": "1"})
    at = urlsplit(git_repo.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    listing = b"0014command=ls-refs\n0000"
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Git-Protocol": "version=2"}

    connection.request(
        "POST", f"{at.path}/git-upload-pack", gzip.compress(listing), headers | {"Content-Encoding": "gzip"}
    )
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"refs/heads/main" in answer.read()

    connection.request("POST", f"{at.path}/git-upload-pack", listing, headers | {"Content-Length": "many"})
    assert connection.getresponse().status == 400
    connection.close()


def test_nothing_outside_the_root_is_served(git_server: GitServer) -> None:
    at = urlsplit(git_server.url)
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/no-such.git/info/refs?service=git-upload-pack",
    ):
        connection = http.client.HTTPConnection(at.hostname or "", at.port)
        connection.request("GET", path)
        assert connection.getresponse().status in (403, 404, 500)
        connection.close()


def test_a_repository_is_not_created_twice(git_server: GitServer, git_repo: Repository) -> None:
    with pytest.raises(DevclusterError, match="already"):
        git_server.create(git_repo.path.stem)


def test_stopping_waits_for_no_idle_client() -> None:
    with GitServer() as server:
        at = urlsplit(server.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port)
        connection.request("GET", "/none.git/HEAD")
        connection.getresponse().read()
        root = server.root
    assert not root.exists()
    connection.close()
