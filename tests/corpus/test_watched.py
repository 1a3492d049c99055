"""The witness of the corpus sees what it is there to see."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.corpus.watched import watched


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
def test_opened_listed_missing_and_linked_files_are_seen_wherever_a_command_went(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "apps/web").mkdir(parents=True)
    (root / "apps/web/täg.txt").write_text("x")
    (root / "link").symlink_to("apps/web")
    script = "cat link/täg.txt missing; cd apps; cat web/../gone; (cd web; ls . > /dev/null; test -e deeper)"
    _, seen = watched(["sh", "-c", script], root, {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    assert {"link/täg.txt", "missing", "apps/gone", "apps/web/deeper", "apps/web"} <= seen.asked
    assert seen.listed == {"apps/web"}
    assert not any(path.startswith(("/", "..")) for path in seen.asked)
