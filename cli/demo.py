"""`mooring demo`: a push lands in a cluster, shown as it happens, on real parts only.

A Kubernetes API server, Git over HTTP, Redis, and Mooring's own processes; nothing is played but the
nodes. What is shown is read where a user would read it: the ledger behind the web tier's API, and the
object in the cluster.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click

from cli import children, processes
from cli.confirm import confirm
from cli.crds import NAMESPACE, install_into
from cli.exits import TimedOut
from cli.home import Home, chosen, connect
from cli.show import duration
from devcluster import cluster as devcluster
from devcluster.gitserver import GitServer, Repository
from mooring.errors import MooringError, Refused
from mooring.keys import IN_CLUSTER, AppKey
from mooring.model.application import Application
from mooring.settings_web import secret_variable
from workers.apps.home import APPLICATION
from workers.cluster.kinds import Kind

CLUSTER: Final = "demo"
APPS: Final = ("shop", "blog")
_CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
_BEFORE, _AFTER = "Hello", "Hello from the new commit"
_WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays. `names` are its namespaces: the Applications', then each Application's own."""

    home: Home
    web: str
    secret: str
    log: Path
    names: dict[str, str]


@click.command()
@click.option("--once", is_flag=True, help="End after the push; exit code 0 only if it landed.")
@click.option("--kubeconfig", metavar="FILE", default="", help="Play in this cluster instead of our own.")
@click.option("--context", metavar="NAME", default="", help="Context of the kubeconfig.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the web tier.  [default: free]"
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before touching a cluster that is not ours.")
def demo(once: bool, kubeconfig: str, context: str, port: int, yes: bool) -> None:
    """Show a push land in a cluster: commit, signed webhook, each stage with its duration.

    Starts a control plane of its own (the first time it is built, which takes minutes), unless KUBECONFIG,
    --kubeconfig or --context name another. Whatever it starts or creates is gone at its end.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    with ExitStack() as ends:
        state = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="mooring-demo-")))
        stage = _set_up(ends, state, kubeconfig, context, port, yes)
        git = ends.enter_context(GitServer(state / "git"))
        repository = git.create("demo")
        work = Work(state / "work", repository)
        _title("Git")
        work.push({f"{app}/{name}": text for app in APPS for name, text in _manifests(app).items()}, "begin")
        _line("repository", repository.url)
        _create_applications(stage, repository)
        _title("Mooring")
        up = ends.enter_context(_mooring_up(stage, state))
        _await_ready(stage, up)
        _line("status page", f"{stage.web}/")
        _line("webhook", f"{stage.web}/webhooks/github")
        _line("log", str(stage.log))
        _await_synced(stage, up)
        _title("A push")
        _show_push(stage, work, up)
        _title("Done: the cluster has what Git has")
        if not once:
            _stay(stage, repository, up)


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


# --- setting up -----------------------------------------------------------------------------------


def _set_up(ends: ExitStack, state: Path, kubeconfig: str, context: str, port: int, yes: bool) -> Stage:
    _title("Cluster")
    settings = replace(chosen(kubeconfig, context), state_dir=str(state / "state"), redis_url="", apps_dir="")
    theirs = bool(settings.kubeconfig or settings.context or os.environ.get("KUBECONFIG"))
    if theirs:
        tag = secrets.token_hex(3)
        names = {name: f"mooring-demo-{tag}-{name}" for name in APPS}
        settings = replace(settings, namespace=f"mooring-demo-{tag}")
        home = connect(settings)
        if not yes:
            confirm(
                f"This touches the cluster {home.server}: installs the kinds Application and AppProject if "
                f"they are missing, and creates the namespaces {settings.namespace}, "
                f"{' and '.join(names.values())}, which are deleted at the end. Go on?",
            )
    else:
        if devcluster.status(CLUSTER).ready:
            raise Refused(
                "the control plane of another demo runs: end that demo, or delete what a killed one left by "
                f"`mooring devcluster stop --name {CLUSTER} --delete`"
            )
        _line("", "starting a control plane (the very first time it is built: about ten minutes)")
        ends.callback(_quietly, lambda: devcluster.stop(CLUSTER, delete=True))
        own = devcluster.start(CLUSTER, say=lambda text: _line("", text))
        names = {name: f"demo-{name}" for name in APPS}
        settings = replace(settings, kubeconfig=str(own.kubeconfig), context=own.context, namespace="mooring")
        home = connect(settings)
    _line("server", f"{home.server} ({home.api.discovery.server_version})")
    if theirs:
        ends.callback(_quietly, lambda: _delete_namespaces(home, [settings.namespace, *names.values()]))
    for text in install_into(home):
        _line("", text)
    return Stage(
        home=home,
        web=f"http://127.0.0.1:{port or _free_port()}",
        secret=secrets.token_urlsafe(24),
        log=state / "mooring.log",
        names=names,
    )


def _manifests(app: str, greeting: str = _BEFORE) -> dict[str, str]:
    labels = {"app": app}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "greeting"},
        "data": {"text": greeting},
    }
    container = {"name": "web", "image": "registry.k8s.io/pause:3.10"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    return {
        "greeting.json": json.dumps(config, indent=2) + "\n",
        "deployment.json": json.dumps(deployment, indent=2) + "\n",
    }


def _create_applications(stage: Stage, repository: Repository) -> None:
    for app in APPS:
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": app, "namespace": stage.home.settings.namespace},
            "spec": {
                "project": "default",
                "source": {"repoURL": repository.url, "path": app, "targetRevision": "main"},
                "destination": {"server": IN_CLUSTER, "namespace": stage.names[app]},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True},
                    "syncOptions": ["CreateNamespace=true"],
                },
            },
        }
        stage.home.api.create(APPLICATION, body)


class Work:
    """A developer's clone of the repository, that commits and pushes over HTTP with plain git."""

    def __init__(self, directory: Path, repository: Repository) -> None:
        self._directory = directory
        self._git("clone", "--quiet", repository.url, str(directory), cwd=directory.parent)
        self._git("checkout", "--quiet", "-B", "main")
        self.repository = repository

    def push(self, files: dict[str, str], message: str) -> tuple[str, str]:
        """Commit `files` (path -> text) and push; the ids of the commit before ("" at first) and of this."""
        before = self.repository.resolve() or ""
        for path, text in files.items():
            file = self._directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._git("add", ".")
        self._git("commit", "--quiet", "-m", message)
        self._git("push", "--quiet", "origin", "main")
        return before, self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str, cwd: Path | None = None) -> str:
        nobody = ("-c", "user.name=Demo", "-c", "user.email=demo@localhost")
        done = subprocess.run(
            ["git", *nobody, *arguments],
            cwd=cwd or self._directory,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._directory.parent),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()


