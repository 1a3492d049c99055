"""Bitbucket Cloud. https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/"""

from __future__ import annotations

from urllib.parse import urlsplit

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers, JsonObject

NAME = "bitbucket"
PROOF: tuple[str, ...] = ("X-Hub-Signature",)


def sent(headers: Headers) -> bool:
    """See `Host`. The server has the same event header, but only the cloud has hooks with a UUID."""
    return headers.get("X-Event-Key") is not None and headers.get("X-Hook-UUID") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks"""
    scheme, _, digest = (headers.get("X-Hub-Signature") or "").partition("=")
    return scheme == "sha256" and payload.signed(body, digest, secrets)


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. One push may move several refs, and the payload has a change for each."""
    name = payload.header(headers, "X-Event-Key")
    # The same in all three attempts that Bitbucket makes.
    delivery = payload.delivery(headers.get("X-Request-UUID"), body)
    data = payload.read(headers, body)
    changes: tuple[RefChange, ...] = ()
    if name == "repo:push":
        changes = tuple(map(_change, payload.objects(data, "push", "changes")))
        kind = payload.kind(changes)
    elif name.startswith("pullrequest:"):
        kind = EventKind.PULL_REQUEST
    else:
        kind = EventKind.IGNORED

    repository = payload.mapping(data, "repository")
    return payload.event(
        NAME,
        kind,
        name,
        delivery,
        repo_urls=_urls(repository),
        changes=changes,
        default_branch=payload.text(repository, "mainbranch", "name"),
        sender=payload.text(data, "actor", "nickname") or payload.text(data, "actor", "display_name"),
    )


def _change(data: JsonObject) -> RefChange:
    deleted = data.get("new") is None
    side = payload.mapping(data, "old" if deleted else "new")
    folder = "tags" if payload.text(side, "type") == "tag" else "heads"
    ref = f"refs/{folder}/{payload.text(side, 'name')}"
    before = payload.text(data, "old", "target", "hash")
    if deleted:
        return payload.deletion(ref, before)
    return payload.change(ref, payload.text(side, "target", "hash"), before)


def _urls(repository: JsonObject) -> list[str]:
    # The payload has no clone URL, but Bitbucket builds them from the page's.
    page = payload.text(repository, "links", "html", "href")
    try:
        address = urlsplit(page)
    except ValueError as error:
        raise payload.MalformedPayload("repository.links.html.href is not a URL") from error
    path = address.path.strip("/")
    if not address.netloc or not path:
        return [page]
    return [f"{page.rstrip('/')}.git", f"git@{address.netloc}:{path}.git", page]
