"""The programs that render for us, found on PATH. Their versions are part of what a render depends on."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mooring.errors import RenderFailed

_ASK: Final[dict[str, Sequence[str]]] = {
    "helm": ("version", "--template", "{{.Version}}"),
    "jsonnet": ("--version",),
    "kustomize": ("version",),
}
# Of the two programs named jsonnet, one is Argo CD's, and only that one says so.
_VERSION: Final = re.compile(
    r"(?:Jsonnet commandline interpreter \(Go implementation\) )?(v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*)"
)
_PATIENCE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: where it is, and the version it says it has, such as `v4.3.1`."""

    path: Path
    version: str


def program(name: str) -> tuple[str, Path, int, int] | None:
    """Which program `name` is now, without asking it: its name, where it is, when it was changed, its size;
    None when it is not on PATH."""
    found = shutil.which(name)
    if found is None:
        return None
    path = Path(found).resolve()
    about = path.stat()
    return name, path, about.st_mtime_ns, about.st_size


def find(name: str) -> Tool:
    """`helm`, `jsonnet` (go-jsonnet) or `kustomize`. Asked for its version once, and again when the program
    was replaced.

    Raises RenderFailed when it is not on PATH, or says no version.
    """
    found = program(name)
    if found is None:
        raise RenderFailed(f"{name} is not on PATH: install it where the workers run")
    return _asked(*found)


@functools.lru_cache(maxsize=8)
def _asked(name: str, path: Path, changed: int, size: int) -> Tool:
    try:
        done = subprocess.run(
            [path, *_ASK[name]],
            env={"HOME": "/nonexistent"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
            text=True,
            errors="replace",
        )
        said = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RenderFailed(f"{name} at {path} cannot be run: {error}") from error
    version = _VERSION.fullmatch(said)
    if done.returncode or not version:
        told = " ".join((said or done.stderr).split())[:200]
        raise RenderFailed(f"{name} at {path} does not tell its version, but {told!r}: install another one")
    return Tool(path, version[1])
