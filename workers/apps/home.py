"""Applications as objects of the home cluster, where Argo CD's users and tools expect them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mooring.errors import ClusterUnavailable, MooringError, Refused
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.names import ARGO_GROUP, ARGO_VERSION
from workers.apps.events import now_text
from workers.apps.patches import Patch, broken_patch, had
from workers.apps.projects import Projects
from workers.apps.recorded import RecordedApplications
from workers.apps.store import Broken, Listing
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live

APPLICATION: Final = Kind(ARGO_GROUP, ARGO_VERSION, "Application", "applications", namespaced=True)
PROJECT: Final = Kind(ARGO_GROUP, ARGO_VERSION, "AppProject", "appprojects", namespaced=True)
_log = logging.getLogger(__name__)
list_ = list  # the method of that name hides the type inside the class


class HomeApplications(RecordedApplications):
    """The Applications and AppProjects of one namespace of the home cluster."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace)
        self._parsed: Mapping[tuple[str, str], Application] = {}
        self._known: Listing | None = None
        self._learned: dict[str, Application] = {}  # by uid, of single ones, since all were listed

    def list(self) -> Listing:
        return self._listing(cached=False)

    def known(self) -> Listing:
        known, learned = self._known, self._learned
        if known is None:
            return self.recent()
        if learned:  # else one that was just synced would be taken for touched by the next push, too
            self._learned = {}
            apps = tuple(learned.get(app.metadata.uid, app) for app in known.apps)
            self._known = known = Listing(apps, known.broken)
        return known

    def _lately(self, cached: bool) -> Listing:
        return self._listing(cached=cached)

    def _listing(self, *, cached: bool) -> Listing:
        # Of those that a push or a beat lists, few have changed since: parsing them takes as long as
        # fetching them.
        known, parsed = self._parsed, dict[tuple[str, str], Application]()
        before = {app.metadata.uid: app for app in known.values()}
        broken: list_[Broken] = []
        self._learned = {}
        for live in self._objects(APPLICATION, cached):
            version = live.uid, live.resource_version
            try:
                parsed[version] = known.get(version) or _parse(live, before.get(live.uid))
            except Refused as error:
                key, has = AppKey(live.key.namespace, live.key.name), had((live.body or {}).get("status"))
                broken.append(Broken(key, str(error), has))
                self._show_broken(live, str(error))
        self._parsed = parsed
        self._known = Listing(tuple(parsed.values()), tuple(broken))
        return self._known

    def get(self, key: AppKey, *, since: str = "") -> Application | None:
        if key.namespace != self._namespace:
            return None
        live = self._api.get(APPLICATION, key.namespace, key.name, since=since)
        return None if live is None else self._learnt(_parse(live))

    def records(self) -> tuple[Kind, str]:
        return APPLICATION, ""

    def project_records(self) -> Kind | None:
        return PROJECT

    def told(self, record: Live) -> Application | None:
        return _parse(record)

    def _record(self, key: AppKey) -> Live | None:
        return self._api.get(APPLICATION, key.namespace, key.name, metadata_only=True)

    def _write(self, app: Application, patch: Patch) -> Application:
        after = self._patch(app.metadata.namespace, app.metadata.name, patch, app.metadata)
        return self._learnt(_parse(after, app))

    def _learnt(self, app: Application) -> Application:
        self._learned[app.metadata.uid] = app
        return app

    def _patch(self, namespace: str, name: str, patch: Patch, seen: Any) -> Live:
        guard = {"uid": seen.uid, "resourceVersion": seen.resource_version}
        return self._api.patch(
            APPLICATION,
            namespace,
            name,
            {**patch, "metadata": {**patch.get("metadata", {}), **guard}},
            validation="Ignore",  # a CRD older than our model prunes what it does not know
        )

    def _reference(self, app: Application) -> Mapping[str, str]:
        return {
            "apiVersion": APPLICATION.api_version,
            "kind": APPLICATION.kind,
            "namespace": app.metadata.namespace,
            "name": app.metadata.name,
            "uid": app.metadata.uid,
            "resourceVersion": app.metadata.resource_version,
        }

    def _read_projects(self, cached: bool) -> Projects:
        return Projects.read(live.body or {} for live in self._objects(PROJECT, cached))

    def _objects(self, kind: Kind, cached: bool) -> Iterator[Live]:
        try:
            return self._api.each(kind, self._namespace, cached=cached)
        except ClusterUnavailable as error:
            if self._api.discovery.find(kind.api_version, kind.kind) is None:
                raise ClusterUnavailable(
                    f"the cluster has no kind {kind.kind}: run `mooring crds install`", after=5
                ) from error
            raise

    def _show_broken(self, live: Live, message: str) -> None:
        """Puts the condition where people look, once."""
        try:
            if patch := broken_patch(live.body or {}, message, now_text()):
                self._patch(live.key.namespace, live.key.name, patch, live)
        except MooringError as error:
            _log.warning("cannot show on application %s that it is broken: %s", live.key.name, error)


def _parse(live: Live, before: Application | None = None) -> Application:
    body = dict(live.body or {})
    # Nobody reads them, and they are half of the object.
    body["metadata"] = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return Application.parse(body, before=before)
