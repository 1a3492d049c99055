"""The files of a repository of the tests, as a render gets them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster.gitserver import Repository
from workers.git.tree import TreeReader


@contextmanager
def trees(repo: Repository) -> Iterator[TreeReader]:
    """What reads all commits of `repo`."""
    with tempfile.TemporaryDirectory() as directory:
        reader = TreeReader(repo.path, Path(directory) / "doubt")
        yield reader
        reader.close()
