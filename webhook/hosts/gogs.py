"""Gogs. https://gogs.io/docs/features/webhook"""

from __future__ import annotations

from mooring.delivery import Event
from webhook.hosts import gitea, payload
from webhook.hosts.payload import Headers

NAME = "gogs"
PROOF: tuple[str, ...] = ("X-Gogs-Signature",)


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-Gogs-Event") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. The digest stands alone in the header, without naming its algorithm."""
    return payload.signed(body, headers.get("X-Gogs-Signature") or "", secrets)


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. Gitea began as Gogs, and the payload is still the same."""
    name = payload.header(headers, "X-Gogs-Event")
    return gitea.read(NAME, name, headers.get("X-Gogs-Delivery"), headers, body)
