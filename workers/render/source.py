"""What every renderer takes and gives, so that each tool is one more file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mooring.errors import RenderFailed
from mooring.model.spec import Source
from mooring.repourl import masked
from workers.digest import digest
from workers.render.files import Files, Limits, Tree
from workers.render.manifest import Manifest
from workers.render.readset import ReadSet
from workers.render.yaml_reader import DuplicateKeys


@dataclass(frozen=True, slots=True)
class App:
    """Whose manifests they are: what tools may be told of the Application."""

    name: str = ""
    namespace: str = ""  # of the Application itself
    project: str = "default"
    to_namespace: str = ""  # spec.destination.namespace


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the target cluster serves: its version ("1.33.1"), and "apps/v1", "apps/v1/Deployment", …"""

    kube_version: str
    api_versions: tuple[str, ...]


class Fetch(Protocol):
    """Whatever is not in the source's own files, fetched as this app's project may have it.

    Everything is given with a digest that is part of the read-set. Raises Refused kinds when the project, the
    host or the content says no, Retryable ones when the host may answer later.
    """

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        """A chart of a chart repository or an OCI registry (`oci://…`): its files (the root is the chart
        itself), its version, the digest of its archive."""
        ...

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        """A Git repository at a revision ("" is HEAD): its tree with its submodules, which are fetched once
        something in them is asked for, and the commit."""
        ...

    def file(self, url: str) -> tuple[bytes, str]:
        """A single file, and its digest."""
        ...

    def digest(self, address: str) -> str:
        """The digest of what is now at an address of `Product.remotes`."""
        ...


class Nothing:
    """Fetches nothing from anywhere."""

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        raise RenderFailed(f"chart {chart} of {masked(repo_url)}: nothing is fetched here")

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        raise RenderFailed(f"{masked(url)}: nothing is fetched here")

    def file(self, url: str) -> tuple[bytes, str]:
        raise RenderFailed(f"{masked(url)}: nothing is fetched here")

    def digest(self, address: str) -> str:
        raise RenderFailed(f"{masked(address)}: nothing can be fetched yet")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What shapes every render of this installation and cluster.

    `capabilities` asks the cluster at most once. `scratch` is the directory where tools get their work
    directories; `seconds` is how long one tool may take; `unconfined`: it runs where nothing would hold it.
    `enable_helm`: Kustomize inflates Helm charts. `plugins` is where the operator's plugins are.
    """

    duplicate_keys: DuplicateKeys = "warn"
    limits: Limits = field(default_factory=Limits)
    capabilities: Callable[[], Capabilities] = field(default=lambda: Capabilities("", ()))
    scratch: Path = Path()
    enable_helm: bool = False
    plugins: Path | None = None
    seconds: float = 60.0
    unconfined: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One source of an app to render, and everything that shapes it.

    `source` has the overrides that lie in Git applied already. `refs` are the files of other sources of the
    app, by their `ref`, as `$ref/path` names them.
    """

    app: App
    source: Source
    files: Files
    fetch: Fetch
    parameters: Parameters
    refs: Mapping[str, Files] = field(default_factory=dict)

    def inputs(self, told: Any) -> Any:
        """What a renderer has `told` of its inputs, with what shapes the files beside their ids."""
        shaped_by = self.files.tree.shaped_by
        return [told, shaped_by] if shaped_by else told

    def given(self, read_set: ReadSet) -> str:
        """The digest of what Git and the Application gave for a render that read `read_set`: 32 hexadecimal
        digits. Tools and the cluster have no part in it, nor has the name that a revision goes by."""
        options = self.source.model_copy(update={"target_revision": ""}).to_dict()
        shaped_by = self.files.tree.shaped_by
        return digest([astuple(self.app), options, shaped_by, read_set.paths, read_set.remotes])


@dataclass(frozen=True, slots=True)
class Product:
    """What a renderer made of a job. An object may be among the manifests twice.

    `remotes` are the digests of what was fetched, by address. `pure` is False when the same input may give
    other manifests the next time, as a chart does that draws passwords. `takes` is what a plugin says that
    was asked whether it takes the source, and no more.
    """

    manifests: tuple[Manifest, ...]
    warnings: tuple[str, ...] = ()
    remotes: Mapping[str, str] = field(default_factory=dict)
    pure: bool = True
    takes: bool = True


class Renderer(Protocol):
    """Turns a job into manifests."""

    def inputs(self, job: Job) -> Any:
        """Everything that shapes the manifests and is neither a file nor fetched, as JSON: options, the
        tool's version, capabilities, a number that is raised when our own part changes."""
        ...

    def render(self, job: Job) -> Product:
        """Raises RenderFailed when it cannot, never gives half of them."""
        ...


# Manifests of sources that give others each time, by the digests of what was given for them.
Drawn = Mapping[str, tuple[Manifest, ...]]

# Makes the product of a job by a renderer, whose kind is told.
Through = Callable[[Job, str, Renderer], Product]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The manifests of an app's sources, in the order of the spec; `read_sets`, `given` (`Job.given`),
    `kinds` (Directory, Helm, Kustomize, Plugin) and `impure` (`Product.pure`) are one a source, too."""

    sources: tuple[tuple[Manifest, ...], ...]
    read_sets: tuple[ReadSet, ...]
    given: tuple[str, ...]
    kinds: tuple[str, ...]
    warnings: tuple[str, ...]
    impure: tuple[bool, ...]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """All of them, one source's after the other's."""
        return tuple(itertools.chain.from_iterable(self.sources))

    @property
    def pure(self) -> bool:
        return not any(self.impure)

    @property
    def drawn(self) -> Drawn:
        """What may be something else the next time."""
        made = zip(self.given, self.sources, self.impure, strict=True)
        return {given: manifests for given, manifests, impure in made if impure}

    def with_drawn(self, drawn: Drawn) -> Rendered:
        """The same with what was drawn before, as far as that was of the very same sources."""
        before, now = {**self.drawn, **drawn}, zip(self.given, self.sources, self.impure, strict=True)
        sources = (before[given] if impure else manifests for given, manifests, impure in now)
        return replace(self, sources=tuple(sources))
