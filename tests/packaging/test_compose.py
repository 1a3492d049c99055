"""compose.yaml as its users run it, without an engine: Compose itself reads the file, and each service's own
command, environment, secrets and health check run as plain processes, until a push is applied.

What an engine would do is done by putting other words in: paths of mounts lead into a directory of the
service, `redis` is this machine, and each port is a free one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypedDict
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
import redis

from cli.processes import POOLS
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from devcluster.redis import find_server
from tests.packaging.containers import ROOT, NotPermitted, entrypoint, project
from tests.ports import free_port
from tests.security import redis_users
from tests.security.redis_users import OTHERS, not_refused, reached
from tests.stories.conftest import install_crds
from tests.stories.operator import pools
from tests.stories.ship import Ship, configmap, until

_MOUNTS: Final = re.compile(r"(?<![\w./])/(run/secrets|var/lib/mooring|data|tmp)\b")
_PORTS: Final = ("6379", "8080", "9090", "5555")


class _Surroundings(TypedDict):
    """What a service's processes are started with."""

    env: dict[str, str]
    cwd: Path


_PAGE: Final = ROOT / "docs" / "install.md"


def told(block: str) -> str:
    """A block of docs/install.md."""
    found = re.search(rf"<!-- block: {block} -->\n```\w+\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = project()["services"]
    return found


def test_it_has_the_processes_of_a_mooring(services: Mapping[str, Any]) -> None:
    assert set(services) == {"redis", "web", "worker", "beat", "observer", "flower"}
    targets = {name: service["build"]["target"] for name, service in services.items() if "build" in service}
    assert targets.pop("web") == "web"
    assert set(targets.values()) == {"mooring"}
    targets["web"] = "web"
    assert {services[name]["pull_policy"] for name in targets} == {"build"}


def test_what_compose_would_refuse_is_refused_here(tmp_path: Path) -> None:
    text = (ROOT / "compose.yaml").read_text()
    for wrong, right in (
        ("helthcheck:", "healthcheck:"),
        ("secrets: [redis-url, nobodys]", "secrets: [redis-url, kubeconfig]"),
        ("networks: [nowhere]", "networks: [back]"),
        ("interval: often", "interval: 10s"),
    ):
        assert right in text
        file = tmp_path / "compose.yaml"
        file.write_text(text.replace(right, wrong))
        with pytest.raises(NotPermitted):
            project(file)


def test_each_service_is_told_its_own_and_nothing_else(services: Mapping[str, Any]) -> None:
    known = {
        name: (set(service.get("environment", {})), {secret["source"] for secret in service["secrets"]})
        for name, service in services.items()
    }
    redis, metrics = "MOORING_REDIS_URL_FILE", "MOORING_METRICS_ADDRESS"
    cluster = {"MOORING_KUBECONFIG", "MOORING_NAMESPACE", "MOORING_STATE_DIR"}
    assert known == {
        "redis": (set(), {"redis-url", "redis-web-url"}),
        "web": ({redis, "MOORING_WEBHOOK_SECRETS_DIR", metrics}, {"redis-web-url", "webhook-github"}),
        "worker": ({redis, metrics} | cluster, {"redis-url", "kubeconfig"}),
        "beat": ({redis, metrics}, {"redis-url"}),
        "observer": ({redis, metrics, *cluster} - {"MOORING_STATE_DIR"}, {"redis-url", "kubeconfig"}),
        "flower": ({redis, "MOORING_FLOWER_PASSWORD_FILE"}, {"redis-url", "flower-password"}),
    }
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert networks.pop("web") == {"front", "back"}
    assert all(reached == {"back"} for reached in networks.values())


def test_no_service_may_more_than_it_must(services: Mapping[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == ("999:999" if name == "redis" else "65532:65532")
        assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & set(service), name
        waits = service.get("depends_on", {})
        assert name == "redis" or waits["redis"]["condition"] == "service_healthy", name


def test_images_are_named_by_version(services: Mapping[str, Any]) -> None:
    for service in services.values():
        assert re.search(r":\d+\.\d+\.\d+[\w.-]*$", service["image"]), service["image"]


def test_the_override_that_the_page_shows_puts_who_asks_the_cluster_into_the_network_of_kind(
    tmp_path: Path,
) -> None:
    (tmp_path / "override.yaml").write_text(told("compose-kind"))
    both = tmp_path / "compose.yaml"
    both.write_text(f"include: [{{path: [{ROOT / 'compose.yaml'}, override.yaml]}}]\n")
    found = project(both)
    assert found["networks"]["kind"]["external"] is True
    assert found["networks"]["kind"]["name"] == "kind"
    reached = {name: set(service["networks"]) for name, service in found["services"].items()}
    assert reached.pop("worker") == reached.pop("observer") == {"back", "kind"}
    assert not any("kind" in networks for networks in reached.values())


@dataclass
class Stack:
    """The services as processes."""

    services: Mapping[str, Any]
    directory: Path
    given: Path  # the directory of the secrets' files
    namespace: str

    def __post_init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        shared = free_port()
        self.ports = {name: {port: free_port() for port in _PORTS} for name in self.services}
        for ports in self.ports.values():
            ports["6379"] = shared
        for name, service in self.services.items():
            for place in ("tmp", "data", "var/lib/mooring", "home", "cwd"):
                self._at(name, place).mkdir(parents=True)
            for secret in service["secrets"]:
                self.tell(name, secret["source"], (self.given / secret["source"]).read_text())

    def tell(self, name: str, source: str, text: str) -> None:
        """What a service reads of one of the secrets."""
        (target,) = [s["target"] for s in self.services[name]["secrets"] if s["source"] == source]
        file = self._at(name, target)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._reached(text))

    def url(self, source: str) -> str:
        """The URL of Redis in one of the secrets, for somebody on this machine."""
        return self._reached((self.given / source).read_text().strip())

    def start(self, name: str) -> None:
        """The service's command, behind the entry point of its image, once those it waits for are healthy."""
        service = self.services[name]
        for other in service.get("depends_on", {}):
            until(f"{other} to be healthy", partial(self.healthy, other))
        argv = entrypoint(service["build"]["target"]) if "build" in service else []
        with self._log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*argv, *(self._mapped(name, word) for word in service["command"])],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **self._surroundings(name),
            )

    def run(self, name: str, *words: str) -> str:
        """What `docker compose run --no-deps` of the service prints, which succeeds."""
        argv = [*entrypoint(self.services[name]["build"]["target"]), *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, **self._surroundings(name))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def healthy(self, name: str) -> bool:
        """What the service's health check says."""
        how, *words = self.services[name]["healthcheck"]["test"]
        argv = [self._mapped(name, word) for word in words]
        checked = ["sh", "-c", *argv] if how == "CMD-SHELL" else argv
        done = subprocess.run(checked, capture_output=True, timeout=30, **self._surroundings(name))
        return done.returncode == 0

    def unhealthy(self, name: str) -> bool:
        return not self.healthy(name)

    def kill(self, name: str) -> None:
        """kill -9 to all of a service."""
        child = self.running.pop(name)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def stop(self) -> None:
        for child in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for name in list(self.running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running[name].wait(10)
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)

    def said(self) -> str:
        """The last words of all services."""
        return "\n".join(
            f"--- {path.stem}\n{path.read_text()[-2000:]}" for path in self.directory.glob("*.log")
        )

    def written(self) -> list[str]:
        """Files of services elsewhere than in their volumes and temporary directories."""
        places = [self._at(name, place) for name in self.services for place in ("home", "cwd")]
        return [str(path) for place in places for path in place.rglob("*")]

    def _at(self, name: str, place: str) -> Path:
        return self.directory / name / place.lstrip("/")

    def _reached(self, url: str) -> str:
        return url.replace("@redis:6379/", f"@127.0.0.1:{self.ports['redis']['6379']}/")

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _surroundings(self, name: str) -> _Surroundings:
        environment = self.services[name].get("environment", {})
        env = {key: self._mapped(name, value) for key, value in environment.items()}
        if "MOORING_NAMESPACE" in env:
            env["MOORING_NAMESPACE"] = self.namespace
        programs = (Path(sys.executable).parent, find_server().parent, "/usr/bin", "/bin")
        image = {"PATH": ":".join(map(str, programs)), "HOME": str(self._at(name, "home"))}
        image |= {"TMPDIR": str(self._at(name, "tmp")), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
        return {"env": image | env, "cwd": self._at(name, "cwd")}

    def _mapped(self, name: str, text: str) -> str:
        text = _MOUNTS.sub(lambda found: str(self._at(name, found[0])), text)
        for volume in self.services[name].get("volumes", []):
            if volume["type"] == "bind":
                text = re.sub(rf"(?<!\S){volume['target']}\b", volume["source"], text)
        for port, there in self.ports[name].items():
            text = re.sub(rf"\b{port}\b", str(there), text)
        return text.replace("0.0.0.0", "127.0.0.1")


@pytest.fixture
def given(cluster: Cluster, tmp_path: Path) -> Path:
    """The secrets, made by the commands of docs/install.md."""
    home = tmp_path / "operator"
    (home / ".kube").mkdir(parents=True)
    (home / ".kube" / "config").write_bytes(cluster.kubeconfig.read_bytes())
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    subprocess.run(["sh", "-ec", told("compose-secrets")], cwd=home, env=environ, check=True, timeout=60)
    directory = home / "secrets"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in directory.iterdir()} == set(project()["secrets"])
    # Other users of the containers may read them, and their owner may write them anew.
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}
    return directory


