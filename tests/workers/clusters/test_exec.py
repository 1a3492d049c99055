"""The program that the operator allows is the one that is run, whatever environment the Secret asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from mooring.errors import ClusterRefused
from workers.clusters.exec import credential
from workers.clusters.secret import Access, ClusterSecret, Exec

PROD = ClusterSecret("prod", "https://prod.example.org", "", "cluster-prod")


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory with another `login` than the one that the workers have."""
    for directory, token in (("ours", "$WHOSE $HOME"), ("theirs", "stolen")):
        program = tmp_path / directory / "login"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "{{\\"status\\": {{\\"token\\": \\"{token}\\"}}}}"\n')
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'ours'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/ours")
    return str(tmp_path / "theirs")


def ran(env: Mapping[str, str]) -> Access:
    return credential(PROD, Exec("login", env=env), {"login"})


@pytest.mark.parametrize("token", ["hunter2\u0142", "hunter2\u00fc", "hunter2\nX-Evil: 1"])
def test_a_token_that_no_header_can_have_is_refused_and_quoted_nowhere(tmp_path: Path, token: str) -> None:
    answer, program = tmp_path / "answer", tmp_path / "login"
    answer.write_text(json.dumps({"status": {"token": token}}))
    program.write_text(f"#!/bin/sh\nexec cat {answer}\n")
    program.chmod(0o700)
    with pytest.raises(
        ClusterRefused, match=r"^cluster Secret cluster-prod: .* gave a status\.token"
    ) as told:
        credential(PROD, Exec(str(program)), {str(program)})
    assert "hunter2" not in repr(told.value)


def test_a_secret_has_no_say_in_which_program_an_allowed_name_means(theirs: str) -> None:
    assert ran({"WHOSE": "us", "HOME": theirs}).token == "us /home/ours"
    for name in ("PATH", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "ENV"):
        with pytest.raises(ClusterRefused, match=f"is not run with {name} in its env") as told:
            ran({name: theirs})
        assert theirs not in str(told.value)
