"""Renders the sources of an app. Which tool it takes is told by the source, else by what lies at its path.

https://argo-cd.readthedocs.io/en/stable/user-guide/tool_detection/
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.spec import Directory, Helm, Kustomize, Source
from workers.git.tree import clean_path
from workers.render.directory import DirectoryRenderer
from workers.render.helm import HelmRenderer
from workers.render.kustomize import KustomizeRenderer
from workers.render.manifest import MAX_OBJECTS, Manifest
from workers.render.overrides import overridden
from workers.render.plugin import PluginRenderer, found_by_plugin
from workers.render.readset import ReadSet
from workers.render.source import Job, Product, Rendered, Renderer, Through

_RENDERERS: Final[dict[str, Renderer]] = {
    "Directory": DirectoryRenderer(),
    "Helm": HelmRenderer(),
    "Kustomize": KustomizeRenderer(),
    "Plugin": PluginRenderer(),
}
# In this order: what is both a chart and a kustomization is the latter, as Argo CD has it.
_MARKERS: Final = {
    "kustomization.yaml": "Kustomize",
    "kustomization.yml": "Kustomize",
    "Kustomization": "Kustomize",
    "Chart.yaml": "Helm",
}


def plainly(job: Job, _kind: str, renderer: Renderer) -> Product:
    """A render as such."""
    return renderer.render(job)


def render(jobs: Sequence[Job], through: Through = plainly) -> Rendered:
    """The manifests of all sources, with the read-sets that say when to render again.

    `through` makes the product of one source, given its kind: `Cache.product` knows what was made before.
    Raises RenderFailed for whatever is the user's to fix, GitRefused for a path that leaves the
    repository, and GitFailed when the mirror cannot be read.
    """
    sources: list[tuple[Manifest, ...]] = []
    kinds: list[str] = []
    warnings: list[str] = []
    made: list[tuple[Job, Any, Mapping[str, str]]] = []
    impure: list[bool] = []
    for number, job in enumerate(jobs):
        if not job.source.path and not job.source.chart and job.source.ref:
            kinds.append("")  # only a place where others find their files
            sources.append(())
            impure.append(False)
            made.append((job, job.inputs(None), {}))
            continue
        at = f"spec.sources[{number}]" if len(jobs) > 1 else ""
        with _named(at):
            source, told = overridden(job.source, job.files, job.app.name)
            job = replace(job, source=source)
            # The rules of plugins go before the names of files, as Argo CD has it.
            if not _explicit(source) or (source.plugin is not None and not source.plugin.name):
                job = found_by_plugin(job, through)
            renderer = _RENDERERS[kind := _kind(job)]
            product = through(job, kind, renderer)
            inputs = job.inputs(renderer.inputs(job))
        sources.append(product.manifests)
        if sum(map(len, sources)) > MAX_OBJECTS:
            raise RenderFailed(f"there are more than {MAX_OBJECTS} objects: split this app")
        warnings += [f"{at}: {text}" if at else text for text in (*told, *product.warnings)]
        kinds.append(kind)
        impure.append(not product.pure)
        made.append((job, inputs, product.remotes))
    # Only now: a later source may have read of the files of an earlier one.
    read_sets = [ReadSet.of(inputs, job.files.reads, remotes) for job, inputs, remotes in made]
    given = tuple(job.given(read_set) for (job, _, _), read_set in zip(made, read_sets, strict=True))
    return Rendered(tuple(sources), tuple(read_sets), given, tuple(kinds), tuple(warnings), tuple(impure))


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """What goes wrong names the source too, where there are several."""
    try:
        yield
    except RenderFailed as error:
        if not source:
            raise
        raise error.told(str(error), where=source) from error


def _kind(job: Job) -> str:
    path = clean_path(job.source.path)
    if kind := _explicit(job.source):
        return kind
    for name, kind in _MARKERS.items():
        if job.files.find(posixpath.join(path, name)) is not None:
            return kind
    return "Directory"


def _explicit(source: Source) -> str:
    if source.chart:
        return "Helm"
    named = {
        # Argo CD takes those without any option off the spec.
        "Helm": source.helm not in (None, Helm()),
        "Kustomize": source.kustomize not in (None, Kustomize()),
        "Directory": source.directory not in (None, Directory()),
        "Plugin": source.plugin is not None,
    }
    types = [kind for kind, given in named.items() if given]
    if len(types) > 1:
        raise RenderFailed(f"spec.source has the options of several types: {', '.join(types)}")
    return types[0] if types else ""
