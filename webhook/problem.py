"""Errors as a client can read them: one line of JSON. https://www.rfc-editor.org/rfc/rfc9457"""

from __future__ import annotations

from http import HTTPStatus

import orjson
from flask import Response

from webhook.metrics import Result


class Problem(Exception):
    """Ends a request with `status` and one line saying what is wrong and what to do about it.

    `result` is what a delivery that ends so counts as.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        retry_after_s: int | None = None,
        result: Result | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.result = result
        self.retry_after_s = retry_after_s


def response(problem: Problem) -> Response:
    """The answer that says `problem`."""
    body = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": str(problem),
    }
    answer = Response(orjson.dumps(body), problem.status, mimetype="application/problem+json")
    if problem.retry_after_s is not None:
        answer.headers["Retry-After"] = str(problem.retry_after_s)
    return answer
