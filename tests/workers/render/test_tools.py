"""The programs that render are found on PATH, and their versions are known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mooring.errors import RenderFailed
from workers.render.tools import find


@pytest.mark.parametrize("name", ["helm", "jsonnet", "kustomize"])
def test_a_tool_on_path_is_found_with_its_version(tools: Path, name: str) -> None:
    found = find(name)
    assert found.path == (tools / name).resolve()
    assert found.version.startswith("v")


def test_a_missing_tool_is_told_with_the_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderFailed, match="helm is not on PATH: install it where the workers run"):
        find("helm")


def test_a_program_that_was_replaced_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "helm"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    versions = []
    for version in ("v4.3.1", "v4.10.0"):
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
        versions.append(find("helm").version)
    assert versions == ["v4.3.1", "v4.10.0"]


@pytest.mark.parametrize("script", ["echo helm; exit 0", "echo v4.3.1; exit 1", "exit 3"])
def test_a_program_that_is_no_such_tool_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    program = tmp_path / "helm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    with pytest.raises(RenderFailed, match="does not tell its version"):
        find("helm")
