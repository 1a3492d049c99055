"""Parameters of a source that lie in Git beside its manifests: `.argocd-source.yaml`.

https://argo-cd.readthedocs.io/en/stable/user-guide/parameters/#store-overrides-in-git
"""

from __future__ import annotations

import posixpath
from typing import Any, Final

from mooring.errors import Refused, RenderFailed
from mooring.model.spec import Source
from mooring.text import printable
from workers.git.tree import clean_path
from workers.mergepatch import merge
from workers.render.files import Files
from workers.render.yaml_reader import read_documents

# Where the files come from is for the Application to say alone: a repository must not move it elsewhere.
_KEPT: Final = ("repoURL", "path", "targetRevision", "chart", "ref", "name")


def overridden(source: Source, files: Files, app: str) -> tuple[Source, tuple[str, ...]]:
    """The source as the files of its path have it, and warnings about what they cannot change.

    `.argocd-source.yaml` is for each Application there, `.argocd-source-<app>.yaml` for one of that name, and
    goes last. Each is a JSON merge patch of the source, where lists are replaced whole. Raises RenderFailed
    when one of them is broken.
    """
    warnings: list[str] = []
    path = clean_path(source.path)
    for name in (".argocd-source.yaml", f".argocd-source-{app}.yaml"):
        where = posixpath.join(path, name)
        found = files.find(where)
        if found is not None and found.is_file:
            source, told = _patched(source, files.read(where), printable(where))
            warnings += told
    return source, tuple(warnings)


def _patched(source: Source, data: bytes, where: str) -> tuple[Source, list[str]]:
    documents, warnings = read_documents(data, where)
    if not documents:
        return source, warnings
    if len(documents) > 1:
        raise RenderFailed("a second document: one alone counts", where=f"{where}:{documents[1].line}")
    before, patch = source.to_dict(), documents[0].body
    line = f"{where}:{documents[0].line}"
    warnings += [
        f"{line}: {name} is not taken from here: set it in the Application"
        for name in _KEPT
        if patch.get(name, before.get(name)) != before.get(name)
    ]
    merged: dict[str, Any] = merge(before, {name: patch[name] for name in patch if name not in _KEPT})
    try:
        patched = Source.read(merged, "this source with its overrides")
    except Refused as error:
        raise RenderFailed(str(error), where=line) from error
    unknown = sorted(set(patched.unknown()) - set(source.unknown()))
    return patched, warnings + [f"{line}: {name}: no such field is known" for name in unknown]
