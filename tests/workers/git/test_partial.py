"""A large repository comes without its files; those that are read come all at once, and no others."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.errors import GitFailed, GitRefused
from mooring.model.spec import Directory, Source
from workers.git.credentials import Credential
from workers.git.mirror import Limits, Mirror, checkout
from workers.git.process import TooLarge
from workers.render.files import Files
from workers.render.render import render
from workers.render.source import App, Job, Nothing, Parameters

SMALL = Limits(whole=200_000)
Open = Callable[[str], Mirror]


@pytest.fixture
def large(host: GitServer) -> Repository:
    """Half a megabyte of noise beside two apps, in a few commits."""
    noise = random.Random(7)
    repository = host.create("large")
    for part in range(5):
        repository.commit({f"media/{part}.bin": noise.randbytes(100_000)})
    web = {f"apps/web/{n}.yaml": manifest(f"web-{n}", "1") for n in range(30)}
    repository.commit(web | {"apps/api/a.yaml": manifest("api", "1"), "apps/api/notes.txt": "no manifest"})
    return repository


def manifest(name: str, value: str) -> str:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  value: '{value}'\n"
    return text + "".join(f"  key-{n}: the same in all versions of this file {n}\n" for n in range(40))


@pytest.fixture(params=["http", "file"])
def opened(request: pytest.FixtureRequest, large: Repository, tmp_path: Path) -> Iterator[Mirror]:
    """The mirror over HTTP, where we ask ourselves, and over another transport, where git does."""
    url = large.url if request.param == "http" else large.path.as_uri()
    yield Mirror.open(tmp_path, url, Credential(), allow_file=True, limits=SMALL)
    Mirror.close_all()


def files_here(mirror: Mirror, commit: str) -> set[str]:
    entries = [entry for entry in mirror.tree.walk(commit) if not entry.is_tree]
    infos = mirror.tree._info([entry.id for entry in entries])
    return {entry.path for entry, (kind, _, _) in zip(entries, infos, strict=True) if kind}


def rendered(mirror: Mirror, commit: str, path: str) -> list[str]:
    source = Source(repo_url="x", path=path, directory=Directory(recurse=True))
    found = render([Job(App(), source, Files(mirror.tree, commit), Nothing(), Parameters())])
    return [f"{m.key.name}={m.body['data']['value']}" for m in found.manifests]


def test_a_large_repository_comes_with_all_commits_and_directories_and_no_files(
    opened: Mirror, large: Repository
) -> None:
    found = checkout(opened, "main")
    assert opened.partial
    assert files_here(opened, found.commit) == set()
    assert len(list(opened.tree.walk(found.commit))) == 41
    assert opened.tree.tree_id(found.commit, "apps/api/a.yaml") is not None
    assert opened.tree.tree_id(found.commit, "apps/api/none.yaml") is None
    assert files_here(opened, found.commit) == set()
    before = large.resolve("main~1")
    assert before is not None
    assert opened.has(before)


def test_what_a_render_reads_comes_in_one_request(opened: Mirror, host: GitServer) -> None:
    commit = checkout(opened, "main").commit
    host.requests.clear()
    assert len(rendered(opened, commit, "apps/web")) == 30
    assert len(host.requests) == (1 if opened.remote.endpoint.scheme == "http" else 0)
    assert files_here(opened, commit) == {f"apps/web/{n}.yaml" for n in range(30)}
    host.requests.clear()
    assert len(rendered(opened, commit, "apps/web")) == 30
    assert not host.requests
    assert rendered(opened, commit, "apps/api") == ["api=1"]
    assert "apps/api/notes.txt" not in files_here(opened, commit)


def test_pushes_to_a_partial_mirror_bring_what_they_change(
    opened: Mirror, large: Repository, host: GitServer
) -> None:
    """Also where the old version of the file, on which the host would build the new one, is not here."""
    checkout(opened, "main")
    for value in ("2", "3"):
        pushed = large.commit({"apps/web/7.yaml": manifest("web-7", value)})
        large._git("repack", "-adfq")  # now it is stored as a delta
        host.requests.clear()
        assert checkout(opened, "main", pushed).commit == pushed
        if opened.remote.endpoint.scheme == "http":
            assert [method for method, _ in host.requests] == ["POST", "POST"]
            assert files_here(opened, pushed) == {"apps/web/7.yaml"}
    assert f"web-7={value}" in rendered(opened, pushed, "apps/web")
    back = large.commit({"apps/web/7.yaml": manifest("web-7", "1")})  # a file that the host thinks we have
    checkout(opened, "main", back)
    assert "web-7=1" in rendered(opened, back, "apps/web")


def test_a_large_push_to_a_whole_mirror_makes_it_partial(host: GitServer, tmp_path: Path) -> None:
    repository = host.create("grows")
    before = repository.commit({"a.yaml": manifest("a", "1"), "b.yaml": manifest("b", "1")})
    mirror = Mirror.open(tmp_path, repository.url, Credential(), limits=SMALL)
    assert checkout(mirror, "main").commit == before
    assert not mirror.partial
    pushed = repository.commit({"b.yaml": manifest("b", "2"), "big.bin": os.urandom(300_000)})
    assert checkout(mirror, "main", pushed).commit == pushed
    assert mirror.partial
    assert rendered(mirror, pushed, ".") == ["a=1", "b=2"]
    assert rendered(mirror, before, ".") == ["a=1", "b=1"]
    another = repository.commit({"b.yaml": manifest("b", "3"), "big.bin": os.urandom(300_000)})
    assert checkout(mirror, "main", another).commit == another
    assert not list(mirror.git_dir.glob("objects/pack/tmp_*"))
    assert rendered(mirror, another, ".") == ["a=1", "b=3"]
    mirror.maintain()
    assert rendered(mirror, pushed, ".") == ["a=1", "b=2"]
    assert "big.bin" not in files_here(mirror, pushed)


def test_a_partial_mirror_is_maintained_and_mended(opened: Mirror, large: Repository) -> None:
    commit = checkout(opened, "main").commit
    opened.keep(commit)
    rendered(opened, commit, "apps/api")
    for value in range(4):
        checkout(opened, "main", large.commit({"apps/api/a.yaml": manifest("api", str(value))}))
    before = len(list(opened.git_dir.glob("objects/pack/*.pack")))
    opened.maintain()
    assert len(list(opened.git_dir.glob("objects/pack/*.pack"))) < before
    assert opened.kept() == {commit}
    assert rendered(opened, commit, "apps/api") == ["api=1"]
    opened.close()
    for path in opened.git_dir.glob("objects/pack/*"):
        path.unlink()
    newest = checkout(opened, "main").commit
    assert opened.partial
    assert opened.kept() == {commit}
    assert rendered(opened, newest, "apps/api") == ["api=3"]
    assert rendered(opened, commit, "apps/api") == ["api=1"]


def test_nothing_of_it_is_written_into_the_configuration(opened: Mirror) -> None:
    checkout(opened, "main")
    config = (opened.git_dir / "config").read_text()
    assert "remote" not in config
    assert "partialclone" not in config.lower()


def test_a_file_that_the_host_lost_is_refused_and_no_damage(opened: Mirror, large: Repository) -> None:
    checkout(opened, "main")
    with pytest.raises((GitRefused, GitFailed)) as failed:
        opened.tree.read("e" * 40)
    assert "damaged" not in str(failed.value)


def test_a_repository_that_takes_long_counts_as_large(large: Repository, tmp_path: Path) -> None:
    for url in (large.url, large.path.as_uri()):
        mirror = Mirror.open(tmp_path, url, Credential(), allow_file=True, limits=Limits(whole_s=0.001))
        commit = checkout(mirror, "main").commit
        assert mirror.partial
        assert rendered(mirror, commit, "apps/api") == ["api=1"]
        assert not list(mirror.git_dir.glob("objects/pack/tmp_*"))


def test_more_than_is_allowed_is_refused_with_the_setting(large: Repository, tmp_path: Path) -> None:
    limits = Limits(whole=2_000, most=2_000)
    for url in (large.url, large.path.as_uri()):
        mirror = Mirror.open(tmp_path, url, Credential(), allow_file=True, limits=limits)
        commit = large.resolve("main")
        assert commit is not None
        with pytest.raises(TooLarge, match="MOORING_GIT_MAX_MB"):
            mirror.fetch_commit(commit)
        assert not mirror.has(commit)
        assert not list(mirror.git_dir.glob("objects/pack/*.pack"))


def test_where_the_host_cannot_leave_files_out_all_come(host: GitServer, tmp_path: Path) -> None:
    repository = host.create("plain")
    repository._git("config", "uploadpack.allowFilter", "false")
    repository.commit({"big.bin": os.urandom(300_000), "a.yaml": manifest("a", "1")})
    for url in (repository.url, repository.path.as_uri()):
        mirror = Mirror.open(tmp_path, url, Credential(), allow_file=True, limits=SMALL)
        commit = checkout(mirror, "main").commit
        assert files_here(mirror, commit) == {"big.bin", "a.yaml"}
        pushed = repository.commit({"a.yaml": manifest("a", commit)})
        checkout(mirror, "main", pushed)
        assert rendered(mirror, pushed, ".") == [f"a={commit}"]
