"""Renders a plain directory of YAML, JSON and Jsonnet files, by Argo CD's rules of which files count.

https://argo-cd.readthedocs.io/en/stable/user-guide/directory/
"""

from __future__ import annotations

import re
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.spec import Directory
from mooring.text import printable
from workers.git.tree import clean_path
from workers.render import jsonnet
from workers.render.globs import matches
from workers.render.manifest import Manifest, manifests_of
from workers.render.source import Job, Parameters, Product
from workers.render.yaml_reader import Budget, NotAMapping, read_documents

VERSION: Final = 3  # to be raised whenever the same files give other manifests

_MANIFEST_FILE: Final = re.compile(r"\.(yaml|yml|json|jsonnet)\Z")
_SKIP_MARKER: Final = b"+argocd:skip-file-rendering"
_SIGNS: Final = frozenset(("apiVersion", "kind"))  # one of them, and it must be a manifest


class DirectoryRenderer:
    """The manifests of the directory `source.path`.

    Raises RenderFailed when the path is no directory, or a file is broken, too large or leads out of the
    repository.
    """

    def inputs(self, job: Job) -> Any:
        options = job.source.directory or Directory()
        return [
            "directory",
            VERSION,
            clean_path(job.source.path),
            options.recurse,
            options.include,
            options.exclude,
            job.parameters.duplicate_keys,
            jsonnet.inputs(job),
        ]

    def render(self, job: Job) -> Product:
        files, path = job.files, clean_path(job.source.path)
        options = job.source.directory or Directory()
        root = files.find(path)
        if root is None:
            raise RenderFailed(
                f"app path does not exist: {path!r} at commit {files.commit[:12]}; correct spec.source.path"
            )
        if not root.is_tree:
            raise RenderFailed(f"app path is not a directory: {path!r} at commit {files.commit[:12]}")
        warnings: list[str] = []
        selected: list[tuple[str, str]] = []
        for entry in files.walk(path, recurse=options.recurse):
            if entry.is_tree or not _MANIFEST_FILE.search(entry.name):
                continue
            found = files.find(entry.path) if entry.is_link else entry
            relative = entry.path[len(root.path) :].lstrip("/")
            if found is None or not found.is_file:
                warnings.append(f"{printable(entry.path)}: left out: it leads to no file")
            elif _selected(options, relative):
                selected.append((entry.path, found.id))

        by_file: dict[str, list[Manifest]] = {}
        programs: list[str] = []
        budget = Budget()
        for name, data in files.contents(selected):
            if _SKIP_MARKER in data:
                continue
            by_file[name] = []
            if name.endswith(".jsonnet"):
                programs.append(name)
            else:
                by_file[name], told = _read(data, name, job.parameters, budget)
                warnings += told
        for name, documents in jsonnet.evaluated(job, programs):
            by_file[name], told = manifests_of(documents, printable(name))
            warnings += told
        manifests = tuple(each for manifests in by_file.values() for each in manifests)
        if not manifests:  # which may well be meant, and is as likely a slip
            check = "correct source.path or, in source.directory, recurse, include and exclude"
            warnings.append(f"path {printable(path or '.')!r} has no manifests: if it should, {check}")
        return Product(manifests, tuple(warnings))


def _read(data: bytes, name: str, parameters: Parameters, budget: Budget) -> tuple[list[Manifest], list[str]]:
    path = printable(name)  # as it stands in messages
    # Like Argo CD, a YAML file that is nothing like a manifest (Helm values, CI settings) is passed over,
    # but only once it was read and holds neither apiVersion nor kind: what cannot be read may have been a
    # manifest a commit ago, and to leave it out would be to prune it. A .json file is taken at its word.
    is_json = path.endswith(".json")
    try:
        documents, warnings = read_documents(data, path, parameters.duplicate_keys, budget)
    except NotAMapping:
        if is_json or b"apiVersion" in data:
            raise
        return [], []
    if not is_json and not any(_SIGNS & document.body.keys() for document in documents):
        return [], []
    if is_json and len(documents) != 1:
        raise RenderFailed(f"a JSON file must hold one object, this one holds {len(documents)}", where=path)
    manifests, more = manifests_of(documents, path)
    return manifests, warnings + more


def _selected(options: Directory, relative: str) -> bool:
    try:
        if options.exclude and matches(options.exclude, relative):
            return False
        return not options.include or matches(options.include, relative)
    except ValueError as error:
        raise RenderFailed(f"spec.source.directory: the pattern of include or exclude {error}") from error
