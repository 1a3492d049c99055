"""Reading a repository that may have been made to hurt its reader."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.gitserver import Repository
from mooring.errors import GitRefused
from workers.git.mirror import Mirror, checkout
from workers.git.tree import clean_path

MirrorOf = Callable[[Repository], Mirror]


def test_a_directory_is_walked_with_and_without_its_children(repo: Repository, mirror_of: MirrorOf) -> None:
    repo.commit({"apps/web/deep/er/c.yaml": "c", "apps/web/Ünïcode file.yaml": "u"})
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    flat = {entry.path for entry in mirror.tree.walk(main, "./apps//web/", recurse=False)}
    assert flat == {"apps/web/a.yaml", "apps/web/b.yaml", "apps/web/deep", "apps/web/Ünïcode file.yaml"}
    deep = {entry.path for entry in mirror.tree.walk(main, "apps/web") if entry.is_file}
    assert deep == (flat - {"apps/web/deep"}) | {"apps/web/deep/er/c.yaml"}
    assert list(mirror.tree.walk(main, "nowhere")) == []
    assert list(mirror.tree.walk(main, "README.md")) == []


def test_a_directory_that_was_listed_is_not_asked_for_again(
    repo: Repository, mirror_of: MirrorOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repo.commit({"a.yaml": "1"})
    mirror = mirror_of(repo)
    checkout(mirror, "main", first)
    known = list(mirror.tree.walk(first, "", recurse=False))
    second = repo.commit({"b.yaml": "2"})
    checkout(mirror, "main", second)
    assert "b.yaml" in {entry.path for entry in mirror.tree.walk(second, "", recurse=False)}
    asked = list[str]()

    def ask(verb: str, names: Sequence[str]) -> list[tuple[str, bytes]]:
        asked.extend(names)
        return [("", b"")]

    monkeypatch.setattr(mirror.tree, "_ask", ask)
    assert list(mirror.tree.walk(first, "", recurse=False)) == known
    assert not asked
    assert list(mirror.tree.walk(first, "apps", recurse=False)) == []
    assert asked == [f"{first}:apps"]


def test_of_the_directories_that_were_listed_the_last_ones_are_kept(
    repo: Repository, mirror_of: MirrorOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = repo.commit({f"{folder}/{name}.yaml": "1" for folder in "abc" for name in "xy"})
    mirror = mirror_of(repo)
    checkout(mirror, "main", pushed)
    monkeypatch.setattr("workers.git.tree._KEPT", 4)
    for folder in ("a", "b", "a", "c"):
        assert len(list(mirror.tree.walk(pushed, folder, recurse=False))) == 2
    assert list(mirror.tree._folders) == [(pushed, "a"), (pushed, "c")]
    monkeypatch.setattr("workers.git.tree._KEPT", 1)
    assert len(list(mirror.tree.walk(pushed, "b", recurse=False))) == 2
    assert not mirror.tree._folders


def test_a_tree_id_changes_only_with_what_is_below(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    first = checkout(mirror, "main").commit
    second = repo.commit({"README.md": "other\n"})
    checkout(mirror, "main", second)
    assert mirror.tree.tree_id(first, "apps/web") == mirror.tree.tree_id(second, "apps/web")
    assert mirror.tree.tree_id(first, "") != mirror.tree.tree_id(second, "")
    assert mirror.tree.tree_id(first, "apps/none") is None


def test_many_paths_are_asked_for_at_once(repo: Repository, mirror_of: MirrorOf) -> None:
    wide = {f"apps/app-{number}/a.yaml": str(number) for number in range(700)}
    pushed = repo.commit(wide)
    mirror = mirror_of(repo)
    checkout(mirror, "main", pushed)
    present = [*wide, "apps/app-1", "apps", ""]
    absent = [f"apps/app-{number}/none.yaml" for number in range(700)] + ["nowhere/at/all", "README.md/x"]
    found = mirror.tree.tree_ids(pushed, present + absent)
    assert found == {path: mirror.tree.tree_id(pushed, path) for path in present + absent}
    assert [path for path, id_ in found.items() if id_ is None] == absent
    assert mirror.tree.tree_ids(pushed, []) == {}


def test_what_is_fetched_after_the_reader_began_is_seen(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    assert not mirror.has("f" * 40)
    for number in range(3):
        pushed = repo.commit({"n": str(number)})
        checkout(mirror, "main", pushed)
        blob = mirror.tree.tree_id(pushed, "n")
        assert blob is not None
        assert mirror.tree.read(blob) == str(number).encode()


def test_a_reader_that_was_killed_is_started_again(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    child = mirror.tree._running()
    child.kill()
    assert mirror.has(main)
    assert mirror.tree._running().pid != child.pid


def test_a_file_beyond_the_limit_is_refused_unread(repo: Repository, mirror_of: MirrorOf) -> None:
    main = repo.commit({"big": "x" * 5000})
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    blob = mirror.tree.tree_id(main, "big")
    assert blob is not None
    with pytest.raises(GitRefused, match="5000 bytes"):
        mirror.tree.read(blob, limit=4999)
    assert len(mirror.tree.read(blob, limit=5000)) == 5000


def test_a_thousand_files_are_read_at_once(repo: Repository, mirror_of: MirrorOf) -> None:
    main = repo.commit({f"many/{number}": f"{number}" * 200 for number in range(1200)})
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    entries = list(mirror.tree.walk(main, "many"))
    contents = mirror.tree.read_many([entry.id for entry in entries])
    assert {entry.name: contents[entry.id].decode() for entry in entries} == {
        str(number): f"{number}" * 200 for number in range(1200)
    }


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "."])
def test_a_tree_with_an_entry_no_checkout_would_accept_is_refused(
    repo: Repository, mirror_of: MirrorOf, name: str
) -> None:
    def git(*args: str, given: bytes = b"") -> str:
        done = subprocess.run(["git", *args], cwd=repo.path, input=given, capture_output=True, check=True)
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", given=b"evil")
    raw = f"100644 {name}\0".encode() + bytes.fromhex(blob)
    tree = git("hash-object", "-w", "-t", "tree", "--stdin", "--literally", given=raw)
    who = ("-c", "user.name=e", "-c", "user.email=e@e")
    repo.point("refs/heads/main", git(*who, "commit-tree", "-m", "evil", tree))
    mirror = mirror_of(repo)
    commit = checkout(mirror, "main").commit
    with pytest.raises(GitRefused, match="entry named"):
        list(mirror.tree.walk(commit))


def test_a_submodule_is_named_and_not_entered(repo: Repository, mirror_of: MirrorOf) -> None:
    line = f"160000 commit {'a' * 40}\tmodule\n".encode()
    done = subprocess.run(
        ["git", "mktree", "--missing"], cwd=repo.path, input=line, capture_output=True, check=True
    )
    tree = done.stdout.decode().strip()
    commit = repo._git("-c", "user.name=e", "-c", "user.email=e@e", "commit-tree", "-m", "s", tree)
    repo.point("refs/heads/main", commit)
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    (entry,) = mirror.tree.walk(commit)
    assert not (entry.is_tree or entry.is_file or entry.is_link)
    assert (entry.path, entry.id) == ("module", "a" * 40)


@pytest.mark.parametrize("path", ["/etc", "..", "a/../../b", "a\nb", "a\0b", "\x1b[2J"])
def test_a_path_that_leads_elsewhere_is_refused(repo: Repository, mirror_of: MirrorOf, path: str) -> None:
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    with pytest.raises(GitRefused):
        mirror.tree.tree_id(main, path)


@pytest.mark.parametrize(
    "commit", ["main", "HEAD", "--batch", "", "a" * 39, "A" * 40, "a" * 40 + "\n" + "b" * 40]
)
def test_only_a_full_commit_id_is_looked_up(repo: Repository, mirror_of: MirrorOf, commit: str) -> None:
    with pytest.raises(GitRefused):
        mirror_of(repo).has(commit)


@given(st.text())
def test_a_clean_path_stays_inside_and_is_stable(path: str) -> None:
    try:
        clean = clean_path(path)
    except GitRefused:
        return
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")
    assert clean_path(clean) == clean