@pytest.fixture
def stack(services: Mapping[str, Any], cluster: Cluster, given: Path, tmp_path: Path) -> Iterator[Stack]:
    install_crds(cluster)
    home = f"home-{secrets.token_hex(4)}"
    devcluster.ask(cluster, "/api/v1/namespaces", {"metadata": {"name": home}})
    stack = Stack(services, tmp_path / "stack", given, home)
    try:
        yield stack
    finally:
        stack.stop()
        devcluster.ask(cluster, f"/api/v1/namespaces/{home}", method="DELETE")


@pytest.mark.cluster
def test_a_push_is_applied_and_every_service_is_healthy_until_it_dies(
    stack: Stack, cluster: Cluster, git_repo: Repository, namespace: str, tmp_path: Path
) -> None:
    try:
        for name in stack.services:
            assert not stack.healthy(name), f"{name} is said to be healthy, and does not even run"
        for name in ("redis", "web", "worker", "beat", "observer", "flower"):
            stack.start(name)
        for name in stack.services:
            until(f"{name} to be healthy", partial(stack.healthy, name))

        ship = Ship(cluster, stack.namespace, "", tmp_path, port=stack.ports["web"]["8080"])
        ship.create_app("shop", git_repo, namespace)
        commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
        secret = (stack.given / "webhook-github").read_text().strip()
        id = ship.deliver(git_repo, commit, secret=secret)
        ship.synced("shop", commit)
        assert ship.finished(id)["state"] == "succeeded"
        assert ship.configmap(namespace, "a")["data"] == {"v": "1"}

        flower = stack.ports["flower"]["5555"]
        password = (stack.given / "flower-password").read_text().strip()
        until("Flower to show all workers", lambda: pools(flower, password) == set(POOLS))
        for wrong in ("", f"{password}x"):
            with pytest.raises(HTTPError, match="401"):
                pools(flower, wrong)

        assert stack.written() == []
        for name in sorted(stack.services, key=lambda name: name == "redis"):  # the others need it
            assert stack.healthy(name)
            stack.kill(name)
            until(f"{name} to be said to be dead", partial(stack.unhealthy, name))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{stack.said()}") from error


