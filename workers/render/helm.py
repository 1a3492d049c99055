"""Renders Helm charts: `helm template`, confined, without network and cluster.

https://argo-cd.readthedocs.io/en/stable/user-guide/helm/
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.annotations import annotation, annotations_of
from mooring.model.helm_hooks import helm_hook
from mooring.model.spec import Helm
from mooring.text import printable
from workers.confine.run import Bounds, Command, ToolFailed, run
from workers.confine.scratch import scratch
from workers.git.tree import clean_path
from workers.render.build_env import BuildEnv, build_env, names_revision
from workers.render.helm_chart import metadata, scan
from workers.render.helm_dependencies import complete
from workers.render.helm_values import (
    Given,
    file_parameters,
    own_values,
    parameters,
    substituted,
    value_files,
    with_environment,
)
from workers.render.manifest import Manifest, manifests_of
from workers.render.source import Job, Product
from workers.render.tools import find
from workers.render.yaml_reader import Document, read_documents

VERSION: Final = 1  # to be raised whenever the same files and options give other manifests

_LONGEST_NAME: Final = 53  # https://helm.sh/docs/topics/charts/ and Helm's own check
_SOURCE: Final = re.compile(rb"^---\n# Source: (?P<path>.+)\n", re.MULTILINE)
_COPY: Final = "@source"  # what of the repository is read; no chart is called so
_BROKEN: Final = re.compile(
    r"(?:cannot load (?P<own>.+?)|failed to parse (?P<given>.+?)): .*?\byaml: line (?P<line>\d+)"
)
_ADVICE: Final = "Use --debug flag to render out invalid YAML"
_LOOKUP: Final = (
    "templates call `lookup`, which finds nothing: a render does not ask the cluster, so that Git alone says "
    "what is wanted"
)


@dataclass(frozen=True, slots=True)
class _Options:
    """What `source.helm` and the Application say together."""

    helm: Helm
    env: BuildEnv
    release: str
    namespace: str
    kube_version: str
    api_versions: tuple[str, ...]

    @classmethod
    def of(cls, job: Job) -> _Options:
        helm = job.source.helm or Helm()
        asked = helm.kube_version and helm.api_versions
        cluster = None if asked else job.parameters.capabilities()
        return cls(
            helm,
            build_env(job),
            helm.release_name or job.app.name,
            helm.namespace or job.app.to_namespace,
            helm.kube_version or (cluster.kube_version if cluster else ""),
            helm.api_versions or (cluster.api_versions if cluster else ()),
        )


class HelmRenderer:
    """The manifests of the chart at `source.path`, or of the fetched one `source.chart`.

    Hooks that Argo CD never runs (tests, rollbacks) are left out. Raises RenderFailed when the chart or what
    it needs is broken, not there, or leads out of the repository, and whatever fetching and confining raise.
    """

    def inputs(self, job: Job) -> Any:
        options = _Options.of(job)
        return [
            "helm",
            VERSION,
            find("helm").version,
            clean_path(job.source.path),
            job.source.chart,
            options.helm.to_dict(),
            list(substituted(options.helm, options.env)),
            options.release,
            options.namespace,
            options.kube_version,
            options.api_versions,
            job.parameters.duplicate_keys,
        ]

    def render(self, job: Job) -> Product:
        tool, options = find("helm"), _Options.of(job)
        _check(job, options)
        if names_revision(with_environment(options.helm)):
            job.files.name_commit()
        path = clean_path(job.source.path)
        with scratch(job.parameters.scratch) as work:
            chart = work / _COPY / path
            job.files.copy([path], work / _COPY)
            about = _about(chart, path)
            remotes = complete(job, chart, path, work / "dependencies")
            given = _given(job, options)
            arguments = _arguments(options, given, work)
            argv = (str(tool.path), "template", f"{_COPY}/{path}", *arguments)
            env = {
                f"HELM_{name}_HOME": str(work / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")
            }
            try:
                bounds = Bounds(seconds=job.parameters.seconds, unconfined=job.parameters.unconfined)
                output = run(Command(argv, work, env=env), bounds)
            except ToolFailed as error:
                raise _failed(error, job, about, given) from error
            found = scan(chart, (each.data for each in given.all()))
            shown = _Shown(str(about.get("name", "")), path or job.source.chart)
            manifests, warnings = _read(output.stdout, shown, chart, job)
        if found.looks_up:
            warnings.append(f"{shown.path or '.'}: {_LOOKUP}")
        return Product(
            tuple(manifests), tuple(warnings), {**given.remotes(), **remotes}, pure=not found.impure
        )


@dataclass(frozen=True, slots=True)
class _Files:
    """What goes to helm as files: `values` in their order, `parameters` by their names."""

    values: list[Given]
    parameters: dict[str, Given]
    texts: tuple[bytes, ...] = ()

    def all(self) -> Iterator[Given]:
        yield from self.values
        yield from self.parameters.values()
        yield from (Given("", text) for text in self.texts)

    def remotes(self) -> dict[str, str]:
        return {each.address: each.digest for each in self.all() if each.address}


@dataclass(frozen=True, slots=True)
class _Shown:
    """How the files of the chart `name`, as helm names them, are named in messages."""

    name: str
    path: str

    def __call__(self, source: str) -> str:
        first, _, rest = source.partition("/")
        return printable(posixpath.join(self.path, rest) if first == self.name and rest else source)


def _check(job: Job, options: _Options) -> None:
    helm = options.helm
    if helm.version not in ("", "v3"):
        raise RenderFailed(
            f"spec.source.helm.version: {helm.version!r} is not supported: charts are rendered as of Helm 3"
        )
    if len(options.release) > _LONGEST_NAME:
        raise RenderFailed(
            f"the name of the release, {options.release!r}, is longer than {_LONGEST_NAME} characters: set a "
            "shorter spec.source.helm.releaseName"
        )
    root = job.files.find(clean_path(job.source.path))
    if root is None or not root.is_tree:
        why = "does not exist" if root is None else "is not a directory"
        raise RenderFailed(
            f"app path {why}: {job.source.path!r} at commit {job.files.commit[:12]}; correct spec.source.path"
        )


def _about(chart: Path, path: str) -> Mapping[str, Any]:
    where = posixpath.join(path, "Chart.yaml")
    file = chart / "Chart.yaml"
    if not file.is_file():
        raise RenderFailed("there is no Chart.yaml: this is no Helm chart", where=where)
    return metadata(file.read_bytes(), where)


def _given(job: Job, options: _Options) -> _Files:
    helm, env = options.helm, options.env
    own = own_values(helm)
    return _Files(
        [*value_files(job, helm, env), *([own] if own else [])],
        file_parameters(job, helm, env),
        tuple(word.encode() for word in parameters(helm, env)),
    )


def _arguments(options: _Options, given: _Files, work: Path) -> Iterator[str]:
    """In Argo CD's order of precedence, which is that of `helm template` itself whatever comes first."""
    helm = options.helm
    # As a flag of its own, a name cannot be taken for one.
    yield from ("--name-template", options.release)
    if options.namespace:
        yield from ("--namespace", options.namespace)
    if options.kube_version:
        yield from ("--kube-version", options.kube_version)
    for version in options.api_versions:
        yield from ("--api-versions", version)
    folder = work / "given"
    folder.mkdir()
    # Under names of ours: those of a repository may have commas, or look like URLs.
    for number, each in enumerate(given.values):
        file = folder / f"values-{number}"
        file.write_bytes(each.data)
        yield from ("--values", f"given/{file.name}")
    yield from parameters(helm, options.env)
    for number, (name, each) in enumerate(given.parameters.items()):
        file = folder / f"parameter-{number}"
        file.write_bytes(each.data)
        yield from ("--set-file", f"{name}=given/{file.name}")
    if not helm.skip_crds:
        yield "--include-crds"
    if helm.skip_schema_validation:
        yield "--skip-schema-validation"
    if helm.skip_tests:
        yield "--skip-tests"


