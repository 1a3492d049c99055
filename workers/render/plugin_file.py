"""The config management plugins that an operator has installed: directories with a `plugin.yaml`.

The file is that of Argo CD's sidecars.

https://argo-cd.readthedocs.io/en/stable/operator-manual/config-management-plugins/
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from mooring.errors import Refused, RenderFailed
from mooring.model.part import Bool, Part
from workers.render.yaml_reader import read_documents

_FILE: Final = "plugin.yaml"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Program(Part):
    """A program and its arguments."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.command, *self.args)


class Find(Program):
    glob: str = ""


class Discover(Part):
    file_name: str = ""
    find: Find = Find()


class Announced(Part):
    """Parameters that a plugin announces to a user interface. They shape no manifest."""

    static: tuple[Any, ...] = ()
    dynamic: Program = Program()


class Spec(Part):
    version: str = ""
    init: Program = Program()
    generate: Program
    discover: Discover = Discover()
    parameters: Announced = Announced()
    preserve_file_mode: Bool = False
    provide_git_creds: Bool = False
    # Of older editions: each render has a directory of its own here.
    allow_concurrency: Bool = True
    lock_repo: Bool = False


class _Named(Part):
    name: str
    # Whatever else Kubernetes permits there.
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    namespace: str = ""


class _File(Part):
    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["ConfigManagementPlugin"]
    metadata: _Named
    spec: Spec


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plugin. `name` is what an Application calls it: `name`, or `name-version`."""

    name: str
    directory: Path
    spec: Spec
    digest: str  # changes with the plugin's files

    @property
    def path(self) -> str:
        """Where its programs are looked for: beside its `plugin.yaml`, then in the system."""
        return f"{self.directory}:{self.directory / 'bin'}:{_SYSTEM_PATH}"

    def program(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """`argv` with the program's absolute path: of the plugin's directory or the system, never one of the
        repository. Raises RenderFailed when there is none."""
        asked = argv[0]
        if "/" in asked and not asked.startswith("/"):
            found = shutil.which(str(self.directory / asked))
        else:
            found = shutil.which(asked, path=self.path)
        if found is None:
            raise RenderFailed(
                f"plugin {self.name}: there is no program {asked}: put it beside its {_FILE}, or install it "
                "where the workers run"
            )
        return (found, *argv[1:])


def installed(directory: Path) -> tuple[Plugin, ...]:
    """The plugins in the directories of `directory`, by name.

    Raises RenderFailed, naming the file, when one of them cannot be read: it might have been the one that is
    wanted, and what another tool makes of its files is not what was asked for.
    """
    try:
        found = sorted(file for file in directory.glob(f"*/{_FILE}"))
        if not directory.is_dir():
            raise FileNotFoundError("no such directory")
    except OSError as error:
        raise RenderFailed(f"MOORING_PLUGINS_DIR: {directory} cannot be read: {error}") from error
    plugins: dict[str, Plugin] = {}
    for file in found:
        plugin = _read(file)
        if (other := plugins.setdefault(plugin.name, plugin)) is not plugin:
            raise RenderFailed(f"{file}: {other.directory.name} has the name {plugin.name} too: rename one")
    return tuple(plugins[name] for name in sorted(plugins))


def _read(file: Path) -> Plugin:
    try:
        data = file.read_bytes()
        digest = _digest(file.parent, data)
    except OSError as error:
        raise RenderFailed(f"{file} cannot be read: {error.strerror}") from error
    documents, _warnings = read_documents(data, str(file))
    if len(documents) != 1:
        raise RenderFailed(f"holds {len(documents)} documents instead of one", where=str(file))
    try:
        told = _File.read(documents[0].body, "ConfigManagementPlugin")
    except Refused as error:
        raise RenderFailed(str(error), where=str(file)) from error
    spec = told.spec
    name = f"{told.metadata.name}-{spec.version}" if spec.version else told.metadata.name
    if unknown := sorted(told.unknown()):
        raise RenderFailed(f"no such field is known: {', '.join(unknown)}", where=str(file))
    if not _NAME.fullmatch(name):
        raise RenderFailed("metadata.name and spec.version make no proper name", where=str(file))
    if not spec.generate.command:
        raise RenderFailed("spec.generate.command is missing: what makes the manifests?", where=str(file))
    if spec.provide_git_creds:
        raise RenderFailed(
            "spec.provideGitCreds: no plugin gets a credential or a network here: take it out",
            where=str(file),
        )
    return Plugin(name, file.parent, spec, digest)


def _digest(directory: Path, told: bytes) -> str:
    digest = hashlib.sha256(told)
    for path, size, changed in sorted(_contents(directory)):
        digest.update(f"\0{path}\0{size}\0{changed}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _contents(directory: Path) -> Iterator[tuple[str, int, int]]:
    for place, _folders, names in os.walk(directory):
        for name in names:
            file = Path(place, name)
            if file.exists():  # a link may lead nowhere
                about = file.stat()
                yield str(file.relative_to(directory)), about.st_size, about.st_mtime_ns