@pytest.mark.cluster
def test_the_command_of_the_page_installs_the_crds_and_needs_nothing_but_the_image(stack: Stack) -> None:
    command = r"^docker compose run --rm --no-deps worker (.*?) *(?:#|$)"
    (words,) = re.findall(command, _PAGE.read_text(), re.MULTILINE)
    said = stack.run("worker", *words.split())
    assert "crd applications.argoproj.io: " in said
    assert f"namespace {stack.namespace}: is there" in said


@pytest.mark.cluster
def test_its_redis_lets_nobody_in_but_its_two_users_and_the_web_tiers_no_further_than_it_must(
    stack: Stack,
) -> None:
    stack.start("redis")
    until("redis to be healthy", lambda: stack.healthy("redis"))
    mooring_url, web_url = (stack.url(name) for name in ("redis-url", "redis-web-url"))
    with redis.Redis.from_url(mooring_url) as mooring, redis.Redis.from_url(web_url) as web:
        mooring.mset(OTHERS)
        commands = redis_users.commands(mooring)
        assert not_refused(web, commands) == []
        for key in OTHERS:
            assert reached(web, commands, key) == []
        assert {key: mooring.get(key) for key in OTHERS} == OTHERS

    mooring_password, web_password = (urlsplit(url).password for url in (mooring_url, web_url))
    port = stack.ports["redis"]["6379"]
    for user, others in (("mooring", web_password), ("mooring-web", mooring_password)):
        for password in (None, "", others):
            with (
                redis.Redis(port=port, username=user, password=password) as client,
                pytest.raises(redis.exceptions.AuthenticationError),
            ):
                client.ping()
    with redis.Redis(port=port) as stranger:
        assert stranger.ping()  # what the health check asks
        for key in OTHERS:
            with pytest.raises(redis.exceptions.NoPermissionError):
                stranger.get(key)


@pytest.mark.cluster
def test_a_url_that_makes_no_user_of_redis_is_named_without_its_password(stack: Stack) -> None:
    stack.tell("redis", "redis-url", "redis://mooring:hunter2@redis:6379/0")
    stack.start("redis")
    assert stack.running["redis"].wait(30) != 0
    assert "secrets/redis-url" in stack.said()
    assert "hunter2" not in stack.said()
