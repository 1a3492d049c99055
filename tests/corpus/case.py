"""A case of the corpus, its repositories, and its render."""

from __future__ import annotations

import hashlib
import posixpath
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from devcluster.gitserver import Content, Gitlink, Repository
from mooring.errors import RenderFailed
from mooring.model.spec import Source
from tests.corpus.hosts import Hosts, Wares, files_of, packed
from workers.checkout import is_git
from workers.git.submodules import with_submodules
from workers.git.tree import TreeReader
from workers.origin import RemoteOrigin, remotes_of
from workers.remote.archive import unpack
from workers.remote.store import Store
from workers.render.files import Files, Tree
from workers.render.readset import ReadSet
from workers.render.render import render
from workers.render.source import App, Capabilities, Job, Parameters, Rendered

CORPUS: Final = Path(__file__).parent
_DATE: Final = "1700000000 +0000"
_PATIENCE: Final = 20.0
_KNOWN: Final = frozenset(
    (
        *("source", "sources", "app", "namespace", "destination", "capabilities", "settings", "submodules"),
        *("lfs", "locked", "truth", "warnings", "fails", "untraced"),
    )
)


@dataclass(frozen=True)
class Case:
    """The case that lies in `folder`. Raises ValueError for a case.yaml that says what is not known."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder.relative_to(CORPUS))

    @cached_property
    def told(self) -> dict[str, Any]:
        told = yaml.safe_load((self.folder / "case.yaml").read_text())
        if unknown := told.keys() - _KNOWN:
            raise ValueError(f"{self}/case.yaml: not known: {', '.join(unknown)}")
        return dict(told)

    @property
    def fails(self) -> str:
        return str(self.told.get("fails", ""))

    @property
    def expected(self) -> Path:
        return self.folder / "expected.yaml"

    @property
    def folders(self) -> Mapping[str, Path]:
        """The directories of its repositories, by their names."""
        several = self.folder / "repos"
        if several.is_dir():
            return {each.name: each for each in sorted(several.iterdir())}
        return {"repo": self.folder / "repo"} if (self.folder / "repo").is_dir() else {}

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        told = self.told.get("sources") or [self.told["source"]]
        return tuple(
            Source.model_validate({"repoURL": "https://git.example/repo.git", **each}) for each in told
        )

    def repository_of(self, source: Source) -> str:
        """The name of what has the source's files: of a repository, a chart or an artifact."""
        if not is_git(source):
            return posixpath.basename(source.chart or source.repo_url)
        return _last_part(source.repo_url) if len(self.folders) > 1 else next(iter(self.folders))


class Shelf(Protocol):
    """Where the files of a source are: a repository of a case, or what a chart or an artifact is."""

    @property
    def folder(self) -> Path: ...

    @property
    def tree(self) -> Tree: ...

    @property
    def commit(self) -> str: ...

    @property
    def files(self) -> Mapping[str, Content]: ...

    def with_files(self, files: Mapping[str, Content]) -> Shelf:
        """The same with these files changed (None is for one that is gone), and no others."""
        ...

    def only(self, files: Mapping[str, Content]) -> Shelf:
        """The same as it would be if it had only these files."""
        ...


@dataclass(frozen=True)
class Committed:
    """One repository of a case, in Git."""

    folder: Path
    repository: Repository
    tree: TreeReader
    files: Mapping[str, Content]
    commit: str

    def with_files(self, files: Mapping[str, Content]) -> Shelf:
        commit = self.repository.commit(files, branch="changed", parent=self.commit, date=_DATE)
        return replace(self, commit=commit)

    def only(self, files: Mapping[str, Content]) -> Shelf:
        return replace(self, commit=self.repository.commit(files, branch="only", parent="", date=_DATE))


@dataclass(frozen=True)
class Archived:
    """A chart or an artifact of a case, as it came from its host; `commit` is its version or digest."""

    folder: Path
    store: Store
    tree: Tree
    files: Mapping[str, Content]
    commit: str

    def with_files(self, files: Mapping[str, Content]) -> Shelf:
        return self.only({**self.files, **files})

    def only(self, files: Mapping[str, Content]) -> Shelf:
        data = packed({path: content for path, content in files.items() if content is not None})
        return replace(self, tree=self.store.keep(hashlib.sha256(data).hexdigest(), unpack(data)))


@dataclass(frozen=True)
class Fetched:
    """What lies beside the repositories, as it comes from other hosts."""

    hosts: Hosts
    wares: Wares
    repositories: Mapping[str, Shelf]

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        remotes = remotes_of(self.hosts.settings, _PATIENCE)
        url, name = self.hosts.url(repo_url, self.wares), posixpath.basename(chart)
        credential = self.hosts.credential()
        found = remotes.chart(url, name, revision, credential, trusted=True)
        return remotes.tree(found, credential), found.version, found.digest

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        shelf = self._shelf(url)
        return self.whole(shelf.tree, shelf.commit, url), shelf.commit

    def whole(self, tree: Tree, commit: str, url: str) -> Tree:
        return with_submodules(tree, commit, url, lambda other, _: self._shelf(other).tree)

    def _shelf(self, url: str) -> Shelf:
        shelf = self.repositories.get(_last_part(url))
        if shelf is None:
            raise RenderFailed(f"no repository {url}")
        return shelf

    def file(self, url: str) -> tuple[bytes, str]:
        remotes = remotes_of(self.hosts.settings, _PATIENCE)
        return remotes.file(self.hosts.file(url, self.wares), self.hosts.credential(), trusted=True)

    def digest(self, address: str) -> str:
        raise RenderFailed(f"{address}: the corpus renders once")


