"""Renders a kustomization, by `kustomize build` on copies of the files that it names.

Nothing of a repository is ever executed: plugins, functions in containers and commands for Helm stay off,
whatever a repository asks for.
https://argo-cd.readthedocs.io/en/stable/user-guide/kustomize/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.spec import Kustomize
from mooring.text import printable
from workers.confine.run import Bounds, Command, ToolFailed, run
from workers.confine.scratch import scratch
from workers.git.tree import clean_path
from workers.render.build_env import build_env, names_revision, substitute
from workers.render.kustomize_edit import Edits
from workers.render.kustomize_layout import REPOSITORY, Layout
from workers.render.manifest import Manifest, manifests_of
from workers.render.source import Job, Product
from workers.render.tools import Tool, find
from workers.render.yaml_reader import Document, read_documents

VERSION: Final = 1  # to be raised whenever the same files give other manifests

# What Kustomize prints of its input into errors: configurations, patches, literals, charts. What it tells of
# files is without their secrets already.
_QUOTED: Final = re.compile(
    r"with config: `.*`|JSON patch from \[.*\]|(?<=literal sources )\[.*(?=, expected key=value)|"
    r"Helm template:.*|`[^`]*`",
    re.DOTALL,
)
# Kustomize has charts inflated as they are: it calls neither `helm dependency build` nor `update`.
_UNVENDORED: Final = re.compile(
    r"missing in charts/ directory: (?P<names>.+?) ?: unable to run: '\S+ template \S+ (?P<chart>\S+)"
)
_GONE: Final = re.compile(
    r"evalsymlink failure on '(?P<path>[^']+)' : lstat [^:]+: no such file or directory\W*$"
)
_DEPRECATED: Final = re.compile(r"'(\w+)' is deprecated")
_STAMP: Final = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")


class KustomizeRenderer:
    """The manifests of the kustomization in the directory `source.path`.

    Raises RenderFailed when there is none, Kustomize refuses it, it names what is not permitted, or an option
    makes no sense.
    """

    def inputs(self, job: Job) -> Any:
        options, edits = _options(job), _edits(job)
        told: list[Any] = [
            "kustomize",
            VERSION,
            find("kustomize").version,
            clean_path(job.source.path),
            options.to_dict(),
            [list(edits.images), dict(edits.labels), dict(edits.annotations)],
        ]
        if job.parameters.enable_helm:
            told += [find("helm").version, *_capabilities(job)]
        return told

    def render(self, job: Job) -> Product:
        kustomize, options = find("kustomize"), _options(job)
        if options.version and options.version.removeprefix("v") != kustomize.version.removeprefix("v"):
            raise RenderFailed(
                f"spec.source.kustomize.version: {printable(options.version)} is not installed, only "
                f"{kustomize.version} is: leave it out"
            )
        if names_revision(_substituted(options)):
            job.files.name_commit()
        layout = Layout(job, _edits(job), inflates=job.parameters.enable_helm)
        command, readable = _command(job, kustomize, layout)
        with scratch(job.parameters.scratch) as directory:
            layout.write(directory)
            try:
                output = run(
                    Command(command, directory, readable=readable),
                    Bounds(seconds=job.parameters.seconds, unconfined=job.parameters.unconfined),
                )
            except ToolFailed as error:
                told = _told(error.stderr, layout) or f"it failed with exit code {error.code}"
                raise RenderFailed(f"kustomize: {told}", where=layout.where) from error
        warnings = dict.fromkeys(_warnings(output.stderr, layout))
        manifests, more = _manifests(output.stdout, layout.where)
        return Product(manifests, (*warnings, *more), remotes=layout.remotes, pure=not layout.charts)


def _options(job: Job) -> Kustomize:
    return job.source.kustomize or Kustomize()


def _edits(job: Job) -> Edits:
    env = build_env(job)
    return Edits.of(_options(job), lambda text: substitute(text, env))


def _substituted(options: Kustomize) -> list[str]:
    annotations = options.common_annotations.values() if options.common_annotations_envsubst else ()
    return [*options.images, *options.common_labels.values(), *annotations]


def _command(job: Job, kustomize: Tool, layout: Layout) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The command line, and what besides Kustomize may be executed."""
    command = [str(kustomize.path), "build", f"{REPOSITORY}/{layout.root}".rstrip("/")]
    if not layout.charts:
        return tuple(command), ()
    helm = find("helm")
    version, apis = _capabilities(job)
    command += ["--enable-helm", "--helm-command", str(helm.path), "--helm-kube-version", version]
    for api in apis:
        command += ["--helm-api-versions", api]
    return tuple(command), (helm.path,)


def _capabilities(job: Job) -> tuple[str, list[str]]:
    """What charts are told of the cluster."""
    options = _options(job)
    version = options.kube_version or job.parameters.capabilities().kube_version
    return version, list(options.api_versions or job.parameters.capabilities().api_versions)


def _manifests(output: bytes, where: str) -> tuple[tuple[Manifest, ...], list[str]]:
    """The objects, which Kustomize does not say where they come from: they stand in the kustomization."""
    documents, _ = read_documents(output, "what kustomize printed")
    manifests, warnings = manifests_of((Document(each.body, 1) for each in documents), where)
    return tuple(replace(each, line=1) for each in manifests), warnings


def _warnings(stderr: str, layout: Layout) -> Iterable[str]:
    for line in stderr.splitlines():
        line = _STAMP.sub("", line.removeprefix("#").strip()).removeprefix("Warning: ")
        deprecated = _DEPRECATED.match(line)
        if deprecated:  # Kustomize does not say where, and an option of the Application is not deprecated
            yield from (f"{where}: {line}" for where in layout.deprecated.get(deprecated[1], ()))
        elif told := _told(line, layout):
            yield f"{layout.where}: {told}"


def _told(stderr: str, layout: Layout) -> str:
    """Kustomize's own words on one line, without what it quotes, with paths as the repositories have them."""
    text = " ".join(_QUOTED.sub("`…`", stderr).split()).removeprefix("Error: ")
    if missing := _UNVENDORED.search(text):
        text = (
            f"helmCharts: {missing['chart']} declares dependencies that are not in its charts/: "
            f"{missing['names']}; Kustomize fetches none: run `helm dependency build` and commit what it "
            "writes"
        )
    for folder, title in sorted(layout.titles, key=lambda pair: len(pair[0]), reverse=True):
        inner, name = (f"{title}//", title) if title else ("", ".")
        text = re.sub(rf"(?<![\w./-])(?:\.\./)*{re.escape(folder)}/", partial(_instead, inner), text)
        text = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w./-])", partial(_instead, name), text)
    if gone := _GONE.search(text):  # said three times over
        text = f"{gone['path']} is not there: add it, or correct the kustomization that names it"
    return printable(text)


def _instead(text: str, _: re.Match[str]) -> str:
    return text
