"""Every block of commands on the pages is typed by a test, or is listed here with the reason why not."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.docs.pages import PAGES, ROOT, blocks, name, read
from tests.ports import free_port
from tests.stories.ship import configmap, until
from workers.run import POOLS

_ENGINE, _INTERNET = "needs a container engine", "needs the internet"
_HERE = "tests/docs/test_a_new_user.py"
# How each block begins, and who types it; or why nobody can.
_TYPED = {
    "README.md": {
        "make demo": "tests/cli/test_demo.py",  # and `make test` types this
        "make setup": _HERE,
        "kubectl apply -f guestbook.yaml": _HERE,
    },
    "docs/development.md": {
        "make test": "Makefile",
        ".venv/bin/pytest tests/mooring": "Makefile",
        ".venv/bin/mooring devcluster start": _HERE,
    },
    "docs/install.md": {
        "kind create cluster": _ENGINE,
        "mooring app create guestbook": _HERE,
        "mkdir -m 700 secrets": "tests/packaging/test_compose.py",
        "docker compose run": _ENGINE,  # its command is typed by tests/packaging/test_compose.py
        "docker build": _ENGINE,
        "kubectl create namespace mooring": "tests/charts/test_readme.py",
    },
    "docs/plugins.md": {
        "mkdir -p plugins": "tests/stories/test_plugins.py",
    },
    "docs/tasks.md": {
        "export MOORING_REDIS_URL": _HERE,
        "celery -A workers.app call mooring.action": "tests/docs/test_recipes_work.py",
        "export MOORING_FLOWER_PASSWORD": "tests/cli/test_flower.py",
        "curl -u": _HERE,
    },
    "charts/mooring/README.md": {
        "kubectl create namespace mooring": "tests/charts/test_readme.py",
        "kubectl apply --server-side": "tests/charts/test_readme.py",
        "docker build": _ENGINE,
        "kubectl -n mooring create secret": "tests/charts/test_readme.py",
    },
}


def test_no_block_is_typed_by_nobody() -> None:
    for page in map(name, PAGES):
        listed = _TYPED.get(page, {})
        told = [[start for start in listed if block.startswith(start)] for block in blocks(page)]
        assert told == [[start] for start in listed], f"{page}: list its blocks in their order"
        for who in listed.values():
            assert who in (_ENGINE, _INTERNET) or (ROOT / who).is_file()


@dataclass
class NewUser:
    """Somebody with an empty HOME and the pages, at a shell in the checkout."""

    home: Path
    namespace: str  # of the Applications
    destination: str
    repo: Repository
    ports: dict[str, int] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def reads(self, text: str) -> str:
        """`text` with the user's own repository, namespaces and ports in place of the page's."""
        for example in ("https://github.com/acme/deploy", "https://github.com/argoproj/argocd-example-apps"):
            text = text.replace(example, self.repo.url)
        text = text.replace("namespace: mooring", f"namespace: {self.namespace}")
        text = text.replace("namespace: guestbook", f"namespace: {self.destination}")
        text = text.replace("--dest-namespace default", f"--dest-namespace {self.destination}")
        text = re.sub(r"^mooring up\b", " ".join(["exec mooring up", *self._flags()]), text, flags=re.M)
        return text.replace("127.0.0.1:5555", f"127.0.0.1:{self.ports['flower']}")

    def _flags(self) -> Iterator[str]:
        yield from ("--port", str(self.ports["web"]))
        yield from ("--flower-port", str(self.ports["flower"]), "--metrics-port", str(self.ports["metrics"]))

    def types(self, block: str) -> str:
        """What the commands print, which succeed."""
        argv = ["bash", "-euo", "pipefail", "-c", self.reads(block)]
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def leaves_running(self, block: str) -> subprocess.Popen[bytes]:
        """The last command stays in the foreground of a terminal of its own."""
        log = (self.home / "terminal").open("w")
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", self.reads(block)],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def sees(self) -> str:
        return (self.home / "terminal").read_text()


@pytest.fixture
def user(cluster: Cluster, git_repo: Repository, namespace: str, tmp_path: Path) -> NewUser:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").write_text(f'#!/bin/sh\nexec {" ".join(cluster.kubectl)} "$@"\n')
    (programs / "kubectl").chmod(0o755)
    found = NewUser(
        tmp_path, f"home-{secrets.token_hex(4)}", namespace, git_repo, {n: free_port() for n in _PORTS}
    )
    found.environ = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "KUBECONFIG": str(cluster.kubeconfig),
        "MOORING_NAMESPACE": found.namespace,
        "MOORING_FLOWER_PASSWORD": "a password of the tests",
    }
    return found


_PORTS = ("web", "flower", "metrics")


@pytest.mark.cluster
def test_what_the_readme_says_leads_to_a_synced_application(user: NewUser) -> None:
    user.repo.commit({"guestbook/greeting.yaml": configmap("greeting", text="hello")})
    _, set_up, application = blocks("README.md")
    # What is set up already is not set up again: the tests run in it.
    set_up = re.sub(r"^make setup\b.*$", "", set_up, flags=re.M)
    (manifest,) = re.findall(r"^```yaml\n(.*?kind: Application\n.*?)^```$", read("README.md"), re.M | re.S)
    up = user.leaves_running(set_up)
    try:
        until("mooring up", lambda: _serves(up, user))

        guestbook = user.home / "guestbook.yaml"
        guestbook.write_text(user.reads(manifest))
        told = user.types(application.replace("guestbook.yaml", str(guestbook)))
        assert f"Name:               {user.namespace}/guestbook" in told
        assert "Synced" in user.types("mooring app wait guestbook --sync --health --timeout 60")
        assert "hello" in user.types(f"kubectl -n {user.destination} get configmap greeting -o yaml")

        user.types(f"kubectl -n {user.namespace} delete application guestbook")
        _, first_app, *_ = blocks("docs/install.md")
        assert "created" in user.types(first_app)

        by_hand, *_, by_flower = blocks("docs/tasks.md")
        until("all workers to say that they are there", lambda: _online(user.types(by_hand)) >= len(POOLS))
        if shutil.which("curl"):
            assert user.types(by_flower).count("task-id") == 2
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(up.pid, signal.SIGINT)  # Ctrl-C
        assert up.wait(60) == 0, user.sees()
        user.types(f"kubectl delete namespace {user.namespace} --wait=false --ignore-not-found")


@pytest.mark.cluster
def test_a_developer_starts_and_ends_a_control_plane(cluster: Cluster, tmp_path: Path) -> None:
    *_, block = blocks("docs/development.md")
    typed = block.replace(".venv/bin/mooring", f"{sys.executable} -P -m cli.main")
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}  # another than the one that stories share
    done = subprocess.run(
        ["bash", "-euc", typed], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "default: ready" in done.stdout
    assert re.search(r"\bReady\b", done.stdout), "its node"
    assert not list(tmp_path.rglob("kubeconfig"))


def _online(told: str) -> int:
    """How many processes have answered: who is at a task does so later, and where there is much to do, a pool
    has one more."""
    (count,) = re.findall(r"(\d+) nodes? online", told)
    return int(count)


def _serves(up: subprocess.Popen[bytes], user: NewUser) -> bool:
    """Whether it has told where its status page is; fails once it has ended without a word of that."""
    told = "status page" in user.sees()
    assert told or up.poll() is None, user.sees()
    return told
