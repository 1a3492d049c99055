"""The bare loop beside benchmarks/intake.py: verify, one XADD, answer, under the same server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Any, cast

import redis

from benchmarks.intake_load import SECRET

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def bare(redis_url: str) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """A WSGI application that does nothing that could be left out."""
    client = redis.Redis.from_url(redis_url)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST":
            start_response("200 OK", [("Content-Length", "0")])
            return []
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, environ["HTTP_X_HUB_SIGNATURE_256"]):
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        id = cast(bytes, client.xadd("bare", {"delivery": environ["HTTP_X_GITHUB_DELIVERY"]}))
        answer = b'{"id":"' + id + b'"}'
        start_response("202 Accepted", [("Content-Length", str(len(answer)))])
        return [answer]

    return app
