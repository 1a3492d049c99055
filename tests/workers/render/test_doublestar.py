"""Patterns of value files name the files that doublestar's do, in its order, and always come to an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.gitserver import Content, Repository, Symlink
from mooring.errors import RenderFailed
from workers.git.tree import TreeReader
from workers.render.doublestar import expand, fits, is_pattern
from workers.render.files import Files

TREE: dict[str, Content] = {
    "env/z.yaml": "",
    "env/a/x.yaml": "",
    "env/a/deep/y.yaml": "",
    "env/a/deep/.hidden.yaml": "",
    "env/b/x.yml": "",
    "env/[odd]/*.yaml": "",
    "root.yaml": "",
    "linked": Symlink("env/a"),
    "dangling.yaml": Symlink("nowhere"),
}


@pytest.fixture
def files(git_repo: Repository, tmp_path: Path) -> Iterator[Files]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    yield Files(reader, git_repo.commit(TREE))
    reader.close()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.yaml", ["root.yaml"]),
        ("env/*.yaml", ["env/z.yaml"]),
        # A directory's own files come before those of the directories in it.
        (
            "env/**/*.yaml",
            [
                "env/z.yaml",
                "env/[odd]/*.yaml",
                "env/a/x.yaml",
                "env/a/deep/.hidden.yaml",
                "env/a/deep/y.yaml",
            ],
        ),
        ("env/a/**", ["env/a/x.yaml", "env/a/deep/.hidden.yaml", "env/a/deep/y.yaml"]),
        ("env/**/deep/?.yaml", ["env/a/deep/y.yaml"]),
        ("env/[ab]/x.y*ml", ["env/a/x.yaml", "env/b/x.yml"]),
        ("env/[^a]/x.*", ["env/b/x.yml"]),
        ("env/[!a]/x.*", ["env/b/x.yml"]),
        ("env/{b,a}/x.*", ["env/a/x.yaml", "env/b/x.yml"]),
        (r"env/\[odd\]/\*.y?ml", ["env/[odd]/*.yaml"]),
        ("linked/*.yaml", ["linked/x.yaml"]),
        ("*/x.yaml", ["linked/x.yaml"]),
        ("nowhere/*.yaml", []),
        ("root.yaml/*", []),
    ],
)
def test_a_pattern_names_files(files: Files, pattern: str, found: list[str]) -> None:
    assert is_pattern(pattern)
    assert expand(files, pattern) == found


@pytest.mark.parametrize("pattern", ["env/[a*.yaml", "env/{a*.yaml", "env/[z-a].yaml", "*\\"])
def test_a_pattern_that_is_none_is_refused(files: Files, pattern: str) -> None:
    with pytest.raises(RenderFailed, match="pattern"):
        expand(files, pattern)


def test_what_was_looked_through_is_read(files: Files) -> None:
    expand(files, "env/*/absent.y?ml")
    assert {"env", "env/a", "env/b"} <= files.reads.keys()
    assert "root.yaml" not in files.reads


def test_a_star_stays_within_a_name_and_takes_no_time_of_its_own() -> None:
    assert fits("charts/*/x", "charts/a/x") and not fits("charts/*", "charts/a/x")
    assert not fits("*a" * 60 + "b", "a" * 250)
