"""A real Kubernetes control plane on this machine: etcd, API server, controllers, scheduler; KWOK for nodes.

Loopback only, one directory per cluster, ended only by `stop`: tests and demos come and go while it
stays. Everything the demo and the tests say about Kubernetes is said by Kubernetes itself.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devcluster import build, places, process
from devcluster.build import Say
from devcluster.errors import DevclusterError
from devcluster.process import Started

DEFAULT = "default"
# Start order; ended in reverse, so that nobody talks to an API server whose etcd is gone.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
NODES = ("node-1", "node-2")
STAGES = Path(__file__).parent / "stages.yaml"
_READY_WITHIN = 120.0  # seconds; 4 on an idle machine


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach a running devcluster as its administrator.

    `server` is the API server's URL, `token` a bearer token in group system:masters, `ca` the PEM
    file to verify the server with.
    """

    name: str
    directory: Path
    server: str
    token: str = field(repr=False)
    ca: Path

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def context(self) -> str:
        return context_of(self.name)

    @property
    def kubectl(self) -> list[str]:
        """The argv that a kubectl of the cluster's own version begins with."""
        return [str(build.CONTROLPLANE.binary()), "kubectl", "--kubeconfig", str(self.kubeconfig)]


@dataclass(frozen=True, slots=True)
class Status:
    """Which components run (component -> pid, None when it does not), and whether the API server is ready."""

    name: str
    directory: Path
    pids: dict[str, int | None]
    ready: bool


def context_of(name: str) -> str:
    """The kubeconfig context of the cluster `name`."""
    return f"mooring-{name}"


def start(name: str = DEFAULT, *, say: Say = lambda _: None) -> Cluster:
    """A running cluster `name`: the one that runs, else a new start (programs are built when missing).

    Safe to call from many processes at once. Objects of an earlier, properly stopped run are kept.
    Raises DevclusterError when a program does not build or a component does not come up.
    """
    directory = _directory(name)
    controlplane, kwok = build.build(build.CONTROLPLANE, say), build.build(build.KWOK, say)
    with places.exclusive(_lock(name)):
        running = _running(name)
        if running is not None:
            if _older(directory, controlplane):
                say(
                    f"devcluster {name}: runs an older build; `mooring devcluster stop`, then start renews it"
                )
            return running
        _end(directory)
        return _start(name, directory, controlplane, kwok, say)


def stop(name: str = DEFAULT, *, delete: bool = False) -> bool:
    """Ends the cluster's processes, and no others; with `delete` its objects and files go too.

    Returns whether anything ran.
    """
    directory = _directory(name)
    with places.exclusive(_lock(name)):
        ran = _end(directory)
        if delete:
            shutil.rmtree(directory, ignore_errors=True)
        return ran


def status(name: str = DEFAULT) -> Status:
    """What runs right now, by looking at the processes and asking the API server."""
    directory = _directory(name)
    pids = {component: (found.pid if found else None) for component, found in _alive(directory).items()}
    cluster = _read(name)
    return Status(name, directory, pids, cluster is not None and all(pids.values()) and is_ready(cluster))


def find(name: str = DEFAULT) -> Cluster:
    """The running cluster `name`. Raises DevclusterError when it does not run."""
    cluster = _running(name)
    if cluster is None:
        raise DevclusterError(f"devcluster {name!r} does not run: `mooring devcluster start` starts it")
    return cluster


# --- the directory -------------------------------------------------------------------------------


def _directory(name: str) -> Path:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise DevclusterError(
            f"not a cluster name: {name!r} (lower-case letters, digits and dashes, at most 40)"
        )
    return places.clusters() / name


def _lock(name: str) -> Path:
    return places.clusters() / f"{name}.lock"


def _record(directory: Path, component: str) -> Path:
    return directory / f"{component}.pid"


def _alive(directory: Path) -> dict[str, Started | None]:
    records = {component: Started.load(_record(directory, component)) for component in COMPONENTS}
    return {component: found if found and found.process() else None for component, found in records.items()}


