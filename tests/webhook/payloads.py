"""Deliveries as each host's documentation describes them, signed as that host signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OLD, NEW, ZEROS = "1" * 40, "2" * 40, "0" * 40
SECRET = b"correct horse"


@dataclass(frozen=True)
class Sent:
    """A request a host makes."""

    headers: dict[str, str]
    body: bytes
    secret: bytes = field(default=SECRET)


Sign = Callable[[bytes, bytes], dict[str, str]]


def _hex(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def sign(host: str, secret: bytes, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """`headers` with those that prove the sender."""
    match host:
        case "github":
            proof = {"X-Hub-Signature-256": f"sha256={_hex(secret, body)}"}
        case "gitea":
            proof = {"X-Gitea-Signature": _hex(secret, body)}
        case "gogs":
            proof = {"X-Gogs-Signature": _hex(secret, body)}
        case "bitbucket" | "bitbucket-server":
            proof = {"X-Hub-Signature": f"sha256={_hex(secret, body)}"}
        case "azure-devops":
            proof = {"Authorization": "Basic " + base64.b64encode(secret).decode()}
        case "gitlab" if secret.startswith(b"whsec_"):
            key = base64.b64decode(secret.removeprefix(b"whsec_"))
            content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = hmac.new(key, content, hashlib.sha256).digest()
            proof = {"webhook-signature": "v1," + base64.b64encode(digest).decode()}
        case "gitlab":
            proof = {"X-Gitlab-Token": secret.decode("latin-1")}
        case _:
            raise ValueError(host)
    return {**headers, **proof}


SECRETS = {
    "github": SECRET,
    "gitlab": SECRET,
    "gitea": SECRET,
    "gogs": SECRET,
    "bitbucket": SECRET,
    "bitbucket-server": SECRET,
    "azure-devops": b"mooring:correct horse",
}
SIGNING_TOKEN = b"whsec_" + base64.b64encode(b"k" * 32)


def event_headers(host: str, event: str, delivery: str) -> dict[str, str]:
    """The headers by which a host names the event and the delivery."""
    json_type = {"Content-Type": "application/json"}
    match host:
        case "github":
            return {**json_type, "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}
        case "gitlab":
            return {
                **json_type,
                "X-Gitlab-Event": event,
                "Idempotency-Key": delivery,
                "webhook-id": delivery,
                "webhook-timestamp": "1700000000",
            }
        case "gitea":
            # Gitea sends its predecessors' headers too.
            return {
                **json_type,
                "X-GitHub-Event": event,
                "X-Gogs-Event": event,
                "X-Gitea-Event": event,
                "X-GitHub-Delivery": delivery,
                "X-Gitea-Delivery": delivery,
            }
        case "gogs":
            return {**json_type, "X-GitHub-Event": event, "X-Gogs-Event": event, "X-Gogs-Delivery": delivery}
        case "bitbucket":
            return {
                **json_type,
                "X-Event-Key": event,
                "X-Hook-UUID": "8a4e",
                "X-Request-UUID": delivery,
                "X-Attempt-Number": "1",
            }
        case "bitbucket-server":
            return {**json_type, "X-Event-Key": event, "X-Request-Id": delivery}
        case "azure-devops":
            return {**json_type, "X-VSS-ActivityId": delivery, "X-VSS-SubscriptionId": "b7c1"}
        case _:
            raise ValueError(host)


PUSH_EVENT = {
    "github": "push",
    "gitlab": "Push Hook",
    "gitea": "push",
    "gogs": "push",
    "bitbucket": "repo:push",
    "bitbucket-server": "repo:refs_changed",
    "azure-devops": "git.push",
}
IGNORED_EVENT = {
    "github": "star",
    "gitlab": "Issue Hook",
    "gitea": "issues",
    "gogs": "issues",
    "bitbucket": "repo:fork",
    "bitbucket-server": "repo:forked",
    "azure-devops": "workitem.created",
}
PULL_REQUEST_EVENT = {
    "github": "pull_request",
    "gitlab": "Merge Request Hook",
    "gitea": "pull_request",
    "gogs": "pull_request",
    "bitbucket": "pullrequest:created",
    "bitbucket-server": "pr:opened",
    "azure-devops": "git.pullrequest.created",
}


def push_json(
    host: str, delivery: str = "1", ref: str = "refs/heads/main", after: str = NEW, repo: str = "acme/shop"
) -> dict[str, Any]:
    """The payload of a push of one ref."""
    folder, _, short = ref.removeprefix("refs/").partition("/")
    match host:
        case "github" | "gitea" | "gogs":
            return {
                "ref": ref,
                "before": OLD,
                "after": after,
                "repository": {
                    "full_name": repo,
                    "clone_url": f"https://git.example.com/{repo}.git",
                    "ssh_url": f"git@git.example.com:{repo}.git",
                    "html_url": f"https://git.example.com/{repo}",
                    "default_branch": "main",
                },
                "sender": {"login": "ada"},
            }
        case "gitlab":
            return {
                "object_kind": "tag_push" if folder == "tags" else "push",
                "event_name": "tag_push" if folder == "tags" else "push",
                "ref": ref,
                "before": OLD,
                "after": after,
                "checkout_sha": None if after == ZEROS else after,
                "user_username": "ada",
                "project": {
                    "git_http_url": f"https://git.example.com/{repo}.git",
                    "git_ssh_url": f"git@git.example.com:{repo}.git",
                    "web_url": f"https://git.example.com/{repo}",
                    "default_branch": "main",
                },
                "commits": [],
            }
        case "bitbucket":
            kind = "tag" if folder == "tags" else "branch"
            new = None if after == ZEROS else {"type": kind, "name": short, "target": {"hash": after}}
            return {
                "actor": {"nickname": "ada"},
                "repository": {
                    "full_name": repo,
                    "links": {"html": {"href": f"https://git.example.com/{repo}"}},
                    "mainbranch": {"name": "main"},
                },
                "push": {
                    "changes": [{"old": {"type": kind, "name": short, "target": {"hash": OLD}}, "new": new}]
                },
            }
        case "bitbucket-server":
            return {
                "eventKey": "repo:refs_changed",
                "actor": {"name": "ada"},
                "repository": {
                    "slug": repo.partition("/")[2],
                    "project": {"key": "ACME"},
                    "links": {
                        "clone": [
                            {"href": f"https://git.example.com/scm/{repo}.git", "name": "http"},
                            {"href": f"ssh://git@git.example.com:7999/{repo}.git", "name": "ssh"},
                        ]
                    },
                },
                "changes": [{"ref": {"id": ref}, "refId": ref, "fromHash": OLD, "toHash": after}],
            }
        case "azure-devops":
            return {
                "subscriptionId": "b7c1",
                "notificationId": int(hashlib.sha256(delivery.encode()).hexdigest()[:6], 16),
                "id": delivery,
                "eventType": "git.push",
                "resource": {
                    "refUpdates": [{"name": ref, "oldObjectId": OLD, "newObjectId": after}],
                    "repository": {
                        "remoteUrl": f"https://git.example.com/{repo}",
                        "defaultBranch": "refs/heads/main",
                    },
                    "pushedBy": {"uniqueName": "ada"},
                },
            }
        case _:
            raise ValueError(host)


def sent(host: str, event: str, payload: Any, delivery: str = "1", secret: bytes | None = None) -> Sent:
    """A signed request of `host` with `payload` as its JSON."""
    secret = SECRETS[host] if secret is None else secret
    body = json.dumps(payload).encode()
    return Sent(sign(host, secret, body, event_headers(host, event, delivery)), body, secret)


def push(host: str, delivery: str = "1", secret: bytes | None = None, **changes: str) -> Sent:
    """A signed push."""
    payload = push_json(host, delivery, **changes)
    return sent(host, PUSH_EVENT[host], payload, delivery, secret)


def ignored(host: str, delivery: str = "1") -> Sent:
    """A signed request of an event that is none of our business."""
    event = IGNORED_EVENT[host]
    payload: dict[str, Any] = {"eventType": event} if host == "azure-devops" else {"object_kind": "issue"}
    return sent(host, event, payload, delivery)


def pull_request(host: str, delivery: str = "1") -> Sent:
    """A signed pull or merge request that was opened."""
    payload = push_json(host, delivery)
    match host:
        case "gitlab":
            payload |= {"object_kind": "merge_request", "user": {"username": "ada"}}
        case "bitbucket-server":
            payload = {
                "actor": {"name": "ada"},
                "pullRequest": {"toRef": {"repository": payload["repository"]}},
            }
        case "azure-devops":
            payload["eventType"] = PULL_REQUEST_EVENT[host]
    return sent(host, PULL_REQUEST_EVENT[host], payload, delivery)
