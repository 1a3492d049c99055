"""What a kustomization names: every file, directory and address that Kustomize would read for it.

Pure. Kustomize takes the names of its fields in any case, and so do we.
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import orjson

from mooring.errors import RenderFailed
from workers.render.yaml_reader import read_documents

DEPRECATED: Final = (
    "bases",
    "commonLabels",
    "imageTags",
    "patchesJson6902",
    "patchesStrategicMerge",
    "vars",
)
NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
DEFAULT_CHART_HOME: Final = "charts"

Holder = dict[str, Any] | list[Any]


class Wants(Enum):
    """What a name may lead to."""

    FILE = auto()
    FILE_SOURCE = auto()  # a file, perhaps with `key=` before it
    RESOURCE = auto()  # a file, or else a directory or repository with a kustomization
    ROOT = auto()  # a directory or repository with a kustomization
    PLUGINS = auto()  # as a resource, of which each object is a generator or transformer


@dataclass(frozen=True, slots=True)
class Reference:
    """A name, and where it stands: `holder[key]` is its text, and may be replaced."""

    wants: Wants
    holder: Any
    key: Any
    field: str  # as in messages: "resources"

    @property
    def text(self) -> str:
        return str(self.holder[self.key])

    def replace(self, text: str) -> None:
        self.holder[self.key] = text


@dataclass(frozen=True, slots=True)
class Inline:
    """Documents that stand as text where a name could: `store` puts them back once they were changed."""

    documents: list[dict[str, Any]]
    holder: Any
    key: Any

    def store(self) -> None:
        self.holder[self.key] = written(self.documents).decode()


@dataclass(frozen=True, slots=True)
class Chart:
    """A Helm chart to inflate. `home` is the directory of charts, from the kustomization."""

    name: str
    version: str
    repo: str
    home: str

    @property
    def folder(self) -> str:
        """Where Kustomize looks for it before it would fetch it."""
        below = f"{self.name}-{self.version}/" if self.version and self.repo else ""
        return f"{self.home}/{below}{self.name}"


def read(data: bytes, path: str) -> dict[str, Any]:
    """The kustomization in a file: its first document. Raises RenderFailed, naming file and line."""
    documents, _ = read_documents(data, path)
    if not documents:
        raise RenderFailed("is empty: name at least one of resources", where=path)
    return documents[0].body


def read_all(data: bytes, path: str) -> list[dict[str, Any]]:
    """The documents of a file. Raises RenderFailed, naming file and line."""
    documents, _ = read_documents(data, path)
    return [document.body for document in documents]


def written(documents: list[dict[str, Any]]) -> bytes:
    """Documents as a file that Kustomize reads back: JSON, which is YAML."""
    return b"---\n".join(orjson.dumps(document) + b"\n" for document in documents)


def fields(holder: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The entries of a mapping that Kustomize takes for `name`; nothing where there is no mapping."""
    if isinstance(holder, dict):
        wanted = name.lower()
        yield from ((key, value) for key, value in list(holder.items()) if key.lower() == wanted)


def value(holder: Any, name: str) -> Any:
    """The last one of `fields`, None when there is none."""
    found = None
    for _, found in fields(holder, name):  # noqa: B007
        pass
    return found


def text(holder: Any, name: str) -> str:
    """The same of a string, "" for anything else."""
    found = value(holder, name)
    return found if isinstance(found, str) else ""


def items(holder: Any, name: str) -> list[Any]:
    """What is in the lists of `fields`."""
    found: list[Any] = []
    for _, each in fields(holder, name):
        found += each if isinstance(each, list) else []
    return found


def inline(told: str) -> list[dict[str, Any]]:
    """The documents that `told` is, where either documents or a path may stand; none when it is a path."""
    try:
        documents, _ = read_documents(told.encode(), "")
    except RenderFailed:
        return []
    return [document.body for document in documents]


def references(kustomization: dict[str, Any]) -> Iterator[Reference]:
    """Everything that a kustomization names, but for its plugins and charts."""
    for name, wants in (
        ("resources", Wants.RESOURCE),
        ("bases", Wants.RESOURCE),
        ("components", Wants.ROOT),
        ("crds", Wants.FILE),
        ("configurations", Wants.FILE),
    ):
        yield from _each(kustomization, name, wants, name)
    for name in ("patches", "patchesJson6902", "replacements"):
        for item in items(kustomization, name):
            yield from _one(item, "path", Wants.FILE, f"{name}.path")
    yield from _patch_files(kustomization, "patchesStrategicMerge")
    for _, schema in fields(kustomization, "openapi"):
        if isinstance(schema, dict) and isinstance(schema.get("path"), str):
            yield Reference(Wants.FILE, schema, "path", "openapi.path")
    for name in ("configMapGenerator", "secretGenerator"):
        for item in items(kustomization, name):
            yield from _sources(item, name)


