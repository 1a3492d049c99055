"""What the shell completes, asked as the shell's own script asks."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.cli.conftest import Mooring


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_can_read(mooring: Mooring, shell: str) -> None:
    done = mooring("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_MOORING_COMPLETE" in done.stdout
    if program := shutil.which(shell):
        read = subprocess.run([program, "-n"], input=done.stdout, capture_output=True, text=True, check=False)
        assert read.returncode == 0, read.stderr


@pytest.mark.cluster
def test_names_of_applications_are_completed(mooring: Mooring, shop: str) -> None:
    def completed(words: str) -> list[str]:
        asked = {"_MOORING_COMPLETE": "bash_complete", "COMP_WORDS": words}
        done = mooring(COMP_CWORD=str(len(words.split(" ")) - 1), **asked)
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    assert completed("mooring app sy") == ["sync"]
    assert completed("mooring app get sh") == ["shop"]
    assert completed("mooring app sync --prune s") == ["shop"]
    assert completed("mooring app get x") == []
    assert completed("mooring app get --namespace nowhere s") == []
    assert completed("mooring app get --kubeconfig /nowhere s") == []  # and no error into the prompt
