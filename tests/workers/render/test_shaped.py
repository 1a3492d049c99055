"""What decides how files are read, and is in none of their Git ids, makes another render."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import Gitlink, GitServer, Repository
from mooring.model.spec import Source
from workers.git.credentials import Credential
from workers.git.mirror import Mirror
from workers.git.submodules import with_submodules
from workers.render.cache import Cache
from workers.render.files import Files, Tree, digest_of
from workers.render.render import render
from workers.render.source import App, Job, Nothing, Parameters

LARGE = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\n"
SMALL = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\n"
OID = hashlib.sha256(LARGE).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(LARGE)}\n"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    yield Cache(tmp_path / "renders", b"k" * 32, 1 << 20)
    Mirror.close_all()


def mirror(tmp_path: Path, repo: Repository, commit: str, *, lfs: bool) -> Mirror:
    opened = Mirror.open(tmp_path / "mirrors", repo.url, Credential(lfs=lfs))
    opened.fetch_commit(commit)
    kept = opened.home / "lfs" / OID[:2]
    kept.mkdir(parents=True, exist_ok=True)
    (kept / OID).write_bytes(LARGE)
    return opened


def job(tree: Tree, commit: str, path: str = "app", **refs: Files) -> Job:
    source = Source.model_validate(
        {"repoURL": "https://git.example/x", "path": path, "directory": {"recurse": True}}
    )
    return Job(App("shop"), source, Files(tree, commit), Nothing(), Parameters(), refs)


def rendered(cache: Cache, job: Job) -> tuple[list[str], str]:
    """The names of the objects, and the key."""
    found = render([job], cache.product)
    return [manifest.key.name for manifest in found.manifests], found.read_sets[0].key


def test_files_of_lfs_that_are_turned_on_are_rendered_anew(
    cache: Cache, git_repo: Repository, tmp_path: Path
) -> None:
    commit = git_repo.commit({"app/a.yaml": SMALL, "app/b.yaml": POINTER})
    names, key = rendered(cache, job(mirror(tmp_path, git_repo, commit, lfs=False).tree, commit))
    assert names == ["small"]
    names, other = rendered(cache, job(mirror(tmp_path, git_repo, commit, lfs=True).tree, commit))
    assert names == ["small", "large"]
    assert other != key
    off = job(mirror(tmp_path, git_repo, commit, lfs=False).tree, commit)
    assert rendered(cache, off) == (["small"], key), "and as before when they are turned off"


def test_so_are_those_that_another_source_reads(cache: Cache, git_repo: Repository, tmp_path: Path) -> None:
    commit = git_repo.commit({"app/a.yaml": SMALL, "values.yaml": POINTER})
    asked: list[str] = []

    for lfs in (False, True, True):
        tree = mirror(tmp_path, git_repo, commit, lfs=lfs).tree
        refs = Files(tree, commit)
        source = job(tree, commit, "app", values=refs)
        values = Job(
            source.app, Source(repo_url="https://git.example/x", ref="values"), refs, Nothing(), Parameters()
        )
        asked.append(render([source, values], cache.product).read_sets[1].key)
    assert asked[0] != asked[1] == asked[2]


def test_submodules_that_are_turned_on_are_rendered_anew(
    cache: Cache, git_server: GitServer, git_repo: Repository, tmp_path: Path
) -> None:
    library = git_server.create(f"library-{secrets.token_hex(4)}")
    there = library.commit({"b.yaml": LARGE})
    commit = git_repo.commit(
        {
            ".gitmodules": f'[submodule "lib"]\n\tpath = app/lib\n\turl = {library.url}\n',
            "app/a.yaml": SMALL,
            "app/lib": Gitlink(there),
            "alone/a.yaml": SMALL,
        }
    )
    own = mirror(tmp_path, git_repo, commit, lfs=False).tree
    whole = with_submodules(
        own, commit, git_repo.url, lambda url, wanted: mirror(tmp_path, library, wanted, lfs=False).tree
    )
    names, key = rendered(cache, job(own, commit))
    assert names == ["small"]
    names, other = rendered(cache, job(whole, commit))
    assert sorted(names) == ["large", "small"]
    assert other != key
    assert rendered(cache, job(own, commit)) == (["small"], key)


def test_a_repository_that_was_fetched_is_another_thing_with_them(
    git_repo: Repository, tmp_path: Path
) -> None:
    commit = git_repo.commit({".gitmodules": "", "app/a.yaml": SMALL})
    plain = mirror(tmp_path, git_repo, commit, lfs=False).tree
    assert digest_of(plain, commit) == commit
    whole = with_submodules(plain, commit, git_repo.url, lambda url, wanted: plain)
    large = mirror(tmp_path, git_repo, commit, lfs=True).tree
    assert len({commit, digest_of(whole, commit), digest_of(large, commit)}) == 3