def plugins(kustomization: dict[str, Any]) -> Iterator[Reference | Inline]:
    """Its generators, transformers and validators: objects that stand inline, or names of files with such."""
    for name in ("generators", "transformers", "validators"):
        for reference in _each(kustomization, name, Wants.PLUGINS, name):
            documents = inline(reference.text)
            yield Inline(documents, reference.holder, reference.key) if documents else reference


def plugin_references(document: dict[str, Any]) -> Iterator[Reference]:
    """What a built-in generator or transformer names; nothing for other objects, which Kustomize refuses."""
    for plugin in _flattened(document):
        kind = plugin.get("kind")
        if kind in ("ConfigMapGenerator", "SecretGenerator"):
            yield from _sources(plugin, str(kind))
        elif kind in ("PatchTransformer", "PatchJson6902Transformer"):
            yield from _one(plugin, "path", Wants.FILE, f"{kind}.path")
        elif kind == "PatchStrategicMergeTransformer":
            yield from _patch_files(plugin, "paths")
        elif kind == "ReplacementTransformer":
            for item in items(plugin, "replacements"):
                yield from _one(item, "path", Wants.FILE, f"{kind}.replacements.path")
        elif kind == "ValueAddTransformer":
            yield from _one(plugin, "targetFilePath", Wants.FILE, f"{kind}.targetFilePath")


def charts(kustomization: dict[str, Any]) -> Iterator[tuple[Chart, tuple[Reference, ...]]]:
    """The charts of a kustomization, with the files of values that each names."""
    globals_ = value(kustomization, "helmGlobals")
    old = items(kustomization, "helmChartInflationGenerator")
    home = text(globals_, "chartHome")
    if globals_ is None:
        home = next((found for item in reversed(old) if (found := text(item, "chartHome"))), "")
    home = home or DEFAULT_CHART_HOME
    for item in items(kustomization, "helmCharts"):
        yield _chart(item, home, "helmCharts")
    for item in old:
        named = Chart(text(item, "chartName"), text(item, "chartVersion"), text(item, "chartRepoUrl"), home)
        field = "helmChartInflationGenerator"
        yield named, tuple(_one(item, "values", Wants.FILE, f"{field}.values"))


def plugin_charts(document: dict[str, Any]) -> Iterator[tuple[Chart, tuple[Reference, ...]]]:
    """The same of a generator."""
    for plugin in _flattened(document):
        if plugin.get("kind") == "HelmChartInflationGenerator":
            yield _chart(
                plugin, text(plugin, "chartHome") or DEFAULT_CHART_HOME, "HelmChartInflationGenerator"
            )


def put(kustomization: dict[str, Any], name: str, made: Any) -> None:
    """Replaces the field `name`, however it is spelt; None removes it."""
    for key, _ in fields(kustomization, name):
        del kustomization[key]
    if made is not None:
        kustomization[name] = made


def _chart(item: Any, home: str, field: str) -> tuple[Chart, tuple[Reference, ...]]:
    named = Chart(text(item, "name"), text(item, "version"), text(item, "repo"), home)
    return named, (
        *_one(item, "valuesFile", Wants.FILE, f"{field}.valuesFile"),
        *_each(item, "additionalValuesFiles", Wants.FILE, f"{field}.additionalValuesFiles"),
    )


def _sources(item: Any, field: str) -> Iterator[Reference]:
    yield from _each(item, "files", Wants.FILE_SOURCE, f"{field}.files")
    yield from _each(item, "envs", Wants.FILE, f"{field}.envs")
    yield from _one(item, "env", Wants.FILE, f"{field}.env")


def _patch_files(holder: Any, name: str) -> Iterator[Reference]:
    yield from (each for each in _each(holder, name, Wants.FILE, name) if not inline(each.text))


def _each(holder: Any, name: str, wants: Wants, field: str) -> Iterator[Reference]:
    for _, found in fields(holder, name):
        if isinstance(found, list):
            for index, item in enumerate(found):
                if isinstance(item, str) and item:
                    yield Reference(wants, found, index, field)


def _one(holder: Any, name: str, wants: Wants, field: str) -> Iterator[Reference]:
    for key, found in fields(holder, name):
        if isinstance(found, str) and found:
            yield Reference(wants, holder, key, field)


def _flattened(document: Any) -> Iterator[dict[str, Any]]:
    """The built-in plugins of a document, those of a List taken out of it."""
    todo = [document]
    while todo:
        each = todo.pop()
        if not isinstance(each, dict):
            continue
        items = each.get("items")
        if isinstance(items, list) and str(each.get("kind", "")).endswith("List"):
            todo += items
        elif str(each.get("apiVersion", "")).removeprefix("/") == "builtin":
            yield each
