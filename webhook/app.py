"""The web tier's routes. Each answers from Redis, and none knows of Git or a cluster."""

from __future__ import annotations

import logging
from http import HTTPStatus

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mooring.errors import StoreGarbled, StoreUnavailable
from mooring.keys import AppKey
from mooring.settings_web import WebSettings
from mooring.store.clock import Clock
from mooring.store.connection import connect
from mooring.store.connections import Connections
from mooring.store.connections import as_json as connection_json
from mooring.store.drifts import Drifts, as_json
from mooring.store.ledger import Ledger
from mooring.store.trees import FRESH_S, Trees
from mooring.store.views import Views
from webhook import problem
from webhook.problem import Problem
from webhook.receive import Receiver
from webhook.status import delivery_json, render

_log = logging.getLogger(__name__)


def create_app(settings: WebSettings) -> Flask:
    """The application for any WSGI server. Connects to Redis on first use, so it may be forked after."""
    app = Flask(__name__, static_folder=None)
    # Else `//webhooks` is answered with a redirect to wherever the request's Host header says.
    app.url_map.merge_slashes = False
    client = connect(settings.redis_url)
    clock = Clock(client)
    ledger = Ledger(client, max_unfinished=settings.max_unfinished)
    receiver = Receiver(settings, ledger)

    @app.post("/webhooks")
    @app.post("/api/webhook")  # where hooks made for Argo CD are sent
    def receive_from_any() -> Response:
        return receiver.receive(request, None)

    @app.post("/webhooks/<host>")
    def receive_from(host: str) -> Response:
        return receiver.receive(request, host)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        client.ping()
        return Response("ok\n", mimetype="text/plain")

    @app.get("/")
    def status() -> Response:
        return render(Views(client).apps(), ledger.recent(25))

    @app.get("/api/v1/deliveries/<id>")
    def delivery(id: str) -> Response:
        found = ledger.get(id)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no delivery of that id is kept")
        return Response(orjson.dumps(delivery_json(found)), mimetype="application/json")

    @app.get("/api/v1/applications/<namespace>/<name>/drifts")
    def drifts(namespace: str, name: str) -> Response:
        found = Drifts(client).shown(AppKey(namespace, name))
        told = [as_json(one, values=False) for one in found]
        return Response(orjson.dumps(told), mimetype="application/json")

    @app.get("/api/v1/applications/<namespace>/<name>/orphans")
    def orphans(namespace: str, name: str) -> Response:
        found = Views(client).orphans(AppKey(namespace, name))
        if found is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "no orphaned resources were counted for an application of that name: its project has to ask "
                "for it (spec.orphanedResources), and a full reconciliation to have looked",
            )
        return Response(orjson.dumps(found.as_json()), mimetype="application/json")

    @app.get("/api/v1/applications/<namespace>/<name>/tree")
    def tree(namespace: str, name: str) -> Response:
        key, trees = AppKey(namespace, name), Trees(client)
        seen = trees.shown(key)
        if seen is None and not Views(client).has(key):
            raise Problem(HTTPStatus.NOT_FOUND, "there is no application of that name")
        if seen is not None and clock() < seen["seenAt"] + FRESH_S:
            return Response(orjson.dumps(seen), mimetype="application/json")
        asked = trees.ask(key)
        if seen is not None:
            return Response(orjson.dumps(seen), mimetype="application/json")
        if not asked:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many trees are asked for", retry_after_s=5)
        return Response(b"{}", HTTPStatus.ACCEPTED, {"Retry-After": "1"}, mimetype="application/json")

    @app.get("/api/v1/clusters")
    def clusters() -> Response:
        told = [connection_json(url, one) for url, one in Connections(client).shown().items()]
        return Response(orjson.dumps(told), mimetype="application/json")

    @app.errorhandler(Problem)
    def refused(error: Problem) -> Response:
        return problem.response(error)

    @app.errorhandler(StoreUnavailable)
    def unavailable(error: StoreUnavailable) -> Response:
        _log.warning("%s", error)
        return problem.response(
            Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Redis does not answer", retry_after_s=5)
        )

    @app.errorhandler(StoreGarbled)
    def garbled(error: StoreGarbled) -> Response:
        _log.error("%s", error)
        return problem.response(
            Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Redis holds what Mooring cannot read", retry_after_s=30)
        )

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        answer = problem.response(Problem(HTTPStatus(error.code or 500), error.description or error.name))
        answer.headers.extend(
            (name, value) for name, value in error.get_headers() if name in ("Allow", "Location")
        )
        return answer

    return app
