"""A case of the corpus, its repositories, and its render."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster.gitserver import Content, Executable, Gitlink, Repository, Symlink
from mooring.errors import RenderFailed
from mooring.model.spec import Source
from workers.git.submodules import with_submodules
from workers.git.tree import TreeReader
from workers.render.files import Files, Tree
from workers.render.readset import ReadSet
from workers.render.render import render
from workers.render.source import App, Capabilities, Job, Parameters, Rendered

CORPUS: Final = Path(__file__).parent
_DATE: Final = "1700000000 +0000"
_KNOWN: Final = frozenset(
    (
        *("source", "sources", "app", "namespace", "destination", "capabilities", "settings", "submodules"),
        *("truth", "warnings", "fails", "untraced"),
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
        return {"repo": self.folder / "repo"}

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        told = self.told.get("sources") or [self.told["source"]]
        return tuple(
            Source.model_validate({"repoURL": "https://git.example/repo.git", **each}) for each in told
        )

    def repository_of(self, source: Source) -> str:
        return _last_part(source.repo_url) if len(self.folders) > 1 else next(iter(self.folders))


def files_of(folder: Path) -> dict[str, Content]:
    """What lies below a directory, as it is given to `Repository.commit`."""
    files: dict[str, Content] = {}
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for file in (Path(place, name) for name in (*names, *links)):
            path = file.relative_to(folder).as_posix()
            if file.is_symlink():
                files[path] = Symlink(os.readlink(file))
            elif file.stat().st_mode & stat.S_IXUSR:
                files[path] = Executable(file.read_bytes())
            else:
                files[path] = file.read_bytes()
    return dict(sorted(files.items()))


@dataclass(frozen=True)
class Shelf:
    """One repository of a case, in Git."""

    repository: Repository
    tree: TreeReader
    files: Mapping[str, Content]
    commit: str

    def with_files(self, files: Mapping[str, Content]) -> str:
        """The id of a commit that changes these files of the case's commit, and no others."""
        return self.repository.commit(files, branch="changed", parent=self.commit, date=_DATE)

    def only(self, files: Mapping[str, Content]) -> Shelf:
        """The repository as it would be if it had only these files."""
        return replace(self, commit=self.repository.commit(files, branch="only", parent="", date=_DATE))


@dataclass(frozen=True)
class Fetched:
    """What lies beside the repositories, as it would come from other hosts."""

    case: Case
    shelf: Callable[[Path], Shelf]
    repositories: Mapping[str, Shelf]

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        folder = self.case.folder / "charts" / posixpath.basename(chart)
        if not folder.is_dir():
            raise RenderFailed(f"no chart {chart} at {repo_url}")
        shelf = self.shelf(folder)
        return shelf.tree, str(yaml.safe_load((folder / "Chart.yaml").read_text())["version"]), shelf.commit

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        shelf = self.repositories.get(_last_part(url))
        if shelf is None:
            raise RenderFailed(f"no repository {url}")
        return shelf.tree, shelf.commit

    def file(self, url: str) -> tuple[bytes, str]:
        file = self.case.folder / "files" / posixpath.basename(urllib.parse.urlsplit(url).path)
        if not file.is_file():
            raise RenderFailed(f"no file {url}")
        data = file.read_bytes()
        return data, hashlib.sha256(data).hexdigest()


class Shelves:
    """Makes and keeps the Git repositories of a test."""

    def __init__(self, create: Callable[[], Repository], scratch: Path) -> None:
        self._create = create
        self._scratch = scratch
        self._made: dict[Path, Shelf] = {}

    def shelf(self, folder: Path, submodules: Mapping[str, Content] | None = None) -> Shelf:
        """What lies in `folder`, and submodules, as one commit."""
        if folder not in self._made:
            repository, files = self._create(), {**files_of(folder), **(submodules or {})}
            self._made[folder] = Shelf(
                repository,
                TreeReader(repository.path, self._scratch / "doubt"),
                files,
                repository.commit(files, date=_DATE),
            )
        return self._made[folder]

    def repositories(self, case: Case) -> dict[str, Shelf]:
        """With those that have submodules behind those that these are."""
        links = {path.partition("/")[0]: {} for path in case.told.get("submodules", {})}
        found: dict[str, Shelf] = {}
        for name in sorted(case.folders, key=lambda name: name in links):
            for path, of in case.told.get("submodules", {}).items():
                repository, _, place = path.partition("/")
                if repository == name:
                    links[name][place] = Gitlink(found[of].commit)
            found[name] = self.shelf(case.folders[name], links.get(name))
        return found

    def rendered(self, case: Case, repositories: Mapping[str, Shelf]) -> Rendered:
        """The case, as the engine renders it."""
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
        fetch = Fetched(case, self.shelf, repositories)
        seen = [
            Files(
                with_submodules(
                    (shelf := repositories[case.repository_of(source)]).tree,
                    shelf.commit,
                    source.repo_url,
                    lambda url, wanted: fetch.git(url, wanted)[0],
                ),
                shelf.commit,
            )
            for source in case.sources
        ]
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
