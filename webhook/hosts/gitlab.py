"""GitLab: project, group and system hooks.

https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from mooring.delivery import Event, EventKind, RefChange
from webhook.hosts import payload
from webhook.hosts.payload import Headers

NAME = "gitlab"
PROOF: tuple[str, ...] = ("X-Gitlab-Token", "webhook-signature")
_SIGNING = b"whsec_"


def sent(headers: Headers) -> bool:
    """See `Host`."""
    return headers.get("X-Gitlab-Event") is not None


def verify(headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """See `Host`. By signature where GitLab sent one that we have a signing token for, else by token.

    A signing token begins with `whsec_` and is never accepted as the plain token, which everything
    between GitLab and us can read. A signature's time is not checked against the clock: a delivery that
    is replayed is a duplicate, and what it names is asked of Git anew.
    """
    signing = [secret for secret in secrets if secret.startswith(_SIGNING)]
    signature = headers.get("webhook-signature")
    if signature is not None and signing:
        return _signed(headers, body, signature, signing)

    given = (headers.get("X-Gitlab-Token") or "").encode("latin-1", "replace")
    return payload.one_of(given, (secret for secret in secrets if not secret.startswith(_SIGNING)))


def parse(headers: Headers, body: bytes) -> Event:
    """See `Host`. A system hook says in the body what it is about."""
    name = payload.header(headers, "X-Gitlab-Event")
    data = payload.read(headers, body)
    what = payload.text(data, "object_kind") or payload.text(data, "event_name")
    delivery = _delivery(headers, body)
    changes: tuple[RefChange, ...] = ()
    sender = ""
    match what:
        case "push" | "tag_push":
            change = payload.change(
                payload.text(data, "ref"), payload.text(data, "after"), payload.text(data, "before")
            )
            changes = (change,)
            kind = payload.kind(changes)
            sender = payload.text(data, "user_username") or payload.text(data, "user_name")
        case "merge_request":
            kind = EventKind.PULL_REQUEST
            sender = payload.text(data, "user", "username")
        case _:
            kind = EventKind.IGNORED

    project = payload.mapping(data, "project")
    return payload.event(
        NAME,
        kind,
        name,
        delivery,
        repo_urls=[
            payload.text(project, spelling) for spelling in ("git_http_url", "git_ssh_url", "web_url")
        ],
        changes=changes,
        default_branch=payload.text(project, "default_branch"),
        sender=sender,
    )


def _signed(headers: Headers, body: bytes, signature: str, secrets: list[bytes]) -> bool:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    id, time = headers.get("webhook-id") or "", headers.get("webhook-timestamp") or ""
    signed = f"{id}.{time}.".encode("latin-1", "replace") + body
    given = [part[3:].encode("latin-1", "replace") for part in signature.split() if part.startswith("v1,")]
    expected = [
        base64.b64encode(hmac.digest(key, signed, "sha256")) for key in map(_key, secrets) if key is not None
    ]
    # Several signatures stand there while GitLab rotates its own; more than a few would be somebody trying.
    return any(payload.one_of(one, expected) for one in given[:8])


def _key(secret: bytes) -> bytes | None:
    try:
        # An empty key would be everybody's.
        return base64.b64decode(secret.removeprefix(_SIGNING), validate=True) or None
    except binascii.Error:
        return None


def _delivery(headers: Headers, body: bytes) -> str:
    # The key stays the same when GitLab or a person sends the event again; before 17.4 there was none.
    # The event's UUID is shared by all events that one request caused, so it tells them apart only
    # together with the body.
    # https://docs.gitlab.com/user/project/integrations/webhooks/#delivery-headers
    if key := headers.get("webhook-id") or headers.get("Idempotency-Key"):
        return payload.delivery(key, body)
    if uuid := headers.get("X-Gitlab-Event-UUID"):
        return payload.delivery(f"{uuid}-{hashlib.sha256(body).hexdigest()[:32]}", body)
    return payload.delivery(None, body)
