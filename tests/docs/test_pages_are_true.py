"""What the pages name exists: files, headings, variables, commands, flags, make targets, packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from cli.main import main
from mooring.settings_web import HOSTS, SECRETS_DIR, secret_variable
from tests.docs.pages import PAGES, ROOT, anchors, calls, name, prose, read

_CODE = ("mooring", "webhook", "workers", "cli", "devcluster")
each_page = pytest.mark.parametrize("page", PAGES, ids=name)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        there = file.exists() and file.resolve().is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert not broken


def _variables(text: str) -> set[str]:
    return set(re.findall(r"\bMOORING_[A-Z_]*[A-Z]\b(?![_<])", text))


def _variables_of_the_code() -> set[str]:
    files = [file for package in _CODE for file in (ROOT / package).rglob("*.py")]
    found = {variable for file in files for variable in _variables(file.read_text(encoding="utf-8"))}
    return found | {secret_variable(host) for host in HOSTS} | {SECRETS_DIR}


@each_page
def test_variables_are_those_that_the_code_reads(page: Path) -> None:
    assert _variables(page.read_text(encoding="utf-8")) <= _variables_of_the_code()


def test_every_variable_that_the_code_reads_is_among_the_settings() -> None:
    assert _variables_of_the_code() <= _variables(read("docs/settings.md"))


@each_page
def test_commands_and_their_flags_exist(page: Path) -> None:
    wrong = [
        f"mooring {' '.join(words)}: {why}"
        for words in calls(page.read_text(encoding="utf-8"), "mooring")
        if (why := _why_not(words))
    ]
    assert not wrong


def _why_not(words: list[str]) -> str:
    command: click.Command = main
    context = click.Context(main)
    for word in words:
        if word.startswith("-") and word not in ("-", "--"):
            known = {
                flag for param in command.get_params(context) for flag in (*param.opts, *param.secondary_opts)
            }
            if word.partition("=")[0] not in known:
                return f"{command.name} has no {word}"
        elif isinstance(command, click.Group):
            if word in ("…", "...", "PLACEHOLDER", "COMMAND"):
                return ""
            found = command.get_command(context, word)
            if found is None:
                return f"{command.name} has no command {word}"
            command = found
            if command.context_settings.get("ignore_unknown_options"):
                return ""  # what follows is another program's
    return ""


@each_page
def test_make_targets_exist(page: Path) -> None:
    makefile = read("Makefile")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    targets |= {f"bench-{file.stem}" for file in (ROOT / "benchmarks").glob("*.py")}
    targets |= {"bench-PLACEHOLDER", "bench-NAME"}
    named = {
        word
        for words in calls(page.read_text(encoding="utf-8"), "make")
        for word in words
        if "=" not in word and not word.startswith("-")
    }
    assert named <= targets


def test_every_module_is_named_by_the_architecture() -> None:
    page = read("docs/architecture.md")
    modules = {
        f"../{package}/{file.name}{'/' if file.is_dir() else ''}"
        for package in ("webhook", "workers")
        for file in (ROOT / package).iterdir()
        if (file.is_dir() or file.suffix == ".py")
        and not file.name.startswith("__")
        and file.name != "templates"
    }
    modules.discard("../webhook/templates/")
    assert not {module for module in modules if f"]({module})" not in page}


def test_every_dependency_has_its_reason_and_no_reason_is_left_over() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    required = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        required += extra
    names = {re.split(r"[\[<>=;~! ]", text, maxsplit=1)[0] for text in required}
    rows = re.findall(r"^\| (`[^|]+) \|", read("docs/dependencies.md"), re.MULTILINE)
    assert {package for row in rows for package in re.findall(r"`([^`]+)`", row)} == names


@pytest.mark.parametrize(("page", "least"), [("docs/security.md", 25), ("docs/argocd-compat.md", 10)])
def test_every_test_that_a_page_names_is_there(page: str, least: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", read(page)))
    files = (ROOT / "tests").rglob("test_*.py")
    there = {
        each for file in files for each in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert len(named) > least
    assert named <= there