@contextmanager
def _mooring_up(stage: Stage, state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`mooring up` as a process of its own, as an operator starts it."""
    settings = stage.home.settings
    env = {
        **processes.engine_environment(os.environ, settings),
        secret_variable("github"): stage.secret,
    }
    env |= {"MOORING_LOG_FORMAT": "human", "MOORING_METRICS_ADDRESS": ""}
    env.pop("MOORING_REDIS_URL", None)
    port = stage.web.rpartition(":")[2]
    alone = ("--flower-port", "0", "--metrics-port", "0")  # their ports may be somebody's
    with stage.log.open("wb") as log:
        up = children.start(
            [*processes.MOORING, "up", "--port", port, "--drain", "5", *alone], env, stdout=log, stderr=log
        )
    try:
        yield up
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _line("", "ending …")
        children.end(up, patience_s=10)


def _await_ready(stage: Stage, up: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        with suppress(OSError):
            return bool(_get(f"{stage.web}/readyz"))
        return False

    started = time.monotonic()
    _until(ready, "the web tier answers", stage, up)
    _line("web", f"answers after {duration((time.monotonic() - started) * 1000)}")


def _await_synced(stage: Stage, up: subprocess.Popen[bytes]) -> None:
    """Print each change of the Applications' status until both are Synced and Healthy."""
    shown: dict[str, str] = {}
    settled: set[str] = set()
    started = time.monotonic()

    def synced() -> bool:
        for name in APPS:
            app = stage.home.applications.get(AppKey(stage.home.settings.namespace, name))
            text = _status(app)
            if text != shown.get(name, ""):
                _line(name, f"{text}  {duration((time.monotonic() - started) * 1000)}")
                shown[name] = text
            if text == "Synced, Healthy":
                settled.add(name)
        return settled >= set(APPS)

    _until(synced, "both Applications are Synced and Healthy", stage, up)


def _status(app: Application | None) -> str:
    if app is None or app.status.sync is None:
        return ""
    conditions = [f"{condition.type}: {condition.message}" for condition in app.status.conditions]
    words = [app.status.sync.status, app.status.health.status or "Unknown", *conditions]
    return ", ".join(words)


# --- the push -------------------------------------------------------------------------------------


def _show_push(stage: Stage, work: Work, up: subprocess.Popen[bytes]) -> None:
    greeting = f"{_AFTER} {secrets.token_hex(3)}"
    _line("commit", f"shop/greeting.json: text = {greeting!r}")
    started = time.monotonic()
    before, after = work.push(
        {f"shop/{name}": text for name, text in _manifests("shop", greeting).items()}, "Greet anew"
    )
    _took("pushed", started, f"{after[:12]} over HTTP")
    sent = time.monotonic()
    id = _deliver(stage, work.repository, before, after)
    _took("delivered", sent, f"signed GitHub webhook, answered 202; delivery {id}")

    shown = 0
    landed_ms = 0.0

    def finished() -> bool:
        nonlocal shown, landed_ms
        if not landed_ms and _greeting(stage) == greeting:
            landed_ms = (time.monotonic() - sent) * 1000
            _stage("live", landed_ms, "the object in the cluster carries the new value")
        delivery = json.loads(_get(f"{stage.web}/api/v1/deliveries/{id}"))
        for each in delivery["stages"][shown:]:
            _stage(each["name"], each["took_ms"], " ".join((_app(each["app"]), each["note"])).strip())
        shown = len(delivery["stages"])
        if delivery["state"] == "failed":
            raise Refused(f"the push did not land: {delivery['outcome']}; the log is {stage.log}")
        return bool(landed_ms and delivery["state"] == "succeeded")

    _until(finished, "the push has landed", stage, up, every_s=0.01)
    _line(
        "", click.style(f"from the webhook to the live object: {duration(landed_ms)}", bold=True, fg="green")
    )


def _deliver(stage: Stage, repository: Repository, before: str, after: str) -> str:
    """POST the push as GitHub does; the id of the delivery."""
    body = json.dumps(
        {
            "ref": "refs/heads/main",
            "before": before,
            "after": after,
            "deleted": False,
            "repository": {
                "full_name": "demo",
                "clone_url": repository.url,
                "html_url": repository.url.removesuffix(".git"),
                "default_branch": "main",
            },
            "sender": {"login": "demo"},
        }
    ).encode()
    signature = hmac.new(stage.secret.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(  # noqa: S310 - our own http URL
        f"{stage.web}/webhooks/github",
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={signature}",
        },
    )
    answer = json.loads(_open(request))
    return str(answer["id"])


def _greeting(stage: Stage) -> str:
    live = stage.home.api.get(_CONFIG_MAP, stage.names["shop"], "greeting")
    return str(((live.body or {}).get("data") or {}).get("text", "")) if live else ""


def _app(key: str) -> str:
    return AppKey.parse(key).name if key else ""


# --- staying, ending ------------------------------------------------------------------------------


def _stay(stage: Stage, repository: Repository, up: subprocess.Popen[bytes]) -> None:
    settings = stage.home.settings
    variables = {
        "KUBECONFIG": settings.kubeconfig or os.environ.get("KUBECONFIG", ""),
        "MOORING_CONTEXT": settings.context,
        "MOORING_NAMESPACE": settings.namespace,
        "MOORING_STATE_DIR": settings.state_dir,
    }
    command = shutil.which("mooring") or str(Path(sys.executable).with_name("mooring"))
    with suppress(KeyboardInterrupt):  # begins before the last line is shown: it may come at once
        _line("status page", f"{stage.web}/")
        _line("repository", repository.url)
        _line("try", "export " + " ".join(f"{name}={value}" for name, value in variables.items() if value))
        _line("", f"{command} app get shop")
        _line("", f"{command} delivery list")
        _line("", "Ctrl-C ends everything.")
        up.wait()
        raise Refused(f"mooring up has ended; the last lines of its log:\n{_tail(stage.log)}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ending is under way


def _delete_namespaces(home: Home, names: list[str]) -> None:
    _line("", f"deleting the namespaces {', '.join(names)}")
    for name in names:
        live = home.api.get(NAMESPACE, "", name, metadata_only=True)
        if live is not None:
            home.api.delete(NAMESPACE, live, "background")


def _quietly(do: Callable[[], Any]) -> None:
    """Ending goes on when one part of it fails, and says which."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        do()
    except MooringError as error:
        click.secho(f"mooring: {error}", fg="red", err=True)


def _until(
    done: Callable[[], bool], what: str, stage: Stage, up: subprocess.Popen[bytes], every_s: float = 0.1
) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not done():
        if up.poll() is not None:
            raise Refused(f"mooring up has ended; the last lines of its log:\n{_tail(stage.log)}")
        if time.monotonic() > deadline:
            raise TimedOut(f"after {_WITHIN_S:.0f} s still not so: {what}; its log ends:\n{_tail(stage.log)}")
        time.sleep(every_s)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def _get(url: str) -> bytes:
    return _open(urllib.request.Request(url))  # noqa: S310 - our own http URL


def _open(request: urllib.request.Request) -> bytes:
    """The answer's body. Loopback is never asked by way of a proxy. Raises OSError, Refused on 4xx."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise
        raise Refused(f"{request.full_url} answered {error.code}: {error.read().decode()[:300]}") from error


def _free_port() -> int:
    for port in (8080, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Refused("no port of 127.0.0.1 is free: give --port")


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _line(name: str, text: str) -> None:
    click.echo(f"  {name:<12} {text}")


def _stage(name: str, took_ms: float, note: str) -> None:
    click.echo(f"  {name:<12} {click.style(f'{duration(took_ms):>9}', fg='cyan')}  {note}")


def _took(name: str, since: float, note: str) -> None:
    _stage(name, (time.monotonic() - since) * 1000, note)
