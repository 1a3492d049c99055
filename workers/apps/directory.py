"""Applications as files of a directory, for clusters without a home cluster.

What Argo CD's schema puts onto the Application besides its spec (status, operation, our annotations)
lives in the app's ApplySet parent, a ConfigMap of the target cluster. Together they look like an
Application object, so that nobody else need know.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.names import APPLYSET_ID, ID, STATE
from workers.applyset.packing import pack, unpack
from workers.applyset.parent import Parent, manifest, parent_name
from workers.applyset.store import CONFIG_MAP
from workers.apps.files import Files, Manifest
from workers.apps.patches import REFRESHES, Patch, had
from workers.apps.projects import Projects
from workers.apps.recorded import RecordedApplications
from workers.apps.store import Listing
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.installation import Installation
from workers.mergepatch import merge

_KEPT: Final = ("status", "operation")
_OURS: Final = (STATE, *REFRESHES)
_log = logging.getLogger(__name__)


class DirectoryApplications(RecordedApplications):
    """The Applications and AppProjects of a directory; `namespace` is Mooring's in the target cluster."""

    def __init__(self, directory: Path, api: Api, namespace: str, installation: Installation) -> None:
        super().__init__(api, namespace)
        self._files = Files(directory, namespace)
        self._installation = installation

    def list(self) -> Listing:
        written = self._files.read()
        live = self._api.list(CONFIG_MAP, self._namespace, APPLYSET_ID)
        records = {found.key.name: found.body for found in live}
        apps = tuple(composed(file, records.get(self._name(key))) for key, file in written.manifests.items())
        broken = tuple(
            replace(one, has=_had(records.get(self._name(one.key)))) if one.key else one
            for one in written.broken
        )
        return Listing(apps, broken)

    def get(self, key: AppKey, *, since: str = "") -> Application | None:
        written = self._files.read()
        file = written.manifests.get(key)
        if file is None:
            for broken in written.broken:
                if broken.key == key:
                    raise Refused(broken.message, condition="InvalidSpecError")
            return None
        live = self._api.get(CONFIG_MAP, self._namespace, self._name(key), since=since)
        return composed(file, live.body if live else None)

    def records(self) -> tuple[Kind, str]:
        return CONFIG_MAP, APPLYSET_ID

    def project_records(self) -> Kind | None:
        return None

    def told(self, record: Live) -> Application | None:
        installation, _, name = record.annotations.get(ID, "").partition("/")
        if installation != self._installation.id or "_" not in name:
            return None
        file = self._files.read().manifests.get(AppKey.parse(name))
        return composed(file, record.body) if file else None

    def _name(self, key: AppKey) -> str:
        return parent_name(self._installation.id, key)

    def _record(self, key: AppKey) -> Live | None:
        if key not in self._files.read().manifests:
            return None
        return self._api.get(CONFIG_MAP, self._namespace, self._name(key), metadata_only=True)

    def _write(self, app: Application, patch: Patch) -> Application:
        body: Patch = {"metadata": dict(patch.get("metadata", {})), "data": {}, "binaryData": {}}
        for name in _KEPT:
            if name in patch:
                for field, value in pack(name, merge(app.raw.get(name), patch[name])).items():
                    body[field] |= value
        if app.metadata.uid:
            guard = {"uid": app.metadata.uid, "resourceVersion": app.metadata.resource_version}
            body["metadata"] |= guard
            live = self._api.patch(CONFIG_MAP, self._namespace, self._name(app.key), body)
        else:
            parent = Parent(app.key, self._installation.id, self._namespace)
            live = self._api.create(CONFIG_MAP, manifest(parent, body))
        return composed(app.raw, live.body)

    def bind(self, app: Application, finalizers: Collection[str]) -> Application:
        return app

    def _reference(self, app: Application) -> Mapping[str, str]:
        # An Event lies beside what it is about, and the app's own namespace may exist in no cluster.
        return {
            "apiVersion": "v1",
            "kind": CONFIG_MAP.kind,
            "namespace": self._namespace,
            "name": self._name(app.key),
            "uid": app.metadata.uid,
        }

    def _read_projects(self, cached: bool) -> Projects:
        return self._files.read().projects


def _had(record: Mapping[str, Any] | None) -> frozenset[ObjectKey]:
    try:
        return had(unpack("status", record)) if record else frozenset()
    except ValueError:
        return frozenset()


def composed(file: Manifest, record: Mapping[str, Any] | None) -> Application:
    """The Application that the manifest `file` and the ConfigMap `record` make together. Pure.

    What is garbled in the ConfigMap is left out: the next reconciliation writes it anew.
    """
    seen: Mapping[str, Any] = record["metadata"] if record else {}
    kept = seen.get("annotations") or {}
    annotations = {
        **{name: value for name, value in file["metadata"]["annotations"].items() if name not in _OURS},
        **{name: kept[name] for name in _OURS if name in kept},
    }
    metadata = {
        **file["metadata"],
        "annotations": annotations,
        "uid": seen.get("uid", ""),
        "resourceVersion": seen.get("resourceVersion", ""),
    }
    raw = {name: value for name, value in file.items() if name not in _KEPT} | {"metadata": metadata}
    for name in _KEPT:
        try:
            value = unpack(name, record) if record else None
            if value is not None:
                Application.parse({**raw, name: value})
                raw[name] = value
        except (ValueError, Refused) as error:
            _log.warning("%s in ConfigMap %s is left out: %s", name, seen.get("name"), error)
    return Application.parse(raw)
