"""What a render may see of a repository, and that it is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import Repository, Symlink
from mooring.errors import GitRefused, RenderFailed
from workers.git.tree import TreeReader
from workers.render.files import Files, Limits

Seen = Callable[..., Files]
_LIMITS = Limits()


@pytest.fixture
def seen(git_repo: Repository, tmp_path: Path) -> Iterator[Seen]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    yield lambda files, limits=_LIMITS: Files(reader, git_repo.commit(files), limits)
    reader.close()


LINKED = {
    "README.md": "hello\n",
    "apps/web/a.yaml": "a: 1\n",
    "apps/web/inside": Symlink("../../README.md"),
    "apps/dir": Symlink("web"),
    "apps/through": Symlink("dir/../web/a.yaml"),
    "apps/web/chain": Symlink("inside"),
    "apps/web/dangling": Symlink("nothing"),
    "apps/web/loop": Symlink("loop"),
    "apps/web/out": Symlink("../../../etc/passwd"),
    "apps/web/absolute": Symlink("/etc/passwd"),
    "apps/sneaky": Symlink("dir/out"),
}


def test_a_symbolic_link_is_followed_inside_the_repository_only(seen: Seen) -> None:
    files = seen(LINKED)

    def led_to(path: str) -> str | None:
        found = files.find(path)
        return found.path if found else None

    assert led_to("apps/web/inside") == "README.md"
    assert led_to("apps/dir") == "apps/web"
    assert led_to("apps/dir/a.yaml") == "apps/web/a.yaml"
    assert led_to("apps/through") == "apps/web/a.yaml"
    assert led_to("apps/web/chain") == "README.md"
    assert led_to("apps/web/dangling") is None
    assert led_to("apps/web/loop") is None
    for path in ("apps/web/out", "apps/web/absolute", "apps/sneaky"):
        with pytest.raises(RenderFailed, match="out of the repository"):
            led_to(path)
    with pytest.raises(GitRefused, match="out of the repository"):
        led_to("apps/../../x")


def test_every_path_that_decides_what_is_found_is_remembered(seen: Seen) -> None:
    files = seen(LINKED)
    for path in ("apps/dir/a.yaml", "apps/none", "nowhere/at/all", "README.md/x"):
        files.find(path)
    reads = files.reads
    assert {path for path, id_ in reads.items() if id_} == {"apps/dir", "apps/web/a.yaml", "README.md"}
    assert {path for path, id_ in reads.items() if id_ is None} == {"apps/none", "nowhere"}
    assert reads["README.md"] == files.tree.tree_id(files.commit, "README.md")


def test_of_a_directory_that_is_only_gone_through_nothing_but_the_way_is_remembered(seen: Seen) -> None:
    files = seen(LINKED)
    for path in ("apps/dir", "apps", ""):
        found = files.locate(path)
        assert found is not None
        assert found.is_tree
    assert set(files.reads) == {"apps/dir"}, "the link, and no directory"
    assert (files.locate("apps/dir/a.yaml"), files.locate("apps/none")) == (
        files.find("apps/web/a.yaml"),
        None,
    )
    assert set(files.reads) == {"apps/dir", "apps/web/a.yaml", "apps/none"}


def test_copies_are_plain_files_and_nothing_else_is_there(seen: Seen, tmp_path: Path) -> None:
    files = seen({name: LINKED[name] for name in LINKED if name.rpartition("/")[2] not in _LEADING_OUT})
    files.copy(["apps/dir", "README.md", "missing"], tmp_path / "to")
    copied = {path for path in (tmp_path / "to").rglob("*") if not path.is_dir()}
    assert {str(path.relative_to(tmp_path / "to")) for path in copied} == {
        "README.md",
        "apps/dir/a.yaml",
        "apps/dir/inside",
        "apps/dir/chain",
    }
    assert not any(path.is_symlink() for path in copied)
    assert (tmp_path / "to/apps/dir/chain").read_text() == "hello\n"
    assert files.reads["missing"] is None


_LEADING_OUT = {"out", "absolute", "sneaky"}


def test_what_leads_out_or_in_circles_or_is_too_much_is_not_copied(seen: Seen, tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match=r"apps/web/(out|absolute): .*leads out"):
        seen(LINKED).copy(["apps/web"], tmp_path / "1")
    circle = {"a/b/back": Symlink(".."), "a/f": "x"}
    with pytest.raises(RenderFailed, match="circles"):
        seen(circle).copy(["a"], tmp_path / "2")
    with pytest.raises(RenderFailed, match="larger than 10 bytes together"):
        seen({"b/f": "123456", "b/g": "123456"}, Limits(copied_bytes=10)).copy(["b"], tmp_path / "3")
    with pytest.raises(RenderFailed, match="more than 1 files"):
        seen({}, Limits(copied_files=1)).copy(["b"], tmp_path / "4")
    twofold = {f"d{n}/{side}": Symlink(f"../d{n + 1}") for n in range(19) for side in "lr"}
    with pytest.raises(RenderFailed, match="more than 50000 files"):
        seen(twofold | {"d19/f": ""}).copy(["d0"], tmp_path / "5")
