"""`mooring up`, and its parts alone: `worker`, `beat`, `observe`, `flower`. The web tier starts itself."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from cli import embedded, processes, supervise
from cli.children import apart
from cli.home import connect, home_options, redis_url
from mooring.errors import Refused, StoreUnavailable
from mooring.settings import Settings
from mooring.settings_flower import PASSWORD, PASSWORD_FILE, USER, read_password
from mooring.settings_web import HOSTS, SECRETS_DIR, WebSettings, secret_variable

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_port = click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port.")
_drain = click.option(
    "--drain",
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long what is being worked on may take when it is all to end.",
)


_FLOWER_PORT = 5555
_METRICS_PORT = 9090


@click.command()
@home_options
@click.option("--apps", "apps_dir", metavar="DIR", help="Read Applications from YAML files here.")
@_host
@_port
@click.option(
    "--web-processes",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="How many processes receive pushes.",
)
@click.option(
    "--flower-port",
    type=click.IntRange(0, 65535),
    show_default=str(_FLOWER_PORT),
    help="Port of Flower, on loopback; 0: without Flower.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    show_default=str(_METRICS_PORT),
    help="Port of /metrics and /healthz of them all, on loopback; 0 for none.",
)
@_drain
def up(
    settings: Settings,
    apps_dir: str | None,
    host: str,
    port: int,
    web_processes: int,
    flower_port: int | None,
    metrics_port: int | None,
    drain: float,
) -> None:
    """Run web, workers, beat, observer and Flower as one group in the foreground.

    Redis is embedded unless MOORING_REDIS_URL or MOORING_REDIS_URL_FILE is set. Whoever dies is started
    again; SIGTERM and Ctrl-C let them finish what they are doing. All settings are in docs/settings.md.
    """
    if apps_dir:
        settings = replace(settings, apps_dir=str(Path(apps_dir).absolute()))
    web_settings = WebSettings.from_env(os.environ)
    settings.state_directory()
    server = apart(lambda: _check_cluster(settings))
    _check_port(host, port)
    flower_port, without = _flower_port(flower_port)
    given = any(os.environ.get(name) for name in (PASSWORD, PASSWORD_FILE))
    password = read_password(os.environ) if given else secrets.token_urlsafe(18)
    settings, as_json = _logging(settings)
    with ExitStack() as ends:
        redis = "the one that is set" if settings.redis_url else "embedded"
        urls = ends.enter_context(_redis(settings))
        settings = replace(settings, redis_url=urls.engine)
        counts, measured = ends.enter_context(_measured(settings, metrics_port))
        settings = replace(settings, metrics_address="")
        if flower_port:
            known = f"password as {PASSWORD} has it" if given else f"password {password}"
            watched = f"http://127.0.0.1:{flower_port}/   user {USER}, {known}"
        else:
            watched = without
        _tell(settings, web_settings, server, host, port, redis, watched, measured, err=as_json)
        children = (
            processes.web(
                os.environ, urls.web, host, port, web_processes, log_format=settings.log_format, counts=counts
            ),
            *processes.workers(os.environ, settings, counts),
            processes.beat(os.environ, settings, counts),
            processes.observer(os.environ, settings, counts),
        )
        if flower_port:
            children += (processes.flower(os.environ, settings, password, "127.0.0.1", flower_port),)
        supervise.run(children, drain_s=drain, as_json=as_json)


@click.command()
@home_options
@_drain
def worker(settings: Settings, drain: float) -> None:
    """Run the four pools of workers: intake, deploy, slow and reconcile. Needs a Redis."""
    settings = replace(settings, redis_url=redis_url(settings))
    settings.state_directory()  # refused once and here, not by each pool again and again
    apart(lambda: _check_cluster(settings))
    settings, as_json = _logging(settings)
    with ExitStack() as ends:
        counts = None
        if settings.metrics_address:
            counts = ends.enter_context(_metrics(settings.metrics_address, processes.POOLS))
        children = processes.workers(os.environ, replace(settings, metrics_address=""), counts)
        supervise.run(children, drain_s=drain, as_json=as_json)


@click.command()
@home_options
def beat(settings: Settings) -> None:
    """Run beat, which asks for what is due. Any number may run, one at a time asks."""
    child = processes.beat(os.environ, replace(settings, redis_url=redis_url(settings)))
    os.execve(child.argv[0], list(child.argv), dict(child.env))  # noqa: S606 - our own interpreter


@click.command()
@home_options
def observe(settings: Settings) -> None:
    """Run the observer, which wakes what waits as soon as it can go on.

    Any number may run, one at a time acts. Without it everything goes on as well, when its time has come.
    """
    child = processes.observer(os.environ, replace(settings, redis_url=redis_url(settings)))
    os.execve(child.argv[0], list(child.argv), dict(child.env))  # noqa: S606 - our own interpreter


@click.command()
@_host
@click.option("--port", default=_FLOWER_PORT, show_default=True, type=click.IntRange(1, 65535), help="Port.")
def flower(host: str, port: int) -> None:
    """Run Flower, which shows the tasks, sends them and ends workers. Its user is `mooring`.

    Needs a Redis, and MOORING_FLOWER_PASSWORD or MOORING_FLOWER_PASSWORD_FILE.
    """
    password = read_password(os.environ)
    _check_port(host, port)
    settings = Settings.from_env(os.environ)
    settings = replace(settings, redis_url=redis_url(settings))
    child = processes.flower(os.environ, settings, password, host, port)
    os.execve(child.argv[0], list(child.argv), dict(child.env))  # noqa: S606 - our own interpreter


def _logging(settings: Settings) -> tuple[Settings, bool]:
    """The settings for children, whose logs are written by us; whether as JSON."""
    from mooring import logs

    as_json = logs.wants_json(settings.log_format, sys.stdout)
    return replace(settings, log_format=logs.JSON if as_json else logs.HUMAN), as_json


@contextmanager
def _measured(settings: Settings, port: int | None) -> Iterator[tuple[Path | None, str]]:
    """Metrics of the whole group: where its processes count (None: nowhere), and what to say of it.

    The usual port may be somebody else's; one that was asked for is insisted on: Refused.
    """
    usual = port is None and not settings.metrics_address
    where = settings.metrics_address if port is None else ""
    where = where or f"127.0.0.1:{_METRICS_PORT if port is None else port}"
    counts, told = None, "off"
    with ExitStack() as ends:
        if port != 0:
            try:
                names = ("web", *processes.POOLS, "beat", "observer")
                counts = ends.enter_context(_metrics(where, names, settings.redis_url))
                told = f"http://{where}/metrics, and /healthz of all processes"
            except Refused as error:
                if settings.metrics_address and port is None:  # the setting is what is wrong
                    raise
                message = f"{error}; choose another with --metrics-port"
                if not usual:
                    raise Refused(message) from error
                told = click.style(f"none: {message}", fg="yellow")
        yield counts, told


@contextmanager
def _metrics(where: str, names: Sequence[str], redis_url: str = "") -> Iterator[Path]:
    """Answers `/metrics` and `/healthz` for the processes of these names, which count in the directory given.

    With `redis_url`, queues and applications are told too; else whoever holds beat's lease tells them.
    Raises Refused when nobody can listen there.
    """
    from mooring import exporter

    held_up = dict.fromkeys(("intake", "observer"), exporter.WORKS_IN_ITS_LOOP_S)
    with exporter.shared_directory() as directory:
        patience = {name: held_up.get(name, exporter.STUCK_AFTER_S) for name in names}
        group = exporter.Group(directory, patience)
        if redis_url:
            from mooring.store.connection import connect as connect_redis
            from workers.gauges import Installation

            group.registry.register(Installation(connect_redis(redis_url)))
        server = exporter.serve(exporter.address(where), group.registry, group.unwell)
        try:
            yield directory
        finally:
            server.shutdown()
            server.server_close()


@contextmanager
def _redis(settings: Settings) -> Iterator[embedded.Urls]:
    if not settings.redis_url:
        with embedded.running(settings.state_directory()) as urls:
            yield urls
        return
    from mooring.store.connection import connect as connect_redis

    try:
        connect_redis(settings.redis_url).ping()
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{error}: is MOORING_REDIS_URL (or its file) right? Unset it to use an embedded Redis"
        ) from error
    yield embedded.Urls(settings.redis_url, settings.redis_url)


def _check_cluster(settings: Settings) -> str:
    """The URL of the home cluster, which has what we need. Raises what is wrong with it."""
    from cli.crds import NAMESPACE

    home = connect(settings)
    if not settings.apps_dir and home.api.discovery.find("argoproj.io/v1alpha1", "Application") is None:
        raise Refused(
            f"{home.server} has no kind Application: run `mooring crds install`, or give --apps DIR"
        )
    if not settings.apps_dir and home.api.get(NAMESPACE, "", settings.namespace, True) is None:
        raise Refused(f"{home.server} has no namespace {settings.namespace}: run `mooring crds install`")
    if settings.apps_dir:
        home.api.ensure_namespace(settings.namespace)
    return home.server


def _flower_port(wanted: int | None) -> tuple[int, str]:
    """The port of Flower, and if that is 0, why. Raises Refused when the port that was asked for is taken."""
    if wanted == 0:
        return 0, "off"
    try:
        _check_port("127.0.0.1", wanted or _FLOWER_PORT, "--flower-port")
    except Refused as error:
        if wanted:
            raise
        return 0, click.style(f"off: {error}", fg="yellow")
    return wanted or _FLOWER_PORT, ""


def _check_port(host: str, port: int, option: str = "--port") -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Refused(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with {option}"
        ) from error


def _tell(
    settings: Settings,
    web_settings: WebSettings,
    server: str,
    host: str,
    port: int,
    redis: str,
    flower: str,
    metrics: str,
    *,
    err: bool,
) -> None:
    where = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    base = f"http://{where}:{port}"
    ready = [name for name in HOSTS if web_settings.secrets.get(name) or name in web_settings.allow_unsigned]
    missing = [name for name in HOSTS if name not in ready]
    held = f"files in {settings.apps_dir}" if settings.apps_dir else f"namespace {settings.namespace}"
    lines = [
        ("status page", f"{base}/"),
        ("webhooks", f"{base}/webhooks/<host>   e.g. {base}/webhooks/{(ready or HOSTS)[0]}"),
        ("cluster", f"{server}, Applications in {held}"),
        ("redis", redis),
        ("flower", flower),
        ("metrics", metrics),
        ("accepting", ", ".join(ready) if ready else click.style("no pushes: no secret is set", fg="yellow")),
    ]
    for name, text in lines:
        click.echo(f"{click.style(name.ljust(12), bold=True)} {text}", err=err)
    if missing:
        example = secret_variable(missing[0])
        click.echo(
            f"{'':12} pushes of {', '.join(missing)} are refused until their secret is set:\n"
            f"{'':12} e.g. {example}, or a file `{missing[0]}` in {SECRETS_DIR}",
            err=err,
        )
