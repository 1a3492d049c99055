"""Files of Git LFS are read as if they were in Git, from a server that answers as its protocol has it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from devcluster.lfsserver import LfsServer, pointer
from mooring.errors import GitFailed, GitRefused, RenderFailed
from workers.git.credentials import Credential, CredentialKind
from workers.git.lfs import Lfs, Pointer
from workers.git.mirror import Mirror
from workers.git.remote import parse
from workers.render.files import Files, Limits

TEXT = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\n"
JOE = Credential(CredentialKind.BASIC, "joe", "hunter2", lfs=True)


@pytest.fixture
def server() -> Iterator[LfsServer]:
    with LfsServer(JOE.username, JOE.secret) as made:
        yield made


@pytest.fixture
def lfs(server: LfsServer, tmp_path: Path) -> Lfs:
    return Lfs(tmp_path / "lfs", parse(f"{server.url}/team/app"), JOE)


def filled(lfs: Lfs, told: str, limit: int = 1 << 20) -> bytes:
    return lfs.filled({"1" * 40: told.encode()}, limit)["1" * 40]


def test_a_pointer_is_read_as_what_it_stands_for(lfs: Lfs, server: LfsServer) -> None:
    told = server.keeps(TEXT)
    assert lfs.filled({"a": told.encode(), "b": b"plain"}, 1 << 20) == {"a": TEXT, "b": b"plain"}
    (batch,) = server.batches
    assert batch["operation"] == "download"
    assert batch["objects"] == [{"oid": hashlib.sha256(TEXT).hexdigest(), "size": len(TEXT)}]
    assert server.requests[0][1] == "/team/app.git/info/lfs/objects/batch"


def test_what_was_fetched_once_is_kept_and_asked_for_no_more(lfs: Lfs, server: LfsServer) -> None:
    told = server.keeps(TEXT)
    assert filled(lfs, told) == filled(lfs, told) == TEXT
    assert len(server.requests) == 2
    lfs.sweep()
    filled(lfs, told)
    assert len(server.requests) == 2


def test_what_nobody_has_read_for_a_week_is_removed(lfs: Lfs, server: LfsServer, tmp_path: Path) -> None:
    filled(lfs, server.keeps(TEXT))
    (file,) = (tmp_path / "lfs").glob("??/*")
    os.utime(file, (0, 0))
    lfs.sweep()
    assert not file.exists()


def test_files_that_only_look_alike_are_left_alone(lfs: Lfs, server: LfsServer) -> None:
    for text in (
        pointer(TEXT) + "more\n",
        pointer(TEXT)[:-1],
        "version https://git-lfs.github.com/spec/v1\n",
        "",
    ):
        assert Pointer.parse(text.encode()) is None
    assert server.requests == []


@pytest.mark.parametrize("kept", [b"something else", TEXT + b"more", TEXT[:-1], b"x" * len(TEXT)])
def test_content_that_is_not_what_the_repository_names_is_refused(
    lfs: Lfs, server: LfsServer, tmp_path: Path, kept: bytes
) -> None:
    told = server.keeps(TEXT, kept)
    with pytest.raises(GitRefused, match="Git LFS: "):
        filled(lfs, told)
    assert [file for file in (tmp_path / "lfs").rglob("*") if file.is_file()] == []


def test_a_file_that_is_too_large_is_not_even_asked_for(lfs: Lfs, server: LfsServer) -> None:
    with pytest.raises(GitRefused, match=f"object {'1' * 40} has 999 bytes, more than the limit of 100"):
        filled(lfs, pointer(TEXT, 999), limit=100)
    assert server.requests == []


def test_what_the_server_has_not_is_said(lfs: Lfs) -> None:
    with pytest.raises(GitRefused, match=r"Git LFS: the host has no object .*: code 404"):
        filled(lfs, pointer(TEXT))


def test_our_credential_is_for_our_host_and_an_answers_own_goes_before_it(
    lfs: Lfs, server: LfsServer
) -> None:
    filled(lfs, server.keeps(TEXT))
    assert [each[2] for each in server.requests] == [JOE.authorization] * 2

    def with_a_header(each: dict[str, Any]) -> dict[str, Any]:
        each["actions"]["download"]["header"] = {"Authorization": "RemoteAuth once", "Host": "evil.example"}
        return each

    server.change = with_a_header
    filled(lfs, server.keeps(b"other"))
    assert server.requests[-1][2] == "RemoteAuth once"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"href": "http://127.0.0.1:1/x"}, "not https"),
        ({"href": "http://169.254.169.254/latest/meta-data"}, "not https"),
        ({"href": "https://169.254.169.254/latest/meta-data"}, "not a public address"),
        ({"href": "https://127.0.0.1:1/x"}, "not a public address"),
        ({"href": "file:///etc/passwd"}, "not a URL"),
        ({"href": 5}, "as its protocol"),
        ({}, "as its protocol"),
        ({"href": "SERVER", "header": {"X": "a\r\nY: b"}}, "cannot be asked"),
        ({"href": "SERVER", "header": "x"}, "as its protocol"),
    ],
)
def test_a_hostile_answer_leads_nowhere(
    lfs: Lfs, server: LfsServer, change: dict[str, Any], message: str
) -> None:
    told = server.keeps(TEXT)
    action = {key: server.url if value == "SERVER" else value for key, value in change.items()}
    server.change = lambda each: {**each, "actions": {"download": action}}
    with pytest.raises((GitRefused, GitFailed), match=message) as caught:
        filled(lfs, told)
    assert "hunter2" not in str(caught.value)
    assert [each[0] for each in server.requests] == ["POST"]


def test_a_wrong_credential_is_said_without_showing_it(server: LfsServer, tmp_path: Path) -> None:
    wrong = Credential(CredentialKind.BASIC, "joe", "s3cr3t", lfs=True)
    lfs = Lfs(tmp_path / "lfs", parse(f"{server.url}/team/app.git"), wrong)
    with pytest.raises(GitRefused, match="refuses the credential") as caught:
        filled(lfs, server.keeps(TEXT))
    assert "s3cr3t" not in str(caught.value)


def test_over_ssh_it_says_what_to_do(tmp_path: Path) -> None:
    lfs = Lfs(tmp_path / "lfs", parse("git@git.example:team/app"), Credential(lfs=True))
    with pytest.raises(GitRefused, match="give the repository's https URL"):
        filled(lfs, pointer(TEXT))


def test_a_mirror_fills_pointers_only_where_its_secret_says_so(
    host: GitServer, tmp_path: Path, repo: Repository
) -> None:
    told = pointer(TEXT)
    commit = repo.commit({"app/a.yaml": told})
    plain = Mirror.open(tmp_path, repo.url, Credential())
    plain.fetch_commit(commit)
    assert Files(plain.tree, commit).read("app/a.yaml").decode() == told
    large = Mirror.open(tmp_path, repo.url, Credential(lfs=True))
    place = large.home / "lfs" / hashlib.sha256(TEXT).hexdigest()[:2]
    place.mkdir(parents=True)
    (place / hashlib.sha256(TEXT).hexdigest()).write_bytes(TEXT)
    assert Files(large.tree, commit).read("app/a.yaml") == TEXT
    huge = repo.commit({"app/a.yaml": pointer(TEXT, 10**9)})
    large.fetch_commit(huge)
    with pytest.raises(RenderFailed, match=r"app/a\.yaml: is larger than 1000 bytes"):
        Files(large.tree, huge, Limits(file_bytes=1000)).read("app/a.yaml")
    Mirror.close_all()