def _older(directory: Path, controlplane: Path) -> bool:
    record = Started.load(_record(directory, "kube-apiserver"))
    return record is not None and record.argv[0] != str(controlplane)


def _running(name: str) -> Cluster | None:
    cluster = _read(name)
    return cluster if cluster and all(_alive(cluster.directory).values()) and is_ready(cluster) else None


def _read(name: str) -> Cluster | None:
    directory = _directory(name)
    try:
        config = yaml.safe_load((directory / "kubeconfig").read_text())
        server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError):
        return None
    return Cluster(name, directory, server, token, _ca(directory))


def _ca(directory: Path) -> Path:
    # The API server signs its own certificate; the file holds that and the authority it made for it.
    return directory / "certs" / "apiserver.crt"


def _end(directory: Path) -> bool:
    """Ends what is left of a run. An etcd that was not ended here may be torn (no fsync): its data go."""
    alive = _alive(directory)
    if _record(directory, "etcd").exists() and alive["etcd"] is None:
        shutil.rmtree(directory / "etcd", ignore_errors=True)
    for component in reversed(COMPONENTS):
        found = alive[component]
        if found is not None:
            process.stop(found)
        _record(directory, component).unlink(missing_ok=True)
    return any(alive.values())


# --- starting ------------------------------------------------------------------------------------


def _start(name: str, directory: Path, controlplane: Path, kwok: Path, say: Say) -> Cluster:
    started = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = directory / "service-accounts.key"
    if not key.exists():
        _write_private(key, _new_key(controlplane))
    tokens = directory / "tokens.csv"
    if not tokens.exists():
        _write_private(tokens, f"{secrets.token_urlsafe(32)},admin,admin,system:masters\n")
    token = tokens.read_text().split(",", 1)[0]

    client_port, peer_port, secure_port = _free_ports(3)
    server = f"https://127.0.0.1:{secure_port}"
    cluster = Cluster(name, directory, server, token, _ca(directory))
    try:
        _run(directory, "etcd", _etcd(controlplane, directory, client_port, peer_port))
        _run(
            directory,
            "kube-apiserver",
            _apiserver(controlplane, directory, client_port, secure_port, tokens, key),
        )
        _wait(directory, ("etcd", "kube-apiserver"), "the API server is ready", lambda: is_ready(cluster))
        _write_private(cluster.kubeconfig, _kubeconfig(cluster))
        _run(directory, "kube-controller-manager", _controllers(controlplane, cluster, key))
        _run(directory, "kube-scheduler", _scheduler(controlplane, cluster))
        for node in NODES:
            _create(cluster, "/api/v1/nodes", _node(node))
        _run(directory, "kwok", _kwok(kwok, cluster))
        _wait(directory, COMPONENTS, "the default service account exists", lambda: _has_account(cluster))
        _wait(directory, COMPONENTS, "the nodes are ready", lambda: _has_ready_nodes(cluster))
    except BaseException:
        _end(directory)
        raise
    say(f"devcluster {name}: ready at {server} after {time.monotonic() - started:.1f} s")
    return cluster


def _run(directory: Path, component: str, argv: list[str]) -> None:
    started = process.start(argv, directory / f"{component}.log", cwd=directory)
    started.save(_record(directory, component))