def _failed(error: ToolFailed, job: Job, about: Mapping[str, Any], given: _Files) -> RenderFailed:
    """Helm's own words, with the names that the user knows, and the place that they speak of."""
    shown = _Shown(str(about.get("name", "")), clean_path(job.source.path) or job.source.chart)
    lines = [line for line in error.stderr.splitlines() if not line.startswith(("level=", "time=", _ADVICE))]
    words = " ".join(" ".join(lines).split()).removeprefix("Error: ")
    for kind, each in (("values", given.values), ("parameter", list(given.parameters.values()))):
        for number in reversed(range(len(each))):
            words = words.replace(f"given/{kind}-{number}", each[number].shown)
    words = words.replace(f"{_COPY}/", "")
    if broken := _BROKEN.match(words):
        file = broken["given"] or posixpath.join(shown.path, broken["own"])
        return RenderFailed(f"helm: {words[:2000]}", where=f"{printable(file)}:{broken['line']}")
    place = re.search(rf"(?<![\w./-]){re.escape(shown.name)}/(?P<file>[^\s:()\"]+)(?::(?P<line>\d+))?", words)
    where = shown.path
    if place and shown.name:
        where = shown(f"{shown.name}/{place['file']}") + (f":{place['line']}" if place["line"] else "")
    return RenderFailed(f"helm: {words[:2000] or 'failed, and says nothing'}", where=where)


def _read(output: bytes, shown: _Shown, chart: Path, job: Job) -> tuple[list[Manifest], list[str]]:
    """The manifests that helm printed, each with the template that it is of."""
    manifests: list[Manifest] = []
    warnings: list[str] = []
    marks = list(_SOURCE.finditer(output))
    if output[: marks[0].start() if marks else len(output)].strip():
        raise RenderFailed("helm printed what is no manifest of a template", where=shown.path)
    ends = [mark.start() for mark in marks[1:]] + [len(output)]
    for mark, end in zip(marks, ends, strict=True):
        source = mark["path"].decode(errors="replace")
        path, piece = shown(source), output[mark.end() : end]
        documents, told = read_documents(piece, f"{path}, as rendered", job.parameters.duplicate_keys)
        warnings += told
        text = _template(chart, source)
        read, told = manifests_of((_placed(each, piece, text) for each in documents), path)
        warnings += told
        manifests += [each for each in read if _counts(each)]
    return manifests, warnings


def _template(chart: Path, source: str) -> bytes:
    """The file that a manifest is of; nothing where it is in an archive, or named by a stranger's comment."""
    file = (chart / source.partition("/")[2]).resolve()
    return file.read_bytes() if file.is_relative_to(chart.resolve()) and file.is_file() else b""


def _placed(document: Document, piece: bytes, template: bytes) -> Document:
    """The document with its line in the template: known where its first two lines stand there once, else the
    first."""
    first, lines = document.line - 1, template.splitlines()
    wanted = piece.splitlines()[first : first + 2]
    places = [number for number in range(len(lines) - 1) if lines[number : number + 2] == wanted]
    return replace(document, line=places[0] + 1 if len(places) == 1 else 1)


def _counts(manifest: Manifest) -> bool:
    annotations = annotations_of(manifest.body)
    hook = helm_hook(annotations)
    # Where Argo CD's own hooks are named, Helm's count for nothing.
    return hook is None or bool(hook.phases) or bool(annotation(annotations, "hook"))
