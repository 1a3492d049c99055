"""A repository's submodules are there as in a checkout, fetched when somebody looks, as any repository is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster.gitserver import Content, Gitlink, GitServer, Repository, Symlink
from mooring.errors import GitFailed, GitRefused, Refused, RenderFailed
from workers.git.credentials import Credential
from workers.git.mirror import Mirror
from workers.git.submodules import DEEPEST, MOST, Submodules, Tree, absolute, with_submodules
from workers.render.files import Files
from workers.render.readset import ReadSet

MirrorOf = Callable[[Repository], Mirror]


def modules(**urls: str) -> str:
    return "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, url in urls.items())


class Sees:
    """One repository with its submodules, and what was fetched for them."""

    def __init__(self, host: GitServer, mirror_of: MirrorOf) -> None:
        self._host = host
        self._mirror_of = mirror_of
        self.brought: list[tuple[str, str]] = []

    def bring(self, url: str, commit: str) -> Tree:
        self.brought.append((url.removeprefix(self._host.url), commit))
        mirror = self._mirror_of(Repository(url, Path()))
        mirror.fetch_commit(commit)
        return mirror.tree

    def files(self, repository: Repository, files: dict[str, Content]) -> Files:
        commit = repository.commit(files)
        mirror = self._mirror_of(repository)
        mirror.fetch_commit(commit)
        return Files(with_submodules(mirror.tree, commit, repository.url, self.bring), commit)


@pytest.fixture
def sees(host: GitServer, mirror_of: MirrorOf) -> Sees:
    return Sees(host, mirror_of)


@pytest.fixture
def lib(host: GitServer) -> Repository:
    repository = host.create("team/lib")
    repository.commit({"a.yaml": "a: lib\n", "deep/b.yaml": "b: lib\n", "link": Symlink("deep/b.yaml")})
    return repository


def at(repository: Repository) -> Gitlink:
    commit = repository.resolve()
    assert commit is not None
    return Gitlink(commit)


def test_the_files_of_a_submodule_are_in_its_place(
    sees: Sees, repo: Repository, lib: Repository, tmp_path: Path
) -> None:
    files = sees.files(repo, {".gitmodules": modules(vendor="../lib.git"), "vendor": at(lib), "x/y": "z"})
    assert files.read("vendor/deep/b.yaml") == b"b: lib\n"
    assert files.read("vendor/link") == b"b: lib\n"
    assert [entry.path for entry in files.walk("vendor")] == [
        *("vendor/a.yaml", "vendor/deep", "vendor/deep/b.yaml", "vendor/link")
    ]
    assert files.find("vendor/none") is None
    files.copy([""], tmp_path)
    assert (tmp_path / "vendor/deep/b.yaml").read_text() == "b: lib\n"
    assert (tmp_path / "x/y").read_text() == "z"
    assert sees.brought == [("/team/lib.git", at(lib).commit)]


def test_it_is_fetched_only_when_something_in_it_is_asked_for(
    sees: Sees, repo: Repository, lib: Repository
) -> None:
    files = sees.files(repo, {".gitmodules": modules(vendor="../lib.git"), "vendor": at(lib)})
    assert files.read("README.md") == b"hello\n"
    assert "vendor" in [entry.path for entry in files.walk("", recurse=False)]
    assert files.find("vendor") is not None
    assert sees.brought == []
    files.find("vendor/a.yaml")
    assert len(sees.brought) == 1


def test_what_was_read_in_it_is_known_by_its_commit_so_that_a_push_needs_no_submodule_to_be_looked_at(
    sees: Sees, repo: Repository, lib: Repository, mirror_of: MirrorOf
) -> None:
    first: dict[str, Content] = {".gitmodules": modules(vendor="../lib.git"), "vendor": at(lib), "other": "1"}
    files = sees.files(repo, first)
    files.read("vendor/deep/b.yaml")
    files.find("vendor/none/at/all")
    assert dict(files.reads) == {
        "vendor": at(lib).commit,
        ".gitmodules": files.tree.tree_id(files.commit, ".gitmodules"),
    }
    read = ReadSet.of([], files.reads)

    def same(commit: str) -> bool:
        mirror = mirror_of(repo)
        mirror.fetch_commit(commit)
        return read.at(mirror.tree.tree_id, commit) == read

    assert same(repo.commit({"other": "2"}))
    lib.commit({"new.yaml": "new"})
    assert not same(repo.commit({"vendor": at(lib)}))


def test_submodules_of_submodules_are_there_too(sees: Sees, host: GitServer, repo: Repository) -> None:
    inner, outer = host.create("team/deep/inner"), host.create("team/outer")
    inner.commit({"c.yaml": "c: inner\n"})
    outer.commit({".gitmodules": modules(in_it="../deep/inner"), "in_it": at(inner), "o.yaml": "o: outer\n"})
    files = sees.files(repo, {".gitmodules": modules(vendor="../outer"), "vendor": at(outer)})
    assert files.read("vendor/in_it/c.yaml") == b"c: inner\n"
    assert {entry.path for entry in files.walk("vendor") if entry.is_file} == {
        *("vendor/.gitmodules", "vendor/o.yaml", "vendor/in_it/c.yaml")
    }
    assert set(files.reads) == {"vendor", ".gitmodules"}


def test_a_submodule_that_nobody_says_the_place_of_is_refused_once_it_is_needed(
    sees: Sees, repo: Repository, lib: Repository
) -> None:
    files = sees.files(repo, {".gitmodules": modules(other="../lib"), "vendor": at(lib)})
    assert files.read("README.md") == b"hello\n"
    with pytest.raises(GitRefused, match=r"\.gitmodules names no url for the submodule vendor"):
        files.find("vendor/a.yaml")


def test_without_any_told_it_is_no_directory_and_nothing_is_deployed_from_it(
    sees: Sees, repo: Repository, lib: Repository
) -> None:
    files = sees.files(repo, {"vendor": at(lib)})
    found = files.find("vendor")
    assert found is not None
    assert not found.is_tree
    with pytest.raises(RenderFailed, match="is not a file"):
        files.read("vendor")
    assert files.reads[".gitmodules"] is None


def test_what_bringing_it_raises_names_the_submodule(repo: Repository, mirror_of: MirrorOf) -> None:
    def refused(url: str, commit: str) -> Tree:
        raise Refused(f"project team does not permit {url}")

    def failing(url: str, commit: str) -> Tree:
        raise GitFailed("the host does not answer")

    commit = repo.commit(
        {".gitmodules": modules(vendor="https://elsewhere.example/x"), "vendor": Gitlink("1" * 40)}
    )
    mirror = mirror_of(repo)
    mirror.fetch_commit(commit)
    with pytest.raises(
        GitRefused, match=r"^submodule vendor: project team does not permit https://elsewhere"
    ):
        Files(with_submodules(mirror.tree, commit, repo.url, refused), commit).find("vendor/x")
    with pytest.raises(GitFailed, match="does not answer"):
        Files(with_submodules(mirror.tree, commit, repo.url, failing), commit).find("vendor/x")


def test_a_commit_that_is_not_there_is_refused(sees: Sees, repo: Repository, lib: Repository) -> None:
    files = sees.files(repo, {".gitmodules": modules(vendor="../lib"), "vendor": Gitlink("1" * 40)})
    with pytest.raises(GitRefused, match=r"^submodule vendor: "):
        files.find("vendor/a.yaml")


HOSTILE = [
    "ext::sh -c 'touch /tmp/x'",
    "file:///etc",
    "/etc",
    "-u./payload",
    "--upload-pack=touch /tmp/x",
    "ssh://-oProxyCommand=touch/x",
    "https://host.example/a b",
    "https://host.example/x\\r",
    "../../../../../..",
    "../../../../x",
    "fd::17",
    "http://",
    "",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_reaches_neither_git_nor_a_host(
    sees: Sees, repo: Repository, lib: Repository, url: str
) -> None:
    told = f'[submodule "vendor"]\n\tpath = vendor\n\turl = "{url}"\n'
    files = sees.files(repo, {".gitmodules": told, "vendor": at(lib)})
    with pytest.raises(GitRefused, match="gitmodules"):
        files.find("vendor/a.yaml")
    assert sees.brought == []


@pytest.mark.parametrize(
    "told",
    [
        # CVE-2025-48384: git once wrote `path` back without its last character, and cloned elsewhere.
        '[submodule "vendor"]\n\tpath = "vendor\\r"\n\turl = ../lib.git\n',
        '[submodule "../../hooks"]\n\tpath = ../../vendor\n\turl = ../lib.git\n',
        '[include]\n\tpath = /etc/passwd\n[submodule "vendor"]\n\tpath = vendor\n\turl = \n',
        "[submodule",
        "\0\0\0",
        "x" * 3000,
    ],
)
def test_a_hostile_file_fetches_nothing(sees: Sees, repo: Repository, lib: Repository, told: str) -> None:
    files = sees.files(repo, {".gitmodules": told, "vendor": at(lib)})
    with pytest.raises(GitRefused, match="gitmodules"):
        files.find("vendor/a.yaml")
    assert sees.brought == []


def test_a_command_in_the_file_is_not_run(
    sees: Sees, repo: Repository, lib: Repository, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    told = modules(vendor="../lib.git") + f"\tupdate = !touch {mark}\n[core]\n\tfsmonitor = touch {mark}\n"
    files = sees.files(repo, {".gitmodules": told, "vendor": at(lib)})
    assert files.read("vendor/a.yaml") == b"a: lib\n"
    assert not mark.exists()


def test_a_file_that_is_a_link_names_none(sees: Sees, repo: Repository, lib: Repository) -> None:
    files = sees.files(
        repo, {".gitmodules": Symlink("told"), "told": modules(vendor="../lib"), "vendor": at(lib)}
    )
    assert files.find("vendor/a.yaml") is None
    assert sees.brought == []


def test_submodules_that_lie_in_each_other_without_end_are_not_followed(
    sees: Sees, host: GitServer, repo: Repository
) -> None:
    doll = host.create("team/doll")
    doll.commit({"x": "0"})
    for _ in range(DEEPEST + 2):
        doll.commit({".gitmodules": modules(a="../doll"), "a": at(doll)})
    files = sees.files(repo, {".gitmodules": modules(vendor="../doll"), "vendor": at(doll)})
    with pytest.raises(GitRefused, match="are not entered"):
        files.walk("vendor")
    assert len(sees.brought) == DEEPEST


def test_no_more_than_a_hundred_of_them_are_entered(sees: Sees, host: GitServer, repo: Repository) -> None:
    twins = host.create("team/twins")
    twins.commit({"x": "0"})
    for _ in range(DEEPEST - 2):
        twins.commit({".gitmodules": modules(a="../twins", b="../twins"), "a": at(twins), "b": at(twins)})
    files = sees.files(repo, {".gitmodules": modules(vendor="../twins"), "vendor": at(twins)})
    with pytest.raises(GitRefused, match="are not entered"):
        files.walk("vendor")
    assert len(sees.brought) == MOST


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("../lib.git", "https://git.example/team/app.git", "https://git.example/team/lib.git"),
        ("./lib", "https://git.example/team/app", "https://git.example/team/app/lib"),
        ("../../other/lib", "https://git.example:8443/team/app", "https://git.example:8443/other/lib"),
        ("../lib", "git@git.example:team/app", "git@git.example:team/lib"),
        ("../../lib", "git@git.example:team/app", "git@git.example:lib"),
        ("../lib", "ssh://git@git.example:2222/team/app", "ssh://git@git.example:2222/team/lib"),
        ("../lib", "https://joe:secret@git.example/team/app", "https://git.example/team/lib"),
        ("https://else.example/x", "https://git.example/team/app", "https://else.example/x"),
        ("git@else.example:x/y", "https://git.example/team/app", "git@else.example:x/y"),
    ],
)
def test_a_relative_url_begins_where_the_repository_is(url: str, base: str, expected: str) -> None:
    assert absolute(url, base) == expected


def test_a_relative_url_of_a_path_of_this_machine_leads_nowhere() -> None:
    with pytest.raises(GitRefused, match="file repositories are off"):
        absolute("../lib", "file:///srv/git/app")


def test_a_repository_without_any_is_read_as_it_is(repo: Repository, mirror_of: MirrorOf) -> None:
    commit = repo.resolve()
    assert commit is not None
    mirror = mirror_of(repo)
    mirror.fetch_commit(commit)

    def never(url: str, commit: str) -> Tree:
        raise AssertionError(url)

    assert with_submodules(mirror.tree, commit, repo.url, never) is mirror.tree
    assert not isinstance(mirror.tree, Submodules)
    assert mirror.credential == Credential()
