"""What every renderer takes and gives, so that Kustomize, Helm and the rest are one more file each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mooring.model.spec import Source
from workers.git.tree import Entry
from workers.render.manifest import Manifest
from workers.render.readset import ReadSet
from workers.render.yaml_reader import DuplicateKeys


class Tree(Protocol):
    """The files of commits. `workers.git.tree.TreeReader` is one."""

    def tree_id(self, commit: str, path: str) -> str | None: ...

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]: ...

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]: ...

    def prepare(self, ids: Sequence[str]) -> None: ...

    def follow(self, commit: str, entry: Entry) -> Entry | None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one render may read. Argo CD's default for all files together is the same."""

    file_bytes: int = 10 << 20
    total_bytes: int = 10 << 20


@dataclass(frozen=True, slots=True)
class Parameters:
    """What shapes a render beside the source: the app's name and the installation's settings."""

    app: str = ""
    duplicate_keys: DuplicateKeys = "warn"
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Rendered:
    """The manifests of a commit, in the order of their files. An object may be among them twice."""

    commit: str
    manifests: tuple[Manifest, ...]
    read_set: ReadSet
    warnings: tuple[str, ...]


class Renderer(Protocol):
    """Turns a source into manifests. Raises RenderFailed when it cannot, never gives half of them."""

    def __call__(self, source: Source, tree: Tree, commit: str, parameters: Parameters) -> Rendered: ...
