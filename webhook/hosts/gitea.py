"""Gitea and Forgejo, which keeps Gitea's headers. https://docs.gitea.com/usage/repository/webhooks"""

from __future__ import annotations

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers

NAME = "gitea"
PROOF: tuple[str, ...] = ("X-Gitea-Signature", "X-Forgejo-Signature")


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-Gitea-Event") is not None or headers.get("X-Forgejo-Event") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. The digest stands alone in the header, without naming its algorithm."""
    digest = headers.get("X-Gitea-Signature") or headers.get("X-Forgejo-Signature") or ""
    return payload.signed(body, digest, secrets)


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`."""
    prefix = "X-Gitea" if headers.get("X-Gitea-Event") is not None else "X-Forgejo"
    name = payload.header(headers, f"{prefix}-Event")
    return read(NAME, name, headers.get(f"{prefix}-Delivery"), headers, body)


def read(host: str, name: str, delivery_id: str | None, headers: Headers, body: bytes) -> Event:
    """The payload, which is the same from Gitea, Forgejo and Gogs.

    A branch that was deleted is told by `delete`, with the short name of the ref and without commits.
    """
    delivery = payload.delivery(delivery_id, body)
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
        case "delete":
            folder = "tags" if payload.text(data, "ref_type") == "tag" else "heads"
            ref = payload.text(data, "ref").removeprefix(f"refs/{folder}/")
            change = payload.deletion(f"refs/{folder}/{ref}", "")
            changes = (change,)
            kind = payload.kind(changes)
        case "pull_request":
            kind = EventKind.PULL_REQUEST
        case _:
            kind = EventKind.IGNORED

    repository = payload.mapping(data, "repository")
    return payload.event(
        host,
        kind,
        name,
        delivery,
        repo_urls=[payload.text(repository, spelling) for spelling in ("clone_url", "ssh_url", "html_url")],
        changes=changes,
        default_branch=payload.text(repository, "default_branch"),
        sender=payload.text(data, "sender", "login") or payload.text(data, "sender", "username"),
    )
