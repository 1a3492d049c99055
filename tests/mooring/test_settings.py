"""Settings of workers and beat come from the environment, and back into it for child processes."""

from __future__ import annotations

import pytest

from mooring.errors import Refused
from mooring.settings import Settings


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
