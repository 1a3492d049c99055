"""A whole Mooring as the chart has it: its commands, environments and files, with its account's rights."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from charts.generate import render
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.charts.chartredis import ChartRedis
from tests.charts.rendered import container, environment, objects, of_kind, pods, values
from tests.ports import free_port
from tests.stories.conftest import install_crds
from tests.stories.ship import SECRET, Ship

_PROGRAMS = {"python": sys.executable, "mooring": str(Path(sys.executable).with_name("mooring"))}


def as_account(cluster: Cluster, directory: Path, namespace: str, name: str) -> Cluster:
    """The cluster with a kubeconfig in `directory` that holds a token of the account, as its pods get it.

    What a story asks of the cluster is still asked as its administrator.
    """
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    asked: Any = devcluster.ask(cluster, path, {"spec": {"expirationSeconds": 3600}})
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": asked["status"]["token"]}
    directory.mkdir()
    (directory / "kubeconfig").write_text(yaml.safe_dump(config))
    return replace(cluster, directory=directory)


@dataclass
class Charted(Ship):
    """The processes of a render, each with its own pod's command, environment and mounts below `directory`.

    What a container has to itself is moved to where this machine has room: ports, and the paths of mounts.
    """

    manifests: list[Any] = field(default_factory=list)
    server: ChartRedis | None = None
    accounts: dict[str, Cluster] = field(default_factory=dict)  # of components beside the workers
    flower_password: str = field(default_factory=secrets.token_urlsafe)
    _ports: dict[str, int] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start these components' processes (all that the render has, but Redis, when none is named)."""
        super().start(*(names or sorted(pods(self.manifests).keys() - {"redis"})))

    def files(self) -> Mapping[str, Mapping[str, str]]:
        """What the Secrets hold that the chart names."""
        assert self.server
        redis = {"url": self.server.url, "web-url": self.server.web_url}
        return {
            "mooring-redis": redis,
            "mooring-webhooks": {"github": f"{SECRET}\n"},
            "mooring-flower": {"password": self.flower_password},
        }

    def probed(self, name: str, probe: str) -> int:
        """What a process answers to one of its pod's probes: the status."""
        asked = container(pods(self.manifests)[name])[probe]["httpGet"]
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.listens(name, asked['port'])}{asked['path']}", timeout=10
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def listens(self, name: str, port: str) -> int:
        """Where a port of a component's pod is here."""
        return self._ports[f"{name}/{port}"]

    def _spawn(self, name: str) -> None:
        pod = pods(self.manifests)[name]
        mounts = self._mount(name, pod)
        ports = {str(port["containerPort"]): port["name"] for port in container(pod)["ports"]}
        self._ports |= {f"{name}/{port}": free_port() for port in ports.values()}

        def here(text: str) -> str:
            for path, directory in mounts.items():
                if text == path or text.startswith(f"{path}/"):
                    return f"{directory}{text.removeprefix(path)}"
            for number, port in ports.items():
                text = text.replace(f"0.0.0.0:{number}", f"127.0.0.1:{self.listens(name, port)}")
            return text

        environ = {key: here(value) for key, value in environment(pod).items()}
        argv: list[str] = [*container(pod)["command"], *container(pod).get("args", ())]
        program, *words = argv
        words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]
        words = [str(self.listens(name, ports[word])) if word in ports else word for word in words]
        if name == "web":
            self.port = self.listens(name, "http")
        if pod["spec"]["automountServiceAccountToken"]:
            # Instead of the pod's own token.
            of = self.cluster if name == "worker" else self.accounts[name]
            environ["MOORING_KUBECONFIG"] = str(of.kubeconfig)
        environ |= {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}  # as the image has them
        log = (self.directory / f"{name}.log").open("ab")
        self.children[name] = subprocess.Popen(
            [_PROGRAMS[program], *words],
            env=environ,
            cwd=self.directory,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _mount(self, name: str, pod: Any) -> dict[str, Path]:
        """Where each path of the container is here, with the files of Secrets in it."""
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounts = {}
        for mount in container(pod)["volumeMounts"]:
            directory = self.directory / name / mount["name"]
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            mounts[mount["mountPath"]] = directory
            if secret := volumes[mount["name"]].get("secret"):
                held = self.files()[secret["secretName"]]
                items = secret.get("items") or [{"key": key, "path": key} for key in held]
                for item in items:
                    (directory / item["path"]).write_text(held[item["key"]])
        return mounts


def account_of(found: list[Any], component: str) -> str:
    """The service account of a component."""
    return str(pods(found)[component]["spec"]["serviceAccountName"])


_RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def rights(found: list[Any]) -> list[Any]:
    """The objects that say who may do what."""
    return list(of_kind(found, *_RIGHTS))


@contextlib.contextmanager
def ship_of(cluster: Cluster, tmp: Path, **given: Any) -> Iterator[Charted]:
    """A Mooring of the chart with these values, in a home namespace of its own.

    Its Secrets are `mooring-redis`, `mooring-webhooks` and `mooring-flower`.
    """
    home = f"home-{secrets.token_hex(4)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": home}})
    install_crds(cluster)
    settings = {"MOORING_RECONCILE_SECONDS": "3600", "MOORING_POLL_SECONDS": "3600"}
    named = {"redis": {"existingSecret": "mooring-redis"}, "web": {"existingSecret": "mooring-webhooks"}}
    found = objects(render(values(tmp, settings=settings, **named, **given), namespace=home))
    (tmp / "redis").mkdir()
    with ChartRedis(tmp / "redis") as server:
        ship = Charted(cluster, home, server.url, tmp, manifests=found, server=server)
        ship.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(rights(found)))
        ship.cluster = as_account(cluster, tmp / "account", home, account_of(found, "worker"))
        observer = account_of(found, "observer")
        ship.accounts["observer"] = as_account(cluster, tmp / "observer-account", home, observer)
        try:
            ship.start()
            yield ship
        finally:
            ship.stop()
            devcluster.ask(cluster, f"/api/v1/namespaces/{home}", method="DELETE")
            for item in rights(found):
                if item["kind"].startswith("Cluster"):
                    kind = f"{item['kind'].lower()}s/{item['metadata']['name']}"
                    devcluster.ask(cluster, f"/apis/rbac.authorization.k8s.io/v1/{kind}", method="DELETE")
