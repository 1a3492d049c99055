"""Receiving a delivery: limit, verify, parse, write it down with its task, answer. Nothing waits for Git."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from http import HTTPStatus

import limits
import orjson
from flask import Request, Response
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from mooring.delivery import Event, EventKind
from mooring.errors import StoreUnavailable
from mooring.metrics import STAGE
from mooring.repourl import ends_with, normalise
from mooring.settings_web import SECRETS_DIR, Secret, WebSettings, secret_variable
from mooring.store.ledger import Duplicate, Full, Ledger
from webhook import hosts
from webhook.address import client_address
from webhook.hosts import Host
from webhook.hosts.payload import MalformedPayload
from webhook.metrics import DELIVERIES, IN_FLIGHT, Result
from webhook.problem import Problem
from webhook.queue import task_message

_log = logging.getLogger(__name__)


class Receiver:
    """What happens to a `POST /webhooks/…`. One for all threads of a process."""

    def __init__(self, settings: WebSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._task = task_message()
        self._places = threading.BoundedSemaphore(settings.max_in_flight)
        # Per process, in memory: a forger is slowed down just as well, and Redis hears nothing of it.
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        self._allowed_failures = limits.RateLimitItemPerMinute(settings.max_failures_per_minute)

    def receive(self, request: Request, host_name: str | None) -> Response:
        """Answer a delivery from the host of that name, or from the one its headers tell.

        202 with our id means that it is in the ledger. Raises Problem for everything that is not.
        """
        now, host, result = time.time(), "unknown", Result.UNAVAILABLE
        try:
            found = _host(request, host_name)
            host = found.NAME
            answer, result = self._placed(request, now, found)
            return answer
        except Problem as problem:
            result = problem.result or result
            raise
        except HTTPException as error:
            result = Result.TOO_LARGE if isinstance(error, RequestEntityTooLarge) else Result.MALFORMED
            raise
        finally:
            DELIVERIES.labels(host, result.value).inc()

    def _placed(self, request: Request, now: float, host: Host) -> tuple[Response, Result]:
        if not self._places.acquire(blocking=False):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "as many deliveries are being received as MOORING_MAX_IN_FLIGHT allows: send it again",
                retry_after_s=1,
                result=Result.BUSY,
            )
        try:
            with IN_FLIGHT.track_inprogress():
                return self._receive(request, now, host)
        finally:
            self._places.release()

    def _receive(self, request: Request, now: float, host: Host) -> tuple[Response, Result]:
        secrets = self._settings.secrets.get(host.NAME, ())
        if not secrets and host.NAME not in self._settings.allow_unsigned:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"no webhook secret is set for {host.NAME}: set {secret_variable(host.NAME)}, or write it "
                f"into the file {host.NAME} in the directory {SECRETS_DIR}",
                result=Result.NO_SECRET,
            )
        body = _body(request, self._settings.max_body_bytes)
        try:
            event = _verified(host, request, body, secrets) if secrets else host.parse(request.headers, body)
        except MalformedPayload as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error), result=Result.MALFORMED) from error
        if event is None:
            raise self._forged(request, host)

        match event.kind:
            case EventKind.PING:
                return _answer(HTTPStatus.OK, message="pong"), Result.PING
            case EventKind.IGNORED:
                return _answer(HTTPStatus.ACCEPTED, message=f"ignored: {event.name}"), Result.IGNORED
        return self._keep(event, now)

    def _keep(self, event: Event, now: float) -> tuple[Response, Result]:
        try:
            kept = self._ledger.record(event, now, self._task)
        except StoreUnavailable as error:
            _log.warning("a delivery from %s was turned away: %s", event.host, error)
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Redis does not answer: send it again",
                retry_after_s=5,
                result=Result.UNAVAILABLE,
            ) from error
        match kept:
            case Full(unfinished):
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{unfinished} deliveries are unfinished, as many as MOORING_MAX_UNFINISHED allows: "
                    "see that workers are running, then send it again",
                    retry_after_s=30,
                    result=Result.FULL,
                )
            case Duplicate(id):
                return _answer(HTTPStatus.ACCEPTED, id=id, message="received before"), Result.DUPLICATE
        STAGE.labels("received").observe(max(time.time() - now, 0.0))
        return _answer(HTTPStatus.ACCEPTED, id=kept.id), Result.ACCEPTED

    def _forged(self, request: Request, host: Host) -> Problem:
        address = client_address(
            request.remote_addr or "",
            request.headers.get("X-Forwarded-For", ""),
            self._settings.trusted_proxies,
        )
        # Only answers to failures change: a host's good deliveries may come from the same address.
        if not self._failures.hit(self._allowed_failures, address):
            return Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many deliveries failed verification",
                retry_after_s=60,
                result=Result.UNVERIFIED,
            )
        _log.warning("a delivery from %s for %s failed verification", address, host.NAME)
        if any(request.headers.get(name) for name in host.PROOF):
            why = f"its signature fits none of the secrets that are set here for {host.NAME}"
        else:
            why = f"it carries no {' or '.join(host.PROOF)}: set a secret at {host.NAME}"
        return Problem(
            HTTPStatus.UNAUTHORIZED, f"the delivery does not verify: {why}", result=Result.UNVERIFIED
        )


def _host(request: Request, name: str | None) -> Host:
    if name is not None:
        if host := hosts.BY_NAME.get(name):
            return host
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"no such host here: the hosts are {', '.join(sorted(hosts.BY_NAME))}",
            result=Result.UNKNOWN_HOST,
        )
    if host := hosts.sender(request.headers):
        return host
    raise Problem(
        HTTPStatus.BAD_REQUEST,
        "the headers do not tell which host sent this: send it to /webhooks/<host>, one of "
        f"{', '.join(sorted(hosts.BY_NAME))}",
        result=Result.UNKNOWN_HOST,
    )


def _body(request: Request, limit: int) -> bytes:
    """The body, of which no more than `limit` bytes are ever read, whether its length is told or not."""
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    # One more than allowed: of a chunked body werkzeug reads this much and then says nothing.
    request.max_content_length = limit + 1
    # A client that stalls must not keep its place: hosts give up after 10 s themselves.
    if connection := request.environ.get("gunicorn.socket"):
        connection.settimeout(10)
    try:
        body = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # whatever the server raises when the client's framing is broken
        raise Problem(
            HTTPStatus.BAD_REQUEST, "the body could not be read to its end", result=Result.MALFORMED
        ) from error
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body


def _verified(host: Host, request: Request, body: bytes, secrets: tuple[Secret, ...]) -> Event | None:
    """The event, or None when no secret vouches for it.

    A repository's own secret vouches for nothing but that repository: other URLs that the payload names
    are dropped. To look for it, the payload is read before it is verified, and then only as many
    signatures are computed as that repository has secrets.
    """
    headers = request.headers
    if host.verify(headers, body, tuple(secret.value for secret in secrets if not secret.repository)):
        return host.parse(headers, body)

    bound = [secret for secret in secrets if secret.repository]
    if not bound:
        return None
    try:
        event = host.parse(headers, body)
    except MalformedPayload:
        return None
    named = set(map(normalise, event.repo_urls))
    for repository in dict.fromkeys(normalise(secret.repository) for secret in bound):
        if repository not in named and not ends_with(repository, event.repo_path):
            continue
        own = tuple(secret.value for secret in bound if normalise(secret.repository) == repository)
        if host.verify(headers, body, own):
            urls = tuple(url for url in event.repo_urls if normalise(url) == repository)
            return replace(event, repo_urls=urls or (repository,), repo_path="")
    return None


def _answer(status: HTTPStatus, **content: str) -> Response:
    return Response(orjson.dumps(content), status, mimetype="application/json")
