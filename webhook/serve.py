"""Serving the web tier with gunicorn, from code, so that there is one place for its settings.

Threads, because a request mostly waits for Redis, and kept-alive connections cost a thread nothing
between requests. benchmarks/README.md has the figures that this was chosen by.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from mooring import exporter, logs
from mooring.garbage import settle
from mooring.heaps import frugal
from mooring.settings_web import WebSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: WSGIApplication, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._app


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's own lines among all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


def run(settings: WebSettings, host: str, port: int, workers: int) -> None:
    """Serve on `host:port` with `workers` processes until SIGTERM, then end what is in flight and exit.

    Never returns: it ends the process with SystemExit, as gunicorn does. Raises Refused when nobody can
    listen on the address for metrics.
    """
    frugal()
    logs.configure(settings.log_format, "web")
    with contextlib.ExitStack() as ends:
        options: dict[str, Any] = {}
        if settings.metrics_address:
            directory = ends.enter_context(exporter.shared_directory())
            exporter.count_in(directory)
            options = _exporting(exporter.address(settings.metrics_address), directory)
        # Only now: what counts is defined when this is imported.
        from webhook.app import create_app

        # Made before the fork: started once, and its memory shared.
        app = create_app(settings)
        settle()
        serve(app, settings, host, port, workers, **options)


def _exporting(where: tuple[str, int], directory: Path) -> dict[str, Any]:
    """Listens in the process that has the others; gunicorn's options that keep it there."""
    group = exporter.Group(directory, {"web": exporter.STUCK_AFTER_S})
    server = exporter.serve(where, group.registry, group.unwell)
    # Who serves the network has no business with that socket.
    return {"post_fork": lambda arbiter, worker: server.socket.close()}


def serve(
    app: WSGIApplication, settings: WebSettings, host: str, port: int, workers: int, **options: Any
) -> None:
    """Serve any application as `run` serves ours."""
    from webhook.patience import PatientWorker

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _Server(
        app,
        {
            "bind": address,
            "workers": workers,
            "worker_class": PatientWorker,
            # A few more than may receive, to answer probes and to say 503 to the rest.
            "threads": settings.max_in_flight + 4,
            "worker_connections": 1000,
            "keepalive": 75,
            "timeout": 30,
            "graceful_timeout": 20,
            "proc_name": "mooring-web",
            # A socket in $HOME by which gunicorn could be told to do other things: nobody shall.
            "control_socket_disable": True,
            "loglevel": "warning",
            "logger_class": _Logger,
            **options,
        },
    ).run()
