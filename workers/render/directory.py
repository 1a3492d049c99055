"""Renders a plain directory of YAML and JSON files, by Argo CD's rules of which files count.

https://argo-cd.readthedocs.io/en/stable/user-guide/directory/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from mooring.errors import GitRefused, RenderFailed
from mooring.model.spec import Directory, Source
from mooring.text import printable
from workers.git.tree import Entry, clean_path
from workers.render.globs import matches
from workers.render.manifest import Manifest, manifests_of
from workers.render.readset import ReadSet
from workers.render.source import Limits, Parameters, Rendered, Tree
from workers.render.yaml_reader import NotAMapping, read_documents

VERSION: Final = 1  # to be raised whenever the same files give other manifests

_MANIFEST_FILE: Final = re.compile(r"\.(yaml|yml|json|jsonnet)\Z")
_SKIP_MARKER: Final = b"+argocd:skip-file-rendering"
_SIGNS: Final = frozenset(("apiVersion", "kind"))  # one of them, and it must be a manifest
_AT_ONCE: Final = 20  # files in memory before the total is looked at again


def render_directory(source: Source, tree: Tree, commit: str, parameters: Parameters) -> Rendered:
    """The manifests of the directory `source.path` at `commit`.

    Raises RenderFailed when the path is no directory, a file is broken, too large or leads out of the
    repository, or Jsonnet would be needed.
    """
    path = clean_path(source.path)
    options = source.directory or Directory()
    root = tree.tree_id(commit, path)
    if root is None:
        raise RenderFailed(
            f"app path does not exist: {path!r} at commit {commit[:12]}; correct spec.source.path"
        )
    entries = sorted(tree.walk(commit, path, options.recurse), key=lambda entry: entry.path.split("/"))
    if not entries and _is_no_directory(tree, commit, path):
        raise RenderFailed(f"app path is not a directory: {path!r} at commit {commit[:12]}")

    paths: dict[str, str | None] = {path: root}
    warnings: list[str] = []
    files: list[tuple[str, str]] = []
    for entry in entries:
        if entry.is_tree or not _MANIFEST_FILE.search(entry.name):
            continue
        found: Entry | None = entry
        if entry.is_link:
            paths[""] = tree.tree_id(commit, "")  # what links lead through is not traced
            found = _followed(tree, commit, entry)
        relative = entry.path[len(path) + 1 :] if path else entry.path
        if found is None or not found.is_file:
            warnings.append(f"{printable(entry.path)}: left out: it leads to no file")
        elif _selected(options, relative):
            if entry.name.endswith(".jsonnet"):
                raise RenderFailed("Jsonnet is not supported yet; exclude the file", where=entry.path)
            files.append((entry.path, found.id))

    manifests: list[Manifest] = []
    for name, data in _contents(tree, files, parameters.limits):
        if _SKIP_MARKER not in data:
            read, told = _read(data, name, parameters)
            manifests += read
            warnings += told
    inputs = ["directory", VERSION, path, options.recurse, options.include, options.exclude]
    read_set = ReadSet.of([*inputs, parameters.duplicate_keys], paths)
    return Rendered(commit, tuple(manifests), read_set, tuple(warnings))


def _read(data: bytes, name: str, parameters: Parameters) -> tuple[list[Manifest], list[str]]:
    path = printable(name)  # as it stands in messages
    # Like Argo CD, a YAML file that is nothing like a manifest (Helm values, CI settings) is passed over,
    # but only once it was read and holds neither apiVersion nor kind: what cannot be read may have been a
    # manifest a commit ago, and to leave it out would be to prune it. A .json file is taken at its word.
    is_json = path.endswith(".json")
    try:
        documents, warnings = read_documents(data, path, parameters.duplicate_keys)
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


def _contents(tree: Tree, files: Iterable[tuple[str, str]], limits: Limits) -> Iterator[tuple[str, bytes]]:
    left, total = list(files), 0
    tree.prepare([id_ for _, id_ in left])  # of a large repository, few files may be here
    while left:
        batch, left = left[:_AT_ONCE], left[_AT_ONCE:]
        try:
            contents = tree.read_many([id_ for _, id_ in batch], limits.file_bytes)
        except GitRefused as error:
            where = next((name for name, id_ in batch if id_ in str(error)), "")
            raise RenderFailed(
                f"is larger than {limits.file_bytes} bytes: split or exclude it", where=where
            ) from error
        for name, id_ in batch:
            total += len(contents[id_])
            if total > limits.total_bytes:
                raise RenderFailed(
                    f"the files of this app are larger than {limits.total_bytes} bytes together", where=name
                )
            yield name, contents[id_]


def _selected(options: Directory, relative: str) -> bool:
    try:
        if options.exclude and matches(options.exclude, relative):
            return False
        return not options.include or matches(options.include, relative)
    except ValueError as error:
        raise RenderFailed(f"spec.source.directory: the pattern of include or exclude {error}") from error


def _followed(tree: Tree, commit: str, entry: Entry) -> Entry | None:
    try:
        return tree.follow(commit, entry)
    except GitRefused as error:
        raise RenderFailed(f"{error}: replace it by the file", where=entry.path) from error


def _is_no_directory(tree: Tree, commit: str, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return bool(path) and any(
        entry.name == name and not entry.is_tree for entry in tree.walk(commit, folder, False)
    )