class Shelves:
    """Makes and keeps what the cases of a test consist of."""

    def __init__(self, create: Callable[[], Repository], hosts: Hosts, scratch: Path) -> None:
        self._create = create
        self._hosts = hosts
        self._scratch = scratch
        self._store = Store(scratch / "unpacked")
        self._made: dict[Path, Committed] = {}

    def repositories(self, case: Case, wares: Wares | None = None) -> dict[str, Shelf]:
        """All shelves of a case, by their names. What has submodules is behind those that these are.

        `wares` are what is at other hosts, else the case's own.
        """
        links: dict[str, dict[str, Content]] = {
            path.partition("/")[0]: {} for path in case.told.get("submodules", {})
        }
        wares = wares or Wares.of(case.folder)
        found: dict[str, Shelf] = {}
        for name in sorted(case.folders, key=lambda name: name in links):
            for path, of in case.told.get("submodules", {}).items():
                repository, _, place = path.partition("/")
                if repository == name:
                    links[name][place] = Gitlink(found[of].commit)
            found[name] = self._committed(case.folders[name], links.get(name, {}), case.told.get("lfs", ()))
        for source in case.sources:
            if not is_git(source):
                found[case.repository_of(source)] = self._archived(case, source, wares)
        return found

    def _committed(self, folder: Path, submodules: Mapping[str, Content], large: Iterable[str]) -> Committed:
        """What lies in `folder`, and submodules, as one commit; of `large` files there are the pointers."""
        if folder not in self._made:
            repository, files = self._create(), {**files_of(folder), **submodules}
            fill = self._hosts.lfs_client(self._scratch / "lfs").filled if large else None
            for path in large:
                files[path] = self._hosts.lfs.keeps((folder / path).read_bytes())
            self._made[folder] = Committed(
                folder,
                repository,
                TreeReader(repository.path, self._scratch / "doubt", fill=fill),
                files,
                repository.commit(files, date=_DATE),
            )
        return self._made[folder]

    def _archived(self, case: Case, source: Source, wares: Wares) -> Archived:
        """What the source's revision means at its host now."""
        locked = bool(case.told.get("locked"))
        if source.chart:
            url = self._hosts.url(source.repo_url, wares, locked=locked)
        else:
            url = self._hosts.artifact(source.repo_url, wares)
        asked = source.model_copy(update={"repo_url": url})
        origin = RemoteOrigin(self._hosts.settings, asked, self._hosts.credential(locked=locked))
        version = origin.resolve(source.target_revision, "", _PATIENCE)
        tree = origin.tree(version)
        for folder in (*case.folder.glob("charts/*"), *case.folder.glob("oci/*/*")):
            shelf = Archived(folder, self._store, tree, files_of(folder), version)
            if shelf.only(shelf.files).tree.tree_id("", "") == tree.tree_id("", ""):
                return shelf
        raise AssertionError(f"{case}: what its host gave is none of what it has")

    def rendered(self, case: Case, repositories: Mapping[str, Shelf], wares: Wares | None = None) -> Rendered:
        """The case, as the engine renders it; `wares` are what is at other hosts, else the case's own."""
        told = {"app": "shop", "namespace": "argocd", "destination": "prod"} | case.told
        app = App(told["app"], told["namespace"], "default", told["destination"])
        cluster = told.get("capabilities", {})
        capabilities = Capabilities(
            cluster.get("kubeVersion", "1.33.1"),
            tuple(cluster.get("apiVersions", ("v1", "apps/v1", "apps/v1/Deployment"))),
        )
        parameters = replace(
            Parameters(
                capabilities=lambda: capabilities,
                scratch=self._scratch,
                plugins=plugins if (plugins := case.folder / "plugins").is_dir() else None,
            ),
            **told.get("settings", {}),
        )
        fetch = Fetched(self._hosts, wares or Wares.of(case.folder), repositories)
        seen = [_files(source, repositories[case.repository_of(source)], fetch) for source in case.sources]
        refs = {source.ref: files for source, files in zip(case.sources, seen, strict=True) if source.ref}
        return render(
            [
                Job(app, source, files, fetch, parameters, refs)
                for source, files in zip(case.sources, seen, strict=True)
            ]
        )

    def close(self) -> None:
        for shelf in self._made.values():
            shelf.tree.close()


def _files(source: Source, shelf: Shelf, fetch: Fetched) -> Files:
    tree = fetch.whole(shelf.tree, shelf.commit, source.repo_url) if is_git(source) else shelf.tree
    return Files(tree, shelf.commit)


@dataclass(frozen=True)
class Coverage:
    """Which paths of a repository its read-sets speak of."""

    paths: Mapping[str, str | None]

    @classmethod
    def of(cls, read_sets: Iterator[ReadSet]) -> Coverage:
        return cls({path: id_ for read_set in read_sets for path, id_ in read_set.paths})

    def __contains__(self, path: str) -> bool:
        """Whether what is, or is not, at `path` is known: by itself, or by a directory that it is in."""
        return any(each in self.paths for each in (path, *_above(path)))

    def leads_to(self, path: str) -> bool:
        """Whether the directory `path` has something in it that is spoken of."""
        return not path or any(each.startswith(f"{path}/") for each in self.paths)


def _above(path: str) -> Iterator[str]:
    while path:
        path = posixpath.dirname(path)
        yield path


def _last_part(url: str) -> str:
    return posixpath.basename(urllib.parse.urlsplit(url).path.rstrip("/")).removesuffix(".git")
