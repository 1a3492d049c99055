"""The command as a whole: quick to help, one line per failure, and no process told too much."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main
from cli.processes import beat, flower, web, workers
from mooring.settings import Settings

_ENVIRON = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C",
    "KUBECONFIG": "/k",
    "MOORING_KUBECONFIG": "/k",
    "GIT_PASSWORD": "p",
    "SSH_AUTH_SOCK": "/s",
    "AWS_SECRET_ACCESS_KEY": "a",
    "MOORING_WEBHOOK_GITHUB_SECRET": "g",
    "MOORING_WEBHOOK_SECRETS_DIR": "/d",
    "MOORING_MAX_IN_FLIGHT": "9",
    "MOORING_FLOWER_PASSWORD": "f",
    "MOORING_FLOWER_PASSWORD_FILE": "/f",
    "FLOWER_UNAUTHENTICATED_API": "true",
    "MOORING_REDIS_URL_FILE": "/f",
}


def test_help_imports_neither_cluster_nor_web_nor_rich() -> None:
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'kubernetes', 'flask', 'celery', 'rich', 'redis', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize(
    ("modules", "left_out"),
    [
        ("cli.app.diff, cli.app.rendered", {"celery", "flask", "lupa", "redis"}),
        ("cli.app.tree, workers.branches", {"celery", "flask", "git", "redis", "rich"}),
        ("cli.app.list, workers.apps.home", {"celery", "flask", "git", "redis", "rich"}),
    ],
)
def test_a_command_imports_nothing_that_it_hardly_ever_needs(modules: str, left_out: set[str]) -> None:
    left_out = left_out | {"oauthlib", "requests", "requests_oauthlib", "websocket"}
    code = f"import sys, {modules}\nprint(sorted({left_out!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_command_can_be_asked_for_help() -> None:
    context = main.make_context("mooring", ["app"], resilient_parsing=True)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_help(context)


def test_no_line_of_help_is_cut() -> None:
    context = main.make_context("mooring", ["app"], resilient_parsing=True)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        shown = CliRunner().invoke(command, ["--help"], terminal_width=80).output
        commands = shown.partition("\nCommands:\n")[2]
        assert not [line for line in commands.splitlines() if line.endswith("...")]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["app", "snyc"], "No such command 'snyc': did you mean 'sync'?"),
        (["delivry"], "No such command 'delivry': did you mean 'delivery'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
    ],
)
def test_a_slip_of_the_fingers_is_answered_with_the_command_that_is_near(typed: list[str], said: str) -> None:
    done = CliRunner().invoke(main, typed)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: {said}"


def test_the_web_tier_is_told_its_own_settings_and_nothing_else() -> None:
    child = web(_ENVIRON, "redis://r", "127.0.0.1", 8080, 2)
    assert set(child.env) == {
        *("PATH", "LANG", "MOORING_WEBHOOK_GITHUB_SECRET", "MOORING_WEBHOOK_SECRETS_DIR"),
        *("MOORING_MAX_IN_FLIGHT", "MOORING_REDIS_URL", "PYTHONUNBUFFERED"),
    }


def test_flower_is_told_redis_and_its_password_and_nothing_else() -> None:
    child = flower(_ENVIRON, Settings(redis_url="redis://r"), "f", "127.0.0.1", 5555)
    assert set(child.env) == {
        *("PATH", "LANG", "MOORING_REDIS_URL", "MOORING_FLOWER_PASSWORD", "MOORING_LOG_FORMAT"),
        "PYTHONUNBUFFERED",
    }


def test_workers_and_beat_are_told_no_secret_of_the_web_tier_or_flower() -> None:
    settings = Settings(redis_url="redis://r", kubeconfig="/k", namespace="home")
    for child in (*workers(_ENVIRON, settings), beat(_ENVIRON, settings)):
        assert not [name for name in child.env if name.startswith(("MOORING_WEBHOOK", "MOORING_FLOWER"))]
        assert child.env["MOORING_NAMESPACE"] == "home"
        assert child.env["KUBECONFIG"] == "/k"
        assert "MOORING_REDIS_URL_FILE" not in child.env, "it would be told twice where Redis is"


def test_secrets_are_never_arguments() -> None:
    settings = Settings(redis_url="redis://:secret@r")
    children = (
        web(_ENVIRON, "redis://:secret@r", "127.0.0.1", 1, 1),
        *workers(_ENVIRON, settings),
        flower(_ENVIRON, settings, "secret", "127.0.0.1", 1),
    )
    assert not [argument for child in children for argument in child.argv if "secret" in argument]


def test_a_wrong_kubeconfig_is_one_line_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "up", "--kubeconfig", "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 20
    assert done.stderr.splitlines() == [
        "mooring: kubeconfig /nowhere does not exist: give --kubeconfig or set KUBECONFIG"
    ]
