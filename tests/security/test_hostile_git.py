"""What a repository may hold for git itself to run, and git runs none of it: there is no checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devcluster.gitserver import Content, Executable, GitServer, Symlink
from workers.git.credentials import Credential
from workers.git.mirror import Limits, Mirror
from workers.render.files import Files


def _trap(mark: Path) -> dict[str, Content]:
    """Filters, hooks, a file system monitor, and a bare repository inside the repository."""
    run = Executable(f"#!/bin/sh\ntouch {mark}\n")
    config = (
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = touch {mark}\n"
        f"\thooksPath = hooks\n\tsshCommand = touch {mark}\n"
        f'[filter "evil"]\n\tsmudge = touch {mark}; cat\n\tclean = touch {mark}; cat\n\trequired = true\n'
        f'[diff "evil"]\n\ttextconv = touch {mark}; cat\n[alias]\n\tcat-file = !touch {mark}\n'
    )
    files: dict[str, Content] = {
        ".gitattributes": "* filter=evil diff=evil merge=evil text working-tree-encoding=UTF-16\n",
        ".gitconfig": config,
        ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n",
        "config": config,
        "HEAD": "ref: refs/heads/main\n",
        "objects/x": "",
        "refs/x": "",
        "app/a.yaml": "a: é\n",
        "app/link": Symlink("../config"),
    }
    for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):
        files |= {f"hooks/{hook}": run, f".git-hooks/{hook}": run}
    return files


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_of_a_repository_is_run_when_it_is_fetched_read_and_copied(
    git_server: GitServer, tmp_path: Path, whole: bool
) -> None:
    mark = tmp_path / "owned"
    repository = git_server.create(f"trap-{whole}-{os.urandom(4).hex()}")
    commit = repository.commit(_trap(mark))
    limits = Limits() if whole else Limits(whole=1)
    mirror = Mirror.open(tmp_path / "mirrors", repository.url, Credential(), limits=limits)
    mirror.fetch_commit(commit)
    assert mirror.partial is not whole
    files = Files(mirror.tree, commit)
    assert files.read("app/a.yaml") == "a: é\n".encode()
    files.copy([""], tmp_path / "copy")
    mirror.keep(commit)
    mirror.maintain()
    assert not mark.exists()
    Mirror.close_all()

    # The trap is one: whoever lets git see the copy as a repository runs what it says.
    subprocess.run(
        ["git", "-c", "safe.bareRepository=all", "status"],
        cwd=tmp_path / "copy",
        check=False,
        capture_output=True,
    )
    assert mark.exists()
