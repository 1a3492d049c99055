"""Which files a kustomization needs, its own repository's and others', and how they lie for Kustomize.

Everything that Kustomize would read, or look for, is found first, by reading what it would read. So it needs
no network: what is named by an address is fetched here, laid beside the repository, and the name is replaced
by the path. What is not named lies nowhere.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mooring.errors import GitRefused, Refused, RenderFailed
from mooring.repourl import masked
from mooring.text import printable
from workers.git.tree import Entry, clean_path
from workers.render import kustomization as names
from workers.render.address import Address
from workers.render.files import Files, digest_of
from workers.render.kustomization import Chart, Inline, Reference, Wants
from workers.render.kustomize_edit import Edits, edit
from workers.render.kustomize_url import RepoUrl, is_remote_file, means_file
from workers.render.matching import glob
from workers.render.source import Job

REPOSITORY: Final = "repo"
_FETCHED: Final = ".fetched"  # single files lie below their kustomization, where Kustomize permits them
_MAX_ROOTS: Final = 2000
_MAX_REMOTES: Final = 100


@dataclass(slots=True)
class Place:
    """The files of one repository, and where below the scratch directory they lie."""

    files: Files
    folder: str
    title: str  # of another repository: its URL
    wanted: dict[str, None] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)

    def below(self, path: str) -> str:
        """`path`, as messages have it."""
        return printable(f"{self.title}//{path}" if self.title else path)


@dataclass(frozen=True, slots=True)
class _Root:
    """A directory with a kustomization, and the kustomization while its names are followed."""

    place: Place
    folder: str
    where: str  # of the kustomization, as messages have it
    body: dict[str, Any]


class Layout:
    """What `job` needs. Made by following every name; then `write` puts it on disk.

    Raises RenderFailed for a kustomization that cannot be read, a name that leads out of its repository, an
    address that must not be asked; and what `job.fetch` raises when it may work later.
    """

    def __init__(self, job: Job, edits: Edits, *, inflates: bool) -> None:
        """`inflates`: whether charts are inflated, and so needed."""
        self._job = job
        self._edits = edits
        self._inflates = inflates
        self._places = [Place(job.files, REPOSITORY, "")]
        self._others: dict[tuple[str, str, str], Place] = {}
        self._todo: deque[tuple[Place, str]] = deque()
        self._known: set[tuple[str, str]] = set()
        self.remotes: dict[str, str] = {}
        self.deprecated: dict[str, list[str]] = {}  # fields, with the kustomizations that have them
        self.charts = False
        place = self._places[0]
        root = _directory(place, clean_path(job.source.path), job)
        self.root = root
        self.where = root
        self._enter(place, root)
        while self._todo:
            self._follow(*self._todo.popleft())

    @property
    def titles(self) -> Iterator[tuple[str, str]]:
        """Folders below the scratch directory, with what they are called in messages."""
        for place in self._places:
            yield place.folder, place.title

    def write(self, scratch: Path) -> None:
        """Everything that was found, below `scratch`."""
        for place in self._places:
            folder = scratch / place.folder
            folder.mkdir(parents=True, exist_ok=True)
            place.files.copy(place.wanted, folder)
            for path, data in place.written.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        for folder_, root in self._known:
            (scratch / folder_ / root).mkdir(parents=True, exist_ok=True)

    # --- following names ------------------------------------------------------------------------

    def _enter(self, place: Place, folder: str) -> None:
        if (place.folder, folder) not in self._known:
            self._known.add((place.folder, folder))
            if len(self._known) > _MAX_ROOTS:
                raise RenderFailed(f"more than {_MAX_ROOTS} kustomizations belong together", where=self.where)
            self._todo.append((place, folder))

    def _follow(self, place: Place, folder: str) -> None:
        found: list[str] = []
        for name in names.NAMES:
            path = posixpath.join(folder, name)
            entry = place.files.find(path)
            if entry is not None and entry.is_file:
                place.wanted[path] = None
                found.append(path)
        if len(found) != 1:
            return  # Kustomize says so itself
        path = found[0]
        where = place.below(path)
        body = names.read(place.files.read(path), where)
        root = _Root(place, folder, where, body)
        for name in names.DEPRECATED:
            if names.value(body, name) is not None:
                self.deprecated.setdefault(name, []).append(where)
        changed = False
        if (place.folder, folder) == (REPOSITORY, self.root):
            self.where = path
            if self._edits:
                edit(body, self._edits, list(self._components(root)))
                changed = True
        for reference in names.references(body):
            changed |= self._resolve(root, reference)
        for plugin in names.plugins(body):
            changed |= self._plugin(root, plugin)
        if self._inflates:
            changed |= _without_home(body)
            changed |= self._charts(root, list(names.charts(body)))
        if changed:
            place.written[path] = names.written([body])

    def _components(self, root: _Root) -> Iterator[str]:
        """The components of the options: patterns as the files have it, without those that may be missing."""
        options = self._edits.options
        for told in options.components:
            if RepoUrl.parse(told) is not None:
                yield told
                continue
            try:
                matching = glob(root.place.files, _inside(root, told, "components"), root.folder)
            except GitRefused as error:
                raise RenderFailed(f"spec.source.kustomize.components: {error}", where=root.where) from error
            if matching:
                yield from matching
            elif not options.ignore_missing_components:
                raise RenderFailed(
                    f"spec.source.kustomize.components: there is no {printable(told)}; correct it, or set "
                    "ignoreMissingComponents",
                    where=root.where,
                )

    def _resolve(self, root: _Root, reference: Reference) -> bool:
        """Follows one name; whether it was replaced."""
        text, key = reference.text, ""
        if reference.wants is Wants.FILE_SOURCE and text.count("=") == 1:
            key, _, text = text.partition("=")
        if "://" in text and _password(text):
            raise RenderFailed(
                f"{reference.field}: {masked(text)} has a password in it: change that, which everybody could "
                "read, and put the new one into a repository Secret",
                where=root.where,
            )
        if is_remote_file(text):
            repository = RepoUrl.parse(text)
            if reference.wants in (Wants.FILE, Wants.FILE_SOURCE) or repository is None or means_file(text):
                local = self._file(root, reference, text)
                if reference.wants is Wants.FILE_SOURCE:
                    local = f"{key or posixpath.basename(text)}={local}"
                reference.replace(local)
            else:
                reference.replace(self._repository(root, reference, repository))
            return True
        if any(ord(character) < 32 for character in text):
            return False  # no path of any file
        repository = RepoUrl.parse(text) if reference.wants not in (Wants.FILE, Wants.FILE_SOURCE) else None
        entry = None
        if repository is None or reference.wants is not Wants.ROOT:
            entry = self._find(root, reference, text, outside=repository is not None)
        if entry is not None and entry.is_file:
            path = _inside(root, text, reference.field)
            root.place.wanted[path] = None
            if reference.wants is Wants.PLUGINS:
                scanned = self._scan(root, root.place.files.read(path), root.place.below(path))
                if scanned is not None:
                    root.place.written[path] = scanned
            return False
        if repository is not None:
            reference.replace(self._repository(root, reference, repository))
            return True
        if entry is None or not entry.is_tree or reference.wants in (Wants.FILE, Wants.FILE_SOURCE):
            return False
        self._enter(root.place, entry.path)
        if reference.wants is Wants.PLUGINS:
            # What comes out of it may name files of `root`, and may be changed on the way: not to be traced.
            root.place.wanted[""] = None
        if entry.path == _inside(root, text, reference.field):
            return False
        reference.replace(posixpath.relpath(f"/{entry.path}", f"/{root.folder}"))  # behind symbolic links
        return True

    def _find(self, root: _Root, reference: Reference, text: str, outside: bool) -> Entry | None:
        try:
            return root.place.files.locate(_inside(root, text, reference.field))
        except (RenderFailed, GitRefused) as error:
            if outside:  # a repository, that as a path would make no sense
                return None
            if isinstance(error, RenderFailed):
                raise
            raise RenderFailed(f"{reference.field}: {error}", where=root.where) from error

    def _plugin(self, root: _Root, plugin: Reference | Inline) -> bool:
        if isinstance(plugin, Reference):
            return self._resolve(root, plugin)
        changed = self._documents(root, plugin.documents)
        if changed:
            plugin.store()
        return changed

    def _scan(self, root: _Root, data: bytes, where: str) -> bytes | None:
        """A file of plugins, with its names replaced; None when none had to be."""
        try:
            documents = names.read_all(data, where)
        except RenderFailed:
            return None  # Kustomize says so itself, or takes it for something else
        return names.written(documents) if self._documents(root, documents) else None

    def _documents(self, root: _Root, documents: list[dict[str, Any]]) -> bool:
        changed = False
        for document in documents:
            for reference in names.plugin_references(document):
                changed |= self._resolve(root, reference)
            if self._inflates:
                changed |= _without_home(document)
                changed |= self._charts(root, list(names.plugin_charts(document)))
        return changed

    def _charts(self, root: _Root, charts: list[tuple[Chart, tuple[Reference, ...]]]) -> bool:
        changed = False
        for chart, values in charts:
            self.charts = True
            for reference in values:
                changed |= self._resolve(root, reference)
            if not chart.name:
                continue
            path = _inside(root, chart.folder, "helmCharts")
            entry = root.place.files.find(path)
            if entry is not None and entry.is_tree:
                root.place.wanted[path] = None
            elif chart.repo:
                self._chart(root, chart, path)
        return changed

    # --- what is elsewhere ----------------------------------------------------------------------

    def _chart(self, root: _Root, chart: Chart, path: str) -> None:
        shown = f"chart {printable(chart.name)} of {masked(chart.repo)}"
        try:
            tree, _, digest = self._job.fetch.chart(chart.repo, chart.name, chart.version)
        except Refused as error:
            raise RenderFailed(f"helmCharts: {shown}: {error}", where=root.where) from error
        self._count(Address("chart", (chart.repo, chart.name, chart.version)), digest)
        files = Files(tree, digest, self._job.parameters.limits)
        self._places.append(Place(files, posixpath.join(root.place.folder, path), shown, {"": None}))

    def _file(self, root: _Root, reference: Reference, url: str) -> str:
        """The path, from the kustomization, of the file at `url`."""
        try:
            data, digest = self._job.fetch.file(url)
        except Refused as error:
            raise RenderFailed(f"{reference.field}: {masked(url)}: {error}", where=root.where) from error
        self._count(Address("file", (url,)), digest)
        local = posixpath.join(_FETCHED, hashlib.sha256(url.encode()).hexdigest()[:16])
        if reference.wants is Wants.PLUGINS:
            data = self._scan(root, data, masked(url)) or data
        root.place.written[posixpath.join(root.folder, local)] = data
        return local

    def _repository(self, root: _Root, reference: Reference, named: RepoUrl) -> str:
        """The path, from the kustomization, of a directory of another repository."""
        shown = masked(named.url)
        try:
            tree, commit = self._job.fetch.git(named.url, named.ref)
        except Refused as error:
            raise RenderFailed(f"{reference.field}: {shown}: {error}", where=root.where) from error
        self._count(Address("git", (named.url, named.ref)), digest_of(tree, commit))
        place = self._others.get((named.url, commit, named.path))
        if place is None:
            files = Files(tree, commit, self._job.parameters.limits)
            place = Place(files, f"remotes/{len(self._others) + 1}", shown)
            self._others[named.url, commit, named.path] = place
            self._places.append(place)
        entry = place.files.locate(named.path)
        if entry is None or not entry.is_tree:
            raise RenderFailed(
                f"{reference.field}: there is no directory {printable(named.path)!r} in {shown} at commit "
                f"{commit[:12]}",
                where=root.where,
            )
        self._enter(place, entry.path)
        if reference.wants is Wants.PLUGINS:
            root.place.wanted[""] = None
        return posixpath.relpath(
            posixpath.join("/", place.folder, entry.path), posixpath.join("/", root.place.folder, root.folder)
        )

    def _count(self, address: Address, digest: str) -> None:
        self.remotes[str(address)] = digest
        if len(self.remotes) > _MAX_REMOTES:
            raise RenderFailed(f"names more than {_MAX_REMOTES} addresses together", where=self.where)


def _directory(place: Place, path: str, job: Job) -> str:
    entry = place.files.locate(path)
    at = f"{path!r} at commit {job.files.commit[:12]}"
    if entry is None:
        raise RenderFailed(f"app path does not exist: {at}; correct spec.source.path")
    if not entry.is_tree:
        raise RenderFailed(f"app path is not a directory: {at}")
    return entry.path


def _inside(root: _Root, text: str, field: str) -> str:
    """The path from the root of the repository of what the kustomization calls `text`."""
    if text.startswith("/"):
        raise RenderFailed(
            f"{field}: {printable(text)} is an absolute path: give it from here", where=root.where
        )
    path = posixpath.normpath(posixpath.join(root.folder, text))
    if path == ".." or path.startswith("../"):
        raise RenderFailed(f"{field}: {printable(text)} leads out of the repository", where=root.where)
    return "" if path == "." else path


def _without_home(body: dict[str, Any]) -> bool:
    """Takes out where Helm would have its plugins, and what makes it print a chart into an error."""
    changed = False
    holders = [body, names.value(body, "helmGlobals"), *names.items(body, "helmCharts")]
    for holder in holders:
        for name in ("configHome", "debug"):
            for key, _ in names.fields(holder, name):
                del holder[key]
                changed = True
    return changed


def _password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False
