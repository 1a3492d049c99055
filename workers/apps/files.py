"""Application and AppProject manifests from the YAML files of a directory."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from mooring.errors import Refused, RenderFailed
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.names import ARGO_GROUP, STATE
from workers.apps.patches import REFRESHES
from workers.apps.projects import Projects
from workers.apps.store import Broken
from workers.render.yaml_reader import read_documents

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
# What is written down elsewhere; a manifest exported from a cluster still has it.
_NOT_FROM_FILES: Final = frozenset({STATE, *REFRESHES})

_log = logging.getLogger(__name__)

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What the files say. `manifests` are Applications that can be read, without status."""

    manifests: dict[AppKey, Manifest]
    broken: tuple[Broken, ...]
    projects: Projects


class Files:
    """The directory, read again when a file in it has another size or time. Safe for threads."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self._directory = directory
        self._namespace = namespace
        self._lock = Lock()
        self._known: tuple[tuple[tuple[str, int, int], ...], Written] | None = None

    def read(self) -> Written:
        """All that is written. Raises Refused when the directory or a file cannot be read: files that
        cannot be seen are not files that are gone."""
        with self._lock:
            try:
                paths = sorted(path for path in self._directory.rglob("*") if self._is_manifest(path))
                stats = [path.stat() for path in paths]
                seen = tuple(
                    (str(path), stat.st_mtime_ns, stat.st_size)
                    for path, stat in zip(paths, stats, strict=True)
                )
                if not self._directory.is_dir():
                    raise Refused(f"{self._directory} is no directory: name the one with the Applications")
                if self._known is None or self._known[0] != seen:
                    self._known = seen, self._read(paths)
            except OSError as error:
                raise Refused(f"the Applications in {self._directory} cannot be read: {error}") from error
            return self._known[1]

    def _is_manifest(self, path: Path) -> bool:
        # A mounted ConfigMap keeps its files in hidden directories, and shows them as links.
        parts = path.relative_to(self._directory).parts
        hidden = any(part.startswith(".") for part in parts)
        return not hidden and path.suffix in _SUFFIXES and path.is_file()

    def _read(self, paths: list[Path]) -> Written:
        manifests: dict[AppKey, Manifest] = {}
        places: dict[AppKey, list[str]] = {}
        broken: list[Broken] = []
        projects: list[Manifest] = []
        for path in paths:
            name = str(path.relative_to(self._directory))
            try:
                documents, _ = read_documents(path.read_bytes(), name)
            except RenderFailed as error:
                broken.append(Broken(None, str(error)))
                continue
            for document in documents:
                where, body = f"{name}:{document.line}", document.body
                group = str(body.get("apiVersion", "")).partition("/")[0]
                match group, body.get("kind"):
                    case (str(found), "AppProject") if found == ARGO_GROUP:
                        projects.append(body)
                    case (str(found), "Application") if found == ARGO_GROUP:
                        try:
                            key, manifest = self._application(body)
                        except Refused as error:
                            broken.append(Broken(None, f"{where}: {error}"))
                            continue
                        places.setdefault(key, []).append(where)
                        manifests[key] = manifest
                    case _:
                        why = f"{where}: is neither an Application nor an AppProject"
                        broken.append(Broken(None, why, stray=True))
        for key, found_at in places.items():
            if len(found_at) > 1:  # which of them is meant must not depend on the names of files
                del manifests[key]
                broken.append(Broken(key, f"application {key} is in {' and '.join(found_at)}: remove one"))
        for one in broken:  # there is no object to show it on
            _log.warning("left out of %s: %s", self._directory, one.message)
        return Written(manifests, tuple(broken), Projects.read(projects))

    def _application(self, body: Manifest) -> tuple[AppKey, Manifest]:
        manifest = {name: value for name, value in body.items() if name not in ("status", "operation")}
        app = Application.parse(manifest, namespace=self._namespace)
        annotations = {
            name: value for name, value in app.metadata.annotations.items() if name not in _NOT_FROM_FILES
        }
        metadata = {
            "name": app.metadata.name,
            "namespace": app.metadata.namespace,
            "labels": app.metadata.labels,
            "annotations": annotations,
            "finalizers": list(app.metadata.finalizers),
        }
        return app.key, {**manifest, "metadata": metadata}