def _etcd(binary: Path, directory: Path, client_port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(binary),
        "etcd",
        "--data-dir=etcd",
        "--name=devcluster",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=devcluster={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(
    binary: Path, directory: Path, etcd_port: int, secure_port: int, tokens: Path, key: Path
) -> list[str]:
    return [
        str(binary),
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={secure_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # Nothing routes to the `kubernetes` Service here, and it refuses a loopback address.
        "--endpoint-reconciler-type=none",
        f"--cert-dir={directory / 'certs'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={key}",
        # A /24 runs out at 254 Services.
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged",
        "--profiling=false",
    ]


def _controllers(binary: Path, cluster: Cluster, key: Path) -> list[str]:
    return [
        str(binary),
        "kube-controller-manager",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--service-account-private-key-file={key}",
        f"--root-ca-file={cluster.ca}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        # Where etcd was away for a minute the leases of nodes have run out, and no kubelet is there to make
        # the pods ready again that are called unready for that.
        "--node-monitor-grace-period=1h",
        # The default of 20 a second makes a test wait for its namespace to go.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _scheduler(binary: Path, cluster: Cluster) -> list[str]:
    return [
        str(binary),
        "kube-scheduler",
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _kwok(binary: Path, cluster: Cluster) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={STAGES}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-ip=127.0.0.1",
        "--cidr=10.244.0.0/16",
        "--node-lease-duration-seconds=40",
        "--server-address=",
    ]


def _kubeconfig(cluster: Cluster) -> str:
    ca = base64.b64encode(cluster.ca.read_bytes()).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster.context,
            "clusters": [
                {
                    "name": cluster.context,
                    "cluster": {"server": cluster.server, "certificate-authority-data": ca},
                }
            ],
            "users": [{"name": cluster.context, "user": {"token": cluster.token}}],
            "contexts": [
                {"name": cluster.context, "context": {"cluster": cluster.context, "user": cluster.context}}
            ],
        },
        sort_keys=False,
    )


def _node(name: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node-role.kubernetes.io/agent": "",
        "type": "kwok",
    }
    metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def _new_key(controlplane: Path) -> str:
    made = subprocess.run([str(controlplane), "new-key"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise DevclusterError(f"no service account key could be made: {made.stderr.strip()}")
    return made.stdout


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1, all different because all are held until the last is known."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


# --- asking the API server -----------------------------------------------------------------------


def _wait(directory: Path, components: Iterable[str], what: str, done: Any) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    pause = threading.Event()
    while not done():
        alive = _alive(directory)
        for component in components:
            if alive[component] is None:
                raise DevclusterError(f"{component} ended while starting: {_why(directory, component)}")
        if time.monotonic() > deadline:
            raise DevclusterError(
                f"after {_READY_WITHIN:.0f} s still not so: {what}; logs are in {directory}"
            )
        pause.wait(0.1)


def _why(directory: Path, component: str) -> str:
    log = directory / f"{component}.log"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1][:300] if lines else 'it said nothing'} ({log})"


def ask(
    cluster: Cluster,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    method: str | None = None,
    content_type: str = "application/json",
) -> Any:
    """One request as administrator: JSON in, JSON out (or bytes, where the server answers no JSON).

    POST when there is a body, else GET, unless `method` says otherwise. Raises
    urllib.error.HTTPError as the server answers it, OSError when there is no answer.
    """
    request = urllib.request.Request(  # noqa: S310 - always our own https URL
        cluster.server + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {cluster.token}", "Content-Type": content_type},
        method=method,
    )
    trust = ssl.create_default_context(cafile=str(cluster.ca))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    with opener.open(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content[:1] == b"{" else content


def _holds(cluster: Cluster, path: str, check: Any) -> bool:
    try:
        return bool(check(ask(cluster, path)))
    except (OSError, ValueError):  # URLError and HTTPError are OSErrors; not there yet is the same as no
        return False


def is_ready(cluster: Cluster) -> bool:
    """Whether the API server says so of itself."""
    return _holds(cluster, "/readyz", lambda answer: answer == b"ok")


def _has_account(cluster: Cluster) -> bool:
    return _holds(cluster, "/api/v1/namespaces/default/serviceaccounts/default", bool)


def _has_ready_nodes(cluster: Cluster) -> bool:
    def all_ready(listed: Any) -> bool:
        ready = [
            condition["status"] == "True"
            for node in listed["items"]
            for condition in node.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready"
        ]
        return len(ready) >= len(NODES) and all(ready)

    return _holds(cluster, "/api/v1/nodes", all_ready)


def _create(cluster: Cluster, path: str, body: dict[str, Any]) -> None:
    try:
        ask(cluster, path, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # there since an earlier run
            raise DevclusterError(f"{path} refused: {error.read().decode(errors='replace')[:300]}") from error
