"""Applications of a home cluster and of a directory, told the same stories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.keys import AppKey
from mooring.model.application import Application
from workers.applyset.parent import parent_name
from workers.applyset.store import CONFIG_MAP
from workers.apps.directory import DirectoryApplications
from workers.apps.home import APPLICATION, PROJECT, HomeApplications
from workers.apps.store import Applications
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.installation import Installation

OURS = Installation("abcd2345", b"k" * 32)


def manifest(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    """An Application; `more` are further top-level fields."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example.com/shop.git", "path": "shop"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        },
        **more,
    }


@dataclass(frozen=True)
class World:
    """One place where Applications live. `open()` gives what another worker would see: nothing is cached."""

    api: Api
    namespace: str
    open: Callable[[], Applications]
    put: Callable[[dict[str, Any]], None]
    remove: Callable[[str], None]
    record: tuple[Kind, Callable[[str], str]]

    @property
    def apps(self) -> Applications:
        return self.open()

    def make(self, name: str = "shop", **more: Any) -> Application:
        """An Application that exists, as it is read."""
        self.put(manifest(name, self.namespace, **more))
        return self.read(name)

    def read(self, name: str = "shop") -> Application:
        app = self.apps.get(AppKey(self.namespace, name))
        assert app is not None
        return app

    def version(self, name: str = "shop") -> str:
        """The resourceVersion of the object that holds the app's status."""
        kind, named = self.record
        live = self.api.get(kind, self.namespace, named(name))
        return live.resource_version if live else ""


@pytest.fixture
def home(api: Api, namespace: str, argo_kinds: None) -> World:
    def put(body: dict[str, Any]) -> None:
        api.create(PROJECT if body["kind"] == "AppProject" else APPLICATION, body)

    def remove(name: str) -> None:
        live = api.get(APPLICATION, namespace, name)
        assert live is not None
        api.delete(APPLICATION, live, "background")

    def open_() -> Applications:
        return HomeApplications(api, namespace)

    return World(api, namespace, open_, put, remove, (APPLICATION, lambda name: name))


@pytest.fixture
def files(api: Api, namespace: str, tmp_path: Path) -> World:
    def put(body: dict[str, Any]) -> None:
        (tmp_path / f"{body['kind']}-{body['metadata']['name']}.yaml").write_text(yaml.safe_dump(body))

    def remove(name: str) -> None:
        (tmp_path / f"Application-{name}.yaml").unlink()

    def open_() -> Applications:
        return DirectoryApplications(tmp_path, api, namespace, OURS)

    named: tuple[Kind, Callable[[str], str]] = (
        CONFIG_MAP,
        lambda name: parent_name(OURS.id, AppKey(namespace, name)),
    )
    return World(api, namespace, open_, put, remove, named)


@pytest.fixture(params=["home", "files"])
def world(request: pytest.FixtureRequest) -> World:
    """The home cluster, then the directory."""
    found: World = request.getfixturevalue(request.param)
    return found
