"""Newest commit wins, and the host alone says which one it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.errors import GitRefused
from workers.git.mirror import Found, Mirror, checkout

MirrorOf = Callable[[Repository], Mirror]


def test_a_push_is_fetched_by_its_commit_id(host: GitServer, repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    pushed = repo.commit({"apps/web/a.yaml": "a: 2\n"})
    host.requests.clear()
    assert checkout(mirror, "main", pushed) == Found("refs/heads/main", pushed)
    assert [method for method, _ in host.requests] == ["POST", "POST"]  # the commit, and the ref
    blob = mirror.tree.tree_id(pushed, "apps/web/a.yaml")
    assert blob is not None
    assert mirror.tree.read(blob) == b"a: 2\n"


def test_the_first_checkout_of_a_repository_brings_the_whole_history(
    repo: Repository, mirror_of: MirrorOf
) -> None:
    first = repo.resolve("main")
    second = repo.commit({"x": "2"})
    mirror = mirror_of(repo)
    assert checkout(mirror, "HEAD", second).commit == second
    assert first is not None
    assert mirror.has(first)


def test_a_force_push_back_named_by_a_forged_hint_is_not_used(repo: Repository, mirror_of: MirrorOf) -> None:
    old = repo.resolve("main")
    new = repo.commit({"x": "2"})
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    assert checkout(mirror, "main", old).commit == new


def test_a_pull_request_head_named_by_a_hint_is_not_used(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    head = repo.commit({"apps/web/a.yaml": "evil: 1\n"}, branch="refs/pull/7/head", parent="main")
    assert checkout(mirror, "main", head).commit == main


def test_a_hint_that_nobody_has_or_that_is_no_commit_id_changes_nothing(
    repo: Repository, mirror_of: MirrorOf
) -> None:
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    for hint in ("f" * 40, "--upload-pack=touch /tmp/x", "", "HEAD", "main"):
        assert checkout(mirror, "main", hint).commit == main


def test_a_late_delivery_gives_the_newer_commit(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    late = repo.commit({"x": "2"})
    newest = repo.commit({"x": "3"})
    assert checkout(mirror, "main", late).commit == newest


def test_a_force_push_is_followed(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    rewritten = repo.commit({"only": "this"}, parent="")
    assert checkout(mirror, "main", rewritten).commit == rewritten
    assert [entry.path for entry in mirror.tree.walk(rewritten)] == ["only"]


def test_branches_tags_ranges_head_and_commit_ids_are_found(repo: Repository, mirror_of: MirrorOf) -> None:
    first = repo.resolve("main")
    assert first is not None
    repo.point("refs/tags/v1.2.0", first)
    second = repo.commit({"x": "2"})
    repo._git("-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "-m", "annotated", "v1.3.0", second)
    third = repo.commit({"x": "3"}, branch="feature/x", parent="main")
    mirror = mirror_of(repo)
    assert checkout(mirror, "v1.2.0") == Found("refs/tags/v1.2.0", first)
    assert checkout(mirror, "1.*") == Found("refs/tags/v1.3.0", second)  # peeled
    assert checkout(mirror, "HEAD").commit == second
    assert checkout(mirror, "") == checkout(mirror, "HEAD")
    assert checkout(mirror, "feature/x") == Found("refs/heads/feature/x", third)
    assert checkout(mirror, first) == Found("", first)


@pytest.mark.parametrize(
    "revision",
    [
        "--upload-pack=touch /tmp/owned",
        "-x",
        "a..b",
        "a b",
        "main\n",
        "x^{tree}",
        "a:b",
        "refs/heads/*",
        "@{-1}",
    ],
)
def test_a_revision_never_becomes_an_option_or_an_expression(
    repo: Repository, mirror_of: MirrorOf, revision: str
) -> None:
    if revision.strip() == "main":
        assert checkout(mirror_of(repo), revision).ref == "refs/heads/main"
        return
    with pytest.raises(GitRefused):
        checkout(mirror_of(repo), revision)


def test_a_branch_that_is_not_there_is_refused_by_name(repo: Repository, mirror_of: MirrorOf) -> None:
    with pytest.raises(GitRefused, match="'nosuch'"):
        checkout(mirror_of(repo), "nosuch")


def test_the_same_story_over_git_itself(repo: Repository, mirror_of: MirrorOf, tmp_path: object) -> None:
    """What is not HTTP goes through `git fetch` and `git ls-remote`."""
    from workers.git.credentials import Credential

    url = repo.path.as_uri()
    root = mirror_of(repo).home.parent
    with pytest.raises(GitRefused, match="MOORING_GIT_ALLOW_FILE"):
        Mirror.open(root, url, Credential())
    mirror = Mirror.open(root, url, Credential(), allow_file=True)
    main = checkout(mirror, "main").commit
    head = repo.commit({"evil": "1"}, branch="refs/pull/7/head", parent="main")
    assert checkout(mirror, "main", head).commit == main
    repo.point("refs/tags/v2.0.0", main)
    assert checkout(mirror, "^2.0").commit == main
    newest = repo.commit({"x": "2"})
    assert checkout(mirror, "HEAD", newest).commit == newest
