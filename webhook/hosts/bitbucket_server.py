"""Bitbucket Server and Data Center. https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html"""

from __future__ import annotations

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers, JsonObject

NAME = "bitbucket-server"
PROOF: tuple[str, ...] = ("X-Hub-Signature",)
_PING = "diagnostics:ping"


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-Event-Key") is not None and headers.get("X-Hook-UUID") is None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. "Test connection" sends a ping that is not signed, and it has no effect here."""
    signature = headers.get("X-Hub-Signature")
    if signature is None and headers.get("X-Event-Key") == _PING:
        return True
    scheme, _, digest = (signature or "").partition("=")
    return scheme == "sha256" and payload.signed(body, digest, secrets)


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. One push may move several refs, and the payload has a change for each."""
    name = payload.header(headers, "X-Event-Key")
    delivery = payload.delivery(headers.get("X-Request-Id"), body)
    data = payload.read(headers, body)
    changes: tuple[RefChange, ...] = ()
    repository = payload.mapping(data, "repository")
    if name == _PING:
        kind = EventKind.PING
    elif name == "repo:refs_changed":
        changes = tuple(map(_change, payload.objects(data, "changes")))
        kind = payload.kind(changes)
    elif name.startswith("pr:"):
        kind = EventKind.PULL_REQUEST
        repository = payload.mapping(data, "pullRequest", "toRef", "repository")
    else:
        kind = EventKind.IGNORED

    return payload.event(
        NAME,
        kind,
        name,
        delivery,
        repo_urls=_urls(repository),
        repo_path=_path(repository),
        changes=changes,
        sender=payload.text(data, "actor", "name"),
    )


def _change(data: JsonObject) -> RefChange:
    ref = payload.text(data, "ref", "id") or payload.text(data, "refId")
    return payload.change(ref, payload.text(data, "toHash"), payload.text(data, "fromHash"))


def _urls(repository: JsonObject) -> list[str]:
    links = payload.mapping(repository, "links")
    if links.get("clone") is not None:
        return [payload.text(link, "href") for link in payload.objects(links, "clone")]
    if links.get("self") is None:
        return []
    # Older servers name only the page: https://host/context/projects/KEY/repos/slug/browse
    page = payload.text(payload.objects(links, "self")[0], "href")
    base, found, _ = page.partition("/projects/")
    if not found:
        base, _, _ = page.partition("/users/")
    return [f"{base}/scm/{_path(repository)}.git"]


def _path(repository: JsonObject) -> str:
    # All there is to go by when a server sends no links, as many do, and Atlassian's own examples.
    return f"{payload.text(repository, 'project', 'key').lower()}/{payload.text(repository, 'slug')}"
