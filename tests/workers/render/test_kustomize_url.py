"""How a kustomization names other repositories, as Kustomize itself takes it."""

from __future__ import annotations

import pytest

from workers.render.kustomize_url import RepoUrl, is_remote_file, means_file


@pytest.mark.parametrize(
    ("text", "url", "path", "ref"),
    [
        ("https://git.example/org/repo//a/b?ref=v1", "https://git.example/org/repo", "a/b", "v1"),
        ("https://git.example/org/repo", "https://git.example/org/repo", "", ""),
        ("https://git.example/org/repo/a/b", "https://git.example/org/repo", "a/b", ""),
        ("https://git.example/deep/er/org/repo.git/a", "https://git.example/deep/er/org/repo.git", "a", ""),
        ("https://git.example/r.git?version=main", "https://git.example/r.git", "", "main"),
        ("https://git.example/r.git?version=main&ref=v2", "https://git.example/r.git", "", "v2"),
        ("https://git.example/r.git?ref=&version=main", "https://git.example/r.git", "", "main"),
        ("https://git.example/o/r//a?timeout=9&submodules=false", "https://git.example/o/r", "a", ""),
        ("HTTPS://git.example/o/r//a", "https://git.example/o/r", "a", ""),
        ("git::https://git.example/o/r//a", "https://git.example/o/r", "a", ""),
        ("github.com/org/repo", "https://github.com/org/repo", "", ""),
        ("github.com/org/repo/a?ref=main", "https://github.com/org/repo", "a", "main"),
        ("GitHub.com:org/repo//a", "https://github.com/org/repo", "a", ""),
        ("git@github.com:org/repo.git//a?ref=v1", "git@github.com:org/repo.git", "a", "v1"),
        ("ssh://git@github.com/org/repo//a", "git@github.com:org/repo", "a", ""),
        ("git@git.example:org/repo.git//a", "git@git.example:org/repo.git", "a", ""),
        ("ssh://git@git.example:2222/org/repo//a", "ssh://git@git.example:2222/org/repo", "a", ""),
        (
            "https://me@dev.azure.com/org/project/_git/repo/a/b",
            "https://me@dev.azure.com/org/project/_git/repo",
            "a/b",
            "",
        ),
        ("file:///srv/repo.git//a", "file:///srv/repo.git", "a", ""),
        ("https://git.example/o/r//a/../b", "https://git.example/o/r", "b", ""),
    ],
)
def test_a_repository_a_directory_in_it_and_a_ref(text: str, url: str, path: str, ref: str) -> None:
    assert RepoUrl.parse(text) == RepoUrl(url, path, ref)


@pytest.mark.parametrize(
    "text",
    [
        *("base", "../base", "/absolute", "base.yaml", "git.example/org/repo", "git.example:org/repo"),
        *("https://git.example", "https://git.example/only", "ext::sh -c 'touch /tmp/x'", "git::base", ""),
        *("https://git.example/o/r//../../x", "https://git.example/o/r.git/../x", "C:\\base", "gh:org/repo"),
    ],
)
def test_what_kustomize_takes_for_a_path_or_refuses(text: str) -> None:
    assert RepoUrl.parse(text) is None


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("https://raw.example/org/repo/main/web.yaml", True),
        ("https://raw.example/org/repo/main/web.json?token=1", True),
        ("https://git.example/org/repo//deploy/web.yaml?ref=main", False),
        ("https://git.example/org/repo.git/web.yml", False),
        ("https://git.example/org/repo/web?ref=main", False),
    ],
)
def test_an_address_that_could_be_either_is_a_file_if_it_is_named_like_one(text: str, file: bool) -> None:
    assert is_remote_file(text)
    assert means_file(text) == file
