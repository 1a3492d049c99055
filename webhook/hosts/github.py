"""GitHub. https://docs.github.com/webhooks/webhook-events-and-payloads"""

from __future__ import annotations

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers

NAME = "github"
PROOF: tuple[str, ...] = ("X-Hub-Signature-256",)


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-GitHub-Event") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
    scheme, _, digest = (headers.get("X-Hub-Signature-256") or "").partition("=")
    return scheme == "sha256" and payload.signed(body, digest, secrets)


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. GitHub tells a deleted ref by a push too, so `create` and `delete` need no reading."""
    name = payload.header(headers, "X-GitHub-Event")
    # Stays the same when somebody presses "Redeliver".
    delivery = payload.delivery(headers.get("X-GitHub-Delivery"), body)
    data = payload.read(headers, body)
    changes: tuple[RefChange, ...] = ()
    match name:
        case "ping":
            kind = EventKind.PING
        case "push":
            change = payload.change(
                payload.text(data, "ref"), payload.text(data, "after"), payload.text(data, "before")
            )
            changes = (change,)
            kind = payload.kind(changes)
        case "pull_request":
            kind = EventKind.PULL_REQUEST
        case _:
            kind = EventKind.IGNORED

    repository = payload.mapping(data, "repository")
    return payload.event(
        NAME,
        kind,
        name,
        delivery,
        repo_urls=[
            payload.text(repository, spelling)
            for spelling in ("clone_url", "ssh_url", "html_url", "git_url", "svn_url")
        ],
        changes=changes,
        default_branch=payload.text(repository, "default_branch"),
        sender=payload.text(data, "sender", "login"),
    )
