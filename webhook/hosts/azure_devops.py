"""Azure DevOps service hooks. https://learn.microsoft.com/azure/devops/service-hooks/events"""

from __future__ import annotations

import base64
import binascii

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers, JsonObject

NAME = "azure-devops"
PROOF: tuple[str, ...] = ("Authorization",)


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-VSS-ActivityId") is not None or headers.get("X-VSS-SubscriptionId") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. Service hooks sign nothing: a secret is the `user:password` of their basic auth."""
    scheme, _, credentials = (headers.get("Authorization") or "").partition(" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    return payload.one_of(given, secrets) and scheme.lower() == "basic"


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. The event's name is in the body; one push may move several refs."""
    data = payload.read(headers, body)
    name = payload.text(data, "eventType")
    if not name or len(name) > 200:
        raise payload.MalformedPayload("eventType is missing or not a name")
    delivery = payload.delivery(_notification(data), body)
    changes: tuple[RefChange, ...] = ()
    if name == "git.push":
        changes = tuple(map(_change, payload.objects(data, "resource", "refUpdates")))
        kind = payload.kind(changes)
        sender = payload.text(data, "resource", "pushedBy", "uniqueName")
    elif name.startswith("git.pullrequest."):
        kind = EventKind.PULL_REQUEST
        sender = payload.text(data, "resource", "createdBy", "uniqueName")
    else:
        kind, sender = EventKind.IGNORED, ""

    repository = payload.mapping(data, "resource", "repository")
    return payload.event(
        NAME,
        kind,
        name,
        delivery,
        repo_urls=[payload.text(repository, spelling) for spelling in ("remoteUrl", "sshUrl", "webUrl")],
        changes=changes,
        default_branch=payload.text(repository, "defaultBranch").removeprefix("refs/heads/"),
        sender=sender,
    )


def _change(data: JsonObject) -> RefChange:
    return payload.change(
        payload.text(data, "name"), payload.text(data, "newObjectId"), payload.text(data, "oldObjectId")
    )


def _notification(data: JsonObject) -> str:
    # Counted within the subscription, and the same when Azure tries again.
    subscription, number = payload.text(data, "subscriptionId"), data.get("notificationId")
    if subscription and isinstance(number, int):
        return f"{subscription}-{number}"
    return payload.text(data, "id")
