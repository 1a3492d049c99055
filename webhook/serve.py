"""Serving the web tier with gunicorn, from code, so that there is one place for its settings.

Threads, because a request mostly waits for Redis, and kept-alive connections cost a thread nothing
between requests. benchmarks/README.md has the figures that this was chosen by.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from mooring.settings_web import WebSettings
from webhook.app import create_app
from webhook.patience import PatientWorker

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


def run(settings: WebSettings, host: str, port: int, workers: int) -> None:
    """Serve on `host:port` with `workers` processes until SIGTERM, then end what is in flight and exit.

    Never returns: it ends the process with SystemExit, as gunicorn does.
    """
    # Made before the fork: started once, and its memory shared.
    app = create_app(settings)
    # What is here now stays: looking through it for garbage again and again would hold up answers.
    gc.collect()
    gc.freeze()
    serve(app, settings, host, port, workers)


def serve(app: WSGIApplication, settings: WebSettings, host: str, port: int, workers: int) -> None:
    """Serve any application as `run` serves ours."""
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
            "loglevel": "warning",
        },
    ).run()
