"""Chooses the renderer of a source, as Argo CD does: what the source says, else what lies at its path."""

from __future__ import annotations

from typing import Final

from mooring.errors import RenderFailed
from mooring.model.spec import Directory, Source
from workers.git.tree import clean_path
from workers.render.directory import render_directory
from workers.render.source import Parameters, Rendered, Renderer, Tree

# Each source type with its renderer; None for those that are not supported yet.
_RENDERERS: Final[dict[str, Renderer | None]] = {
    "Directory": render_directory,
    "Helm": None,
    "Kustomize": None,
    "Plugin": None,
}
_MARKERS: Final = {
    "Chart.yaml": "Helm",
    "kustomization.yaml": "Kustomize",
    "kustomization.yml": "Kustomize",
    "Kustomization": "Kustomize",
}


def render(source: Source, tree: Tree, commit: str, parameters: Parameters) -> Rendered:
    """The manifests of `source` at `commit`, with the read-set that says when to render again.

    Raises RenderFailed for whatever is the user's to fix, GitRefused for a path that leaves the
    repository, and GitFailed when the mirror cannot be read.
    """
    path = clean_path(source.path)
    kind, why = _explicit(source), "spec.source"
    for entry in tree.walk(commit, path, False):
        if entry.name in (".argocd-source.yaml", f".argocd-source-{parameters.app}.yaml"):
            raise RenderFailed("source parameters in Git are not supported yet", where=entry.path)
        if not kind and entry.name in _MARKERS:
            kind, why = _MARKERS[entry.name], entry.path
    renderer = _RENDERERS[kind or "Directory"]
    if renderer is None:
        raise RenderFailed(f"{kind} is not supported yet", where=why)
    return renderer(source, tree, commit, parameters)


def _explicit(source: Source) -> str:
    if source.chart:
        return "Helm"
    named = {
        "Helm": source.helm is not None,
        "Kustomize": source.kustomize is not None,
        # Argo CD takes one without any option off the spec.
        "Directory": source.directory is not None and source.directory != Directory(),
        "Plugin": source.plugin is not None,
    }
    types = [kind for kind, given in named.items() if given]
    if len(types) > 1:
        raise RenderFailed(f"spec.source has the options of several types: {', '.join(types)}")
    return types[0] if types else ""
