"""Flower on Mooring's Celery application: `python -m workers.flower HOST PORT`.

Flower asks for a password almost everywhere; here one gate stands before all of it. Nothing comes from
Flower's own variables, configuration file or command line: whoever may read processes' arguments would read
the password there, and FLOWER_UNAUTHENTICATED_API would undo it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import signal
import sys
from typing import Any

import tornado.httputil
import tornado.web
from celery import Celery
from flower.api.tasks import TaskApply
from flower.app import Flower
from flower.urls import settings as flower_settings
from tornado.options import options

from mooring import logs
from mooring.errors import MooringError
from mooring.settings import Settings
from mooring.settings_flower import USER, read_password
from mooring.store.connection import connect

# What the list of tasks shows. What a task is about comes first; a result there is none.
_COLUMNS = "name,args,kwargs,state,received,runtime,uuid,worker"
_MAX_TASKS = 10_000
_FORGET_WORKERS_S = 600  # pods have a new name each time


class Login(tornado.web.RequestHandler):
    """Says to everybody that a password is needed."""

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here that could be forged."""

    def prepare(self) -> None:
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="Flower of Mooring"')
        self.finish(f"user {USER} and its password, please\n")


class Apply(TaskApply):  # type: ignore[misc]
    """`task/apply`, which waits for a result: there is none, so it answers as `task/async-apply` does."""

    def wait_results(self, result: Any, response: dict[str, Any], timeout: float | None = None) -> Any:
        return response


class Unframed(tornado.web.OutputTransform):
    """No page of somebody else's may show ours in a frame, and have its buttons clicked."""

    def transform_first_chunk(
        self, status_code: int, headers: tornado.httputil.HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, tornado.httputil.HTTPHeaders, bytes]:
        headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        return status_code, headers, chunk


class Guarded(Flower):  # type: ignore[misc]
    """Flower behind a password. `/healthcheck` alone, which says nothing but OK, is for everybody."""

    def __init__(self, capp: Celery, password: str) -> None:
        self._credentials = f"{USER}:{password}".encode()
        super().__init__(capp=capp, options=options, transforms=[Unframed], **flower_settings)
        self.add_handlers(r".*", [(r"/api/task/apply/(.+)", Apply)])

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **more: Any) -> Any:
        given = request.headers.get("Authorization", "")
        if request.path == "/healthcheck" or hmac.compare_digest(_credentials(given), self._credentials):
            return super().find_handler(request, **more)
        return self.get_handler_delegate(request, Login)


def _credentials(header: str) -> bytes:
    """What a client says who it is. https://www.rfc-editor.org/rfc/rfc7617#section-2"""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (ValueError, binascii.Error):
        return b""


def main(host: str, port: int) -> None:
    """Serve until SIGTERM. Exits with 1 and one line when it cannot start."""
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings.log_format, "flower")
        logging.getLogger("tornado.access").setLevel(logging.WARNING)
        # It asks workers that are still starting, and says of each question that nobody answered.
        logging.getLogger("flower.inspector").setLevel(logging.ERROR)
        password = read_password(os.environ)
        connect(settings.redis_url)  # is it a URL? Flower itself waits for Redis
    except MooringError as error:
        sys.exit(f"mooring flower: {error}")
    from workers.app import app  # it reads the environment

    options.address, options.port = host, port
    options.basic_auth = [f"{USER}:{password}"]  # its API wants one to be set
    options.tasks_columns = _COLUMNS
    options.max_tasks = _MAX_TASKS
    options.purge_offline_workers = _FORGET_WORKERS_S
    flower = Guarded(app, password)
    try:
        flower.start_http_server()
    except OSError as error:
        sys.exit(f"mooring flower: cannot listen on {host} port {port}: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.getLogger("mooring").info("Flower listens on %s port %d", host, port)
    try:
        flower.start()
    except KeyboardInterrupt:
        pass
    finally:
        flower.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdecimal():
        sys.exit("usage: python -m workers.flower HOST PORT")
    main(sys.argv[1], int(sys.argv[2]))
