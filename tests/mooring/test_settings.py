"""Settings of workers and beat come from the environment, and back into it for child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.errors import Refused
from mooring.settings import Settings
from mooring.settings_web import WebSettings

_BOTH_TIERS = pytest.mark.parametrize("settings", [Settings, WebSettings])


def test_what_is_set_is_read_and_given_on_to_children_as_it_was() -> None:
    environ = {
        "MOORING_REDIS_URL": "unix:///run/redis.sock",
        "MOORING_GIT_ALLOW_FILE": "1",
        "MOORING_KEEP_FINISHED": "12",
        "MOORING_POLL_SECONDS": "0.5",
    }

    settings = Settings.from_env(environ)

    assert (settings.git_allow_file, settings.keep_finished, settings.poll_s) == (True, 12, 0.5)
    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MOORING_KEEP_FINISHED", "0"),
        ("MOORING_KEEP_FINISHED", "-1"),
        ("MOORING_KEEP_FINISHED", "1e3"),
        ("MOORING_GIT_ALLOW_FILE", "maybe"),
        ("MOORING_POLL_SECONDS", "soon"),
        ("MOORING_POLL_SECONDS", "0"),
        ("MOORING_YAML_DUPLICATE_KEYS", "ignore"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_variable(variable: str, text: str) -> None:
    with pytest.raises(Refused, match=variable):
        Settings.from_env({variable: text})


@_BOTH_TIERS
def test_the_url_of_redis_may_be_in_a_file(settings: type[Settings | WebSettings], tmp_path: Path) -> None:
    file = tmp_path / "redis-url"
    file.write_text("redis://mooring:s3cret@redis:6379/0\n")

    found = settings.from_env({"MOORING_REDIS_URL_FILE": str(file), "MOORING_REDIS_URL": ""})

    assert found.redis_url == "redis://mooring:s3cret@redis:6379/0"
    assert "s3cret" not in repr(found)


@_BOTH_TIERS
def test_a_url_that_is_given_twice_or_a_file_that_gives_none_is_refused_without_showing_it(
    settings: type[Settings | WebSettings], tmp_path: Path
) -> None:
    file, empty, binary = tmp_path / "url", tmp_path / "empty", tmp_path / "binary"
    file.write_text("redis://:s3cret@redis")
    empty.write_text("\n")
    binary.write_bytes(b"\xff s3cret")
    for path, url, why in (
        (file, "redis://:s3cret@other", "both set"),
        (empty, "", "is empty"),
        (binary, "", "no text"),
        (tmp_path, "", "Is a directory"),
        (tmp_path / "nowhere", "", "No such file"),
    ):
        with pytest.raises(Refused, match=f"MOORING_REDIS_URL_FILE.*{why}") as refused:
            settings.from_env({"MOORING_REDIS_URL_FILE": str(path), "MOORING_REDIS_URL": url})
        assert "s3cret" not in str(refused.value)


def test_a_user_without_a_home_is_asked_for_a_directory_when_one_is_needed_and_not_before() -> None:
    settings = Settings.from_env({"MOORING_STATE_DIR": "/var/lib/mooring"})
    assert settings.state_directory() == Path("/var/lib/mooring")

    with pytest.raises(Refused, match="set MOORING_STATE_DIR"):
        Settings(state_dir="").state_directory()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_uid_without_a_name_as_openshift_gives_it_has_settings_and_no_directory() -> None:
    script = """
import os, pwd  # what lies in root's own home is imported while it can be read
from mooring.errors import ClusterRefused
from mooring.settings import Settings
from workers.cluster.connect import connect
os.setuid(65432)
print(repr(Settings.from_env(os.environ).state_dir))
try:
    connect()
except ClusterRefused as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "''",
        "no cluster to connect to: give --kubeconfig, set KUBECONFIG, or run in a pod",
    ]
