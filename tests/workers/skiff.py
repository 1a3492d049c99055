"""The smallest Mooring there is, for properties that need hundreds of syncs: one engine, without processes.

Its tasks are the pipeline's, run one after the other by who calls `settle`. API server, Redis and Git host
are the real ones; only time is its own: where all that is left is to wait, it goes by at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.status import SyncStatus
from mooring.names import TASK_CLUSTER, TASK_MOVED, TASK_RECONCILE, TASK_TURN
from mooring.settings import Settings
from mooring.store.due import DUE, Step
from workers import follow, pipeline, upkeep
from workers.applyset.store import Listed
from workers.apps.home import APPLICATION
from workers.apps.wishes import standing, turn_of
from workers.cluster.api import NAMESPACE
from workers.cluster.kinds import Kind
from workers.clusters import there
from workers.engine import Engine, start
from workers.reconcile import unproved

CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
_RUN: Final[Mapping[str, Callable[..., None]]] = {
    TASK_TURN: pipeline.work,
    TASK_RECONCILE: pipeline.reconcile,
    TASK_MOVED: follow.moved,
    TASK_CLUSTER: there.ask,
}


class Skiff:
    """An engine and what a story does with it. Whatever a task raises, the story raises."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ahead = 0.0  # seconds, of the clock of this machine
        self._sent: deque[Step] = deque()
        self.engine = self._board()

    def _board(self) -> Engine:
        engine = start(self._settings, self._sent.append)
        return replace(engine, clock=lambda: time.time() + self._ahead)

    def start_anew(self) -> None:
        """As after everything has died, and Redis with it."""
        self._sent.clear()
        self.engine.redis.flushdb()
        self.engine = self._board()

    # --- its tasks --------------------------------------------------------------------------------
    def work(self) -> None:
        """Run what was sent, and what that sends."""
        while self._sent:
            step = self._sent.popleft()
            _RUN[step.task](self.engine, *step.args)

    def is_sent(self) -> bool:
        """Whether anything is to be run."""
        return bool(self._sent)

    def look(self, name: str) -> None:
        """Have an app looked at, once."""
        pipeline.sync(self.engine, name)

    def go_by(self, seconds: float) -> None:
        """So much time."""
        self._ahead += seconds

    def settle(self) -> None:
        """Let beat look and time go by until nothing is wanted, due or asked for on an Application."""
        for _ in range(100):
            wished = self._wished()
            for key, wishes in wished.items():
                self.engine.wake(turn_of(key), wishes, standing=True)
            self.work()
            if (due := self._next()) is not None:
                self._ahead = max(self._ahead, due - time.time())
                upkeep.tick(self.engine)
                self.work()
            elif not wished:
                return
        raise AssertionError(f"it does not come to rest: {wished}, due {self._next()}")

    def _wished(self) -> dict[AppKey, dict[str, str]]:
        """What is written on Applications to be done: as beat sees it within two seconds."""
        store = self.engine.applications
        return {app.key: wishes for app in store.list().apps if (wishes := standing(store, app))}

    def _next(self) -> float | None:
        found = cast("list[tuple[bytes, float]]", self.engine.redis.zrange(DUE, 0, 0, withscores=True))
        return found[0][1] if found else None

    def unproved(self) -> set[str]:
        """Whom a reconciliation would look at."""
        apps = self.engine.applications.list().apps
        return {key.name for key in unproved(self.engine, apps, Listed())}

    # --- what people do ---------------------------------------------------------------------------
    def create_app(self, name: str, spec: Mapping[str, Any]) -> None:
        home = self._settings.namespace
        body = {
            "apiVersion": APPLICATION.api_version,
            "kind": APPLICATION.kind,
            "metadata": {"name": name, "namespace": home},
            "spec": {"project": "default", **spec},
        }
        self.engine.api.create(APPLICATION, body)

    def create_healing_app(self, name: str, repo_url: str, namespace: str) -> None:
        """One of the directory of its name, deployed to `namespace` and healed by itself."""
        self.create_app(
            name,
            {
                "source": {"repoURL": repo_url, "path": name, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {"automated": {"selfHeal": True}},
            },
        )

    def patch_app(self, name: str, patch: Mapping[str, Any]) -> None:
        self.engine.api.patch(APPLICATION, self._settings.namespace, name, dict(patch))

    def delete_app(self, name: str) -> None:
        live = self.engine.api.get(APPLICATION, self._settings.namespace, name)
        if live is not None:
            self.engine.api.delete(APPLICATION, live, any_version=True)

    def app(self, name: str) -> Application:
        found = self.engine.applications.get(AppKey(self._settings.namespace, name))
        assert found is not None
        return found

    def sync(self, name: str) -> SyncStatus:
        found = self.app(name).status.sync
        assert found is not None
        return found

    # --- the cluster ------------------------------------------------------------------------------
    def create_namespace(self, name: str) -> None:
        self.engine.api.create(
            NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )

    def delete_namespace(self, name: str) -> None:
        live = self.engine.api.get(NAMESPACE, "", name)
        if live is not None:
            self.engine.api.delete(NAMESPACE, live, "background", any_version=True)

    def config_maps(self, namespace: str) -> dict[str, str]:
        """What the data of each that an app has says under `v`."""
        found = self.engine.api.list(CONFIG_MAP, namespace)
        bodies = [live.body or {} for live in found if live.key.name != "kube-root-ca.crt"]
        return {body["metadata"]["name"]: body["data"]["v"] for body in bodies}

    def drift(self, namespace: str, name: str, v: str) -> None:
        """Somebody writes into the cluster, past Git."""
        self.engine.api.patch(CONFIG_MAP, namespace, name, {"data": {"v": v}})
